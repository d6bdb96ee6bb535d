"""Connections and forks: before a process forks, its connections are closed, and opened anew later.

SQLite keeps its locks in the memory of the process as well as in the kernel, where they belong to
the process. A child would inherit the memory without the locks: its connections, new ones too,
would believe in locks that nobody holds, and could damage the file.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import is_busy
from .file import File

__all__ = ["Holder"]


class Holder:
    """At most one connection to a file, which a fork closes first.

    It is opened by who uses it, and stays open between uses while the file is the same.

    Args:
        file: The file.
        read_only: Whether the connection refuses to write.
    """

    def __init__(self, file: File, *, read_only: bool) -> None:
        self.file = file
        self._read_only = read_only
        self._in_use = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        _holders.add(self)

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction, which is rolled back where it is not committed.

        A fork waits for its end. After an error, unless it is that of a lock, the connection is
        closed, and the next use opens another.

        Raises:
            GreenticError: As `File.open`.
        """
        with self._in_use:
            connection = self._current()
            try:
                yield connection
            except BaseException as error:
                if not is_busy(error):
                    self._close()
                raise
            finally:
                if self._connection is not None and connection.in_transaction:
                    connection.rollback()

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._in_use:
            self._close()

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and self.file.identity() != self._identity:
            self._close()  # removed, or replaced by another file: from a backup, say
        if self._connection is None:
            self._connection = self.file.open(read_only=self._read_only)
            self._identity = self.file.identity()
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def before_fork(self) -> None:
        """Wait for the end of the use, and close the connection; nobody can use it meanwhile."""
        self._in_use.acquire()
        self._close()

    def after_fork_in_parent(self) -> None:
        """Let it be used again."""
        self._in_use.release()

    def after_fork_in_child(self) -> None:
        """Let it be used in the child, where none of the threads is that used it."""
        self._in_use = threading.Lock()


_holders: "weakref.WeakSet[Holder]" = weakref.WeakSet()
_stopped: list[Holder] = []
"""While a fork is under way: those that were stopped for it."""


def _before() -> None:
    _stopped[:] = _holders
    for holder in _stopped:
        holder.before_fork()


def _after_in_parent() -> None:
    for holder in _stopped:
        holder.after_fork_in_parent()
    _stopped.clear()


def _after_in_child() -> None:
    for holder in _stopped:
        holder.after_fork_in_child()
    _stopped.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
