"""Walks over all sessions, in steps: by id, which a session keeps, so each is met once."""

import sqlite3
from typing import Final

__all__ = ["END", "STEP_BYTES", "last_id", "next_window"]

END: Final = 2**63 - 1
"""Behind every id."""
STEP_BYTES: Final = 1024 * 1024
"""With how many bytes of texts a step ends."""
_STEP_ROWS: Final = 250
"""How many sessions a step looks at."""


def last_id(connection: sqlite3.Connection) -> int:
    """Return the highest id of a session; 0 without any."""
    (found,) = connection.execute("SELECT max(id) FROM sessions").fetchone()
    return found or 0


def next_window(connection: sqlite3.Connection, after: int) -> tuple[int, int] | None:
    """Return the lowest and the highest id that the next step looks at; None at the end.

    Args:
        connection: Where to look.
        after: The last id of the step before.
    """
    (first,) = connection.execute("SELECT min(id) FROM sessions WHERE id > ?", (after,)).fetchone()
    return None if first is None else (first, first + _STEP_ROWS - 1)
