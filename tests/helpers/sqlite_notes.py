"""A small schema for the tests of `_sqlite`, which knows nothing of sessions."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from greentic_session._sqlite.schema import SchemaPart

__all__ = ["NOTES", "THREADS", "Held", "add", "descriptors", "texts", "threads"]

NOTES = SchemaPart("notes", 2, [["CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"]])
THREADS = "greentic-session-sqlite"


def add(text: str) -> Callable[[sqlite3.Connection], int]:
    """Return an operation that writes a note, and returns its id."""

    def work(connection: sqlite3.Connection) -> int:
        return connection.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid or 0

    return work


def texts(connection: sqlite3.Connection) -> list[str]:
    """Return all notes."""
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


def threads() -> list[threading.Thread]:
    """Return the threads of databases that run in this process."""
    return [thread for thread in threading.enumerate() if thread.name == THREADS]


def descriptors(directory: Path) -> list[str]:
    """Return what this process has open in a directory."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith(f"{directory}/"):
            found.append(target)
    return found


class Held:
    """Another connection that holds the write lock of a database, for as long as it is entered."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.rollback()
        self._connection.close()
