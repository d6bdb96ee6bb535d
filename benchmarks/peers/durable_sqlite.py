"""openai-agents' SQLiteSession with the durability that all contestants on SQLite have."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

import sqlite3
from pathlib import Path

from agents import SQLiteSession

__all__ = ["DurableSQLiteSession", "check_durable"]

_SYNCHRONOUS_FULL = 2
"""Number of ``PRAGMA synchronous=FULL``."""


class DurableSQLiteSession(SQLiteSession):  # type: ignore[misc]  # not installed here
    """`SQLiteSession` with ``PRAGMA synchronous=FULL``: a commit is on the disk when it returns.

    This is the default of most builds of SQLite, but not of all, and SQLiteSession has no option
    for it.
    """

    @staticmethod
    def _configure_connection(conn: sqlite3.Connection) -> None:
        SQLiteSession._configure_connection(conn)
        conn.execute("PRAGMA synchronous=FULL")


def check_durable(session: DurableSQLiteSession, database: Path) -> None:
    """Check that a session writes to this file with WAL and ``synchronous=FULL``."""
    with session._locked_connection() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (_SYNCHRONOUS_FULL,)
        assert Path(connection.execute("PRAGMA database_list").fetchone()[2]).samefile(database)
