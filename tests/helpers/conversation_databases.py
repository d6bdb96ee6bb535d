"""What the tests of the conversation store in a database share."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greentic_session.conversation import SQLiteConversationStore

__all__ = ["TABLES", "connected", "make", "rows"]

TABLES = ("conversation", "conversation_header", "conversation_message", "conversation_garbage")


def make(path: Path, **options: Any) -> SQLiteConversationStore[Any]:
    """Return a store that does not wait for the disk: what is tested does not depend on it."""
    options.setdefault("durability", "process")
    return SQLiteConversationStore(path, **options)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection of another program, which commits each statement."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def rows(path: Path) -> dict[str, int]:
    """Return how many rows each table has."""
    with connected(path) as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}
