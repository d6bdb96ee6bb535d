"""Time that passes for all that is in a file, because a test says so: every moment is set back."""

import sqlite3
from typing import Final

from greentic_session.transitions import name_of_deadline

from .rows import earlier

__all__ = ["pass_time"]

_MOMENTS: Final = {
    "sessions": ("end", "lease_end"),
    "turns": ("deadline", "rest_end", "put_off", "due"),
    "tenants": ("rank", "served"),
    "replies": ("accepted", "keep_until", "held_until", "kept"),
    "deliveries": ("end",),
    "copies": ("end", "forgotten"),
    "copied_replies": ("forgotten",),
}
"""The moments in each table; what is told of them (`accepted_at`) stays."""


def pass_time(connection: sqlite3.Connection, passed: float) -> None:
    """Set every moment back by so many seconds; 0, which is none, and infinity stay."""
    heard = connection.execute("SELECT id, deadline FROM turns WHERE about GLOB 'deadline:*'").fetchall()
    heard = [(id, deadline, name_of_deadline(deadline)) for id, deadline in heard]
    for id, scope in connection.execute("SELECT id, scope FROM sessions WHERE scope IS NOT NULL").fetchall():
        connection.execute("UPDATE sessions SET scope = ? WHERE id = ?", (earlier(scope, passed), id))
    for table, moments in _MOMENTS.items():
        changes = ", ".join(f"{moment} = iif({moment} = 0, 0, {moment} - :passed)" for moment in moments)
        connection.execute(f"UPDATE {table} SET {changes}", {"passed": passed})  # noqa: S608  # constants of ours
    for id, deadline, name in heard:
        # A turn for the deadline that the wait has is for the same one, under its new name.
        connection.execute(
            "UPDATE turns SET about = ? WHERE id = ? AND about = ?", (name_of_deadline(deadline - passed), id, name)
        )
