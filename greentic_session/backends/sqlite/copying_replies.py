"""Replies and ids of deliveries of a copy: out of a SQLite store, and into one.

What was copied is remembered in ``copied_replies``, for 30 days: what became of it here since is
its runners', and it is not copied again.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from greentic_session import transitions
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope
from greentic_session.tenancy import Owner
from greentic_session.transitions import Leaving, Received

from .inboxes import delivery_name, known_delivery, place_of_letter
from .rows import place_of
from .shelves import Shelves
from .walking import END

__all__ = [
    "Letter",
    "Settled",
    "copied_replies",
    "inboxes_behind",
    "lacking",
    "places_held",
    "remember_settled",
    "settle_copies",
    "settled_behind",
    "store_inbox",
]

_MONTH_S: Final = 30 * 86_400.0
_STEP_ROWS: Final = 250
"""How many rows a step looks at."""
_COLUMNS: Final = (
    "r.id, r.scope, r.delivery_id, r.sender, r.size, r.accepted, r.accepted_at, "
    "r.keep_until, r.token, r.held_until, r.kept, r.body"
)


class Letter(NamedTuple):
    """A row of ``replies``."""

    id: str
    scope: bytes
    delivery_id: str | None
    sender: str | None
    size: int
    accepted: float
    accepted_at: float
    keep_until: float
    token: str | None
    held_until: float
    kept: float | None
    body: bytes


class Settled(NamedTuple):
    """A row of ``deliveries`` whose reply was settled or removed."""

    owner: Owner
    name: bytes
    end: float


# -- out of a store


def inboxes_behind(
    connection: sqlite3.Connection, after: int, now: float
) -> tuple[list[tuple[Owner, bytes, list[Letter]]], int]:
    """Return some inboxes, each with its owner and its scope, and where to go on."""
    (first,) = connection.execute("SELECT min(serial) FROM replies WHERE serial > ?", (after,)).fetchone()
    if first is None:
        return [], END
    last = first + _STEP_ROWS - 1
    places = connection.execute(
        """
        SELECT place, env, tenant, team, user, at FROM replies r WHERE serial BETWEEN ? AND ?
        AND NOT EXISTS (SELECT 1 FROM replies o WHERE o.place = r.place AND o.serial < r.serial) ORDER BY serial
        """,
        (first, last),
    ).fetchall()
    found = []
    for place, env, tenant, team, user, at in places:
        lying = connection.execute(
            f"SELECT {_COLUMNS} FROM replies r WHERE r.place = ? ORDER BY r.serial",  # noqa: S608  # constants of ours
            (place,),
        )
        letters = [letter for letter in map(Letter._make, lying) if letter.kept is None or letter.kept > now]
        found.append(((env, tenant, team or None, user), at, letters))
    return found, last


def settled_behind(connection: sqlite3.Connection, after: int, now: float) -> tuple[list[Settled], int]:
    """Return some remembered ids of deliveries that were settled or removed, and where to go on."""
    rows = connection.execute(
        "SELECT id, env, tenant, team, user, name, end, reply FROM deliveries WHERE id > ? ORDER BY id LIMIT ?",
        (after, _STEP_ROWS),
    ).fetchall()
    found = [
        Settled((env, tenant, team or None, user), name, end)
        for _, env, tenant, team, user, name, end, reply in rows
        if reply is None and end > now
    ]
    return found, rows[-1][0] if rows else END


def lacking(connection: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    """Return those of some replies that do not lie here."""
    marks = ",".join("?" * len(ids))
    there = {id for (id,) in connection.execute(f"SELECT id FROM replies WHERE id IN ({marks})", ids)}  # noqa: S608
    return [id for id in ids if id not in there]


# -- into a store


def store_inbox(
    connection: sqlite3.Connection,
    source: str,
    owner: Owner,
    at: ReplyScope,
    letters: Sequence[Received],
    now: float,
) -> int:
    """Put what is new of an inbox behind what lies at its place; return how many replies that is.

    Args:
        connection: Where to.
        source: What copies are marked with.
        owner: Whose inbox it is.
        at: The scope of the place.
        letters: The replies, oldest first.
        now: The moment.
    """
    limits = ReplyLimits()
    shelves = Shelves(connection, now, limits)
    place = place_of(owner, at.scope_hash())
    wait = shelves.waiting(place)
    count = 0
    for received in letters:
        reply = received.reply
        if connection.execute("SELECT 1 FROM copied_replies WHERE id = ?", (reply.id,)).fetchone():
            continue
        if wait is None and transitions.kept_until(received, limits) <= now:
            continue
        name = delivery_name(reply.scope.conversation, reply.delivery_id)
        known = None if name is None else known_delivery(connection, owner, name)
        if known is not None and (known.serial is not None or known.end > now):
            continue
        shelves.accept(owner, place, at, received)
        connection.execute("INSERT INTO copied_replies VALUES (?, ?, ?)", (reply.id, source, now + _MONTH_S))
        count += 1
    if count and wait is None:
        shelves.prune(place)
    elif count and wait is not None:
        copied = connection.execute("SELECT 1 FROM copies WHERE key = ? AND source = ?", (wait.key, source)).fetchone()
        if not copied:
            shelves.refresh(wait)
        else:  # what these replies prolong has been prolonged where it comes from
            shelves.restore(wait)
    shelves.flush()
    return count


def remember_settled(connection: sqlite3.Connection, settled: Sequence[Settled], now: float) -> None:
    """Remember ids of deliveries that are not known here."""
    for owner, name, end in settled:
        env, tenant, team, user = owner
        known = known_delivery(connection, owner, name)
        if end > now and (known is None or (known.serial is None and known.end < end)):
            connection.execute(
                "INSERT OR REPLACE INTO deliveries (name, env, tenant, team, user, end) VALUES (?, ?, ?, ?, ?, ?)",
                (name, env, tenant, team or "", user, end),
            )


def copied_replies(connection: sqlite3.Connection, source: str, after: str, most: int) -> list[tuple[str, Owner, bytes]]:
    """Return some replies that were copied from a source and lie here, by id, behind one.

    Of each its id, its owner and the scope of its place.
    """
    found = connection.execute(
        """
        SELECT c.id, r.env, r.tenant, r.team, r.user, r.at FROM copied_replies c JOIN replies r ON r.id = c.id
        WHERE c.id > ? AND c.source = ? ORDER BY c.id LIMIT ?
        """,
        (after, source, most),
    )
    return [(id, (env, tenant, team or None, user), at) for id, env, tenant, team, user, at in found]


def places_held(connection: sqlite3.Connection, token: str) -> tuple[bytes, ...]:
    """Return the scopes of the places where a claim holds replies."""
    found = connection.execute("SELECT DISTINCT at FROM replies WHERE token = ?", (token,))
    return tuple([at for (at,) in found])


def settle_copies(connection: sqlite3.Connection, ids: Sequence[str], now: float) -> None:
    """Settle those of some replies that nobody holds: that has happened where they come from."""
    shelves = Shelves(connection, now, ReplyLimits())
    for id in ids:
        found = connection.execute("SELECT serial FROM replies WHERE id = ?", (id,)).fetchone()
        place = None if found is None else place_of_letter(connection, found[0])
        letter = None if place is None else shelves.letter_of(place, id)
        if letter is not None and not transitions.is_held_now(letter.received, now):
            shelves.take_out(letter, Leaving.SETTLED)
    shelves.flush()
