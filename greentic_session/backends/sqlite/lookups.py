"""Lookups of waits by their places, many in one statement."""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from greentic_session import tenancy, transitions
from greentic_session.models import ReplyScope
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait, wait_of

__all__ = ["Placed", "placed", "wait_of_owner"]

_MAX_PLACES: Final = 64
"""Number of places that one statement asks for; more at once are no faster."""


class Placed(NamedTuple):
    """Row of a lookup: the session that waits at a place, live or not."""

    place: bytes
    key: str
    end: float
    text: bytes


def _statement(count: int) -> str:
    values = ", ".join(["(?)"] * count)
    # CROSS JOIN: the places lead, and each is looked for in the index.
    return f"SELECT place, key, end, text FROM (VALUES {values}) CROSS JOIN sessions ON place = column1"  # noqa: S608


_STATEMENTS: Final = {1 << power: _statement(1 << power) for power in range(_MAX_PLACES.bit_length())}
"""By how many places they ask for: few statements, which the connection keeps prepared."""


def placed(connection: sqlite3.Connection, places: Sequence[bytes]) -> dict[bytes, Placed]:
    """Return what waits at some places, live or not."""
    found: dict[bytes, Placed] = {}
    for start in range(0, len(places), _MAX_PLACES):
        asked = places[start : start + _MAX_PLACES]
        size = 1 << (len(asked) - 1).bit_length()
        rows = connection.execute(_STATEMENTS[size], (*asked, *[None] * (size - len(asked)))).fetchall()
        for row in rows:
            found[row[0]] = Placed._make(row)
    return found


def wait_of_owner(found: Placed | None, owner: Owner, scope: ReplyScope, now: float) -> Wait | None:
    """Return a live wait whose text says that it is the owner's: somebody may have overwritten it.

    Raises:
        CorruptSessionError: The text is no session.
    """
    if found is None or not transitions.is_live(found, now):
        return None
    wait = wait_of(found.key, found.text if isinstance(found.text, bytes) else b"", scope)
    return wait if tenancy.owner_of(wait.data) == owner else None
