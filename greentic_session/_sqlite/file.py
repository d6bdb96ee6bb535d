"""The file of a database: making it, opening connections, and knowing when it was replaced."""

import os
import random
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from greentic_session.errors import CorruptStoreError, UnavailableError

from .errors import is_busy, translate
from .schema import SchemaPart, is_current, upgrade

__all__ = ["Durability", "File", "Patience"]

T = TypeVar("T")

Durability: TypeAlias = Literal["power", "process"]
"""What an acknowledged write survives: a power cut, or only the end of the process."""

_SYNCHRONOUS: Final[dict[str, str]] = {"power": "FULL", "process": "NORMAL"}
_SHORTEST_PAUSE_S: Final = 0.0002
_LONGEST_PAUSE_S: Final = 0.005
_CACHED_STATEMENTS: Final = 256
_CACHE_KIB: Final = 16_384
_CHECKPOINT_PAGES: Final = 2000
"""Number of pages of the WAL (4 KiB each) at which they are put into the file.

Twice as many as SQLite has by default: that costs two syncs, and a page that was changed twice is
put once.
"""
_JOURNAL_BYTES: Final = 8 * 1024 * 1024
"""To this length the WAL is cut when it begins anew."""

_creating = threading.Lock()
"""Held while a file is made: closing its descriptor drops the locks that this process has on it, so
no connection may be open yet."""


class Patience:
    """How long one transaction tries again while other connections hold the lock.

    The pauses are short and random: SQLite's own (``busy_timeout``) grow to 100 ms, and of several
    processes the same one keeps losing.

    Args:
        timeout: For how many seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout

    def pause(self, error: sqlite3.Error) -> None:
        """Sleep a moment before the next try.

        Raises:
            sqlite3.Error: The one given: it is none of a lock, or there is no time left.
        """
        if not is_busy(error) or time.monotonic() >= self._end:
            raise error
        time.sleep(random.uniform(_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S))  # noqa: S311  # no secret

    def retry(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, trying again while a lock keeps it from that."""
        while True:
            try:
                return call()
            except sqlite3.Error as error:
                self.pause(error)


class File:
    """A database's file, which need not exist yet.

    Args:
        path: Where it is; made absolute now.
        parts: The schema that it has to have.
        durability: What an acknowledged write survives.
        timeout: For how many seconds an opening connection tries while others hold the lock.
    """

    def __init__(
        self, path: str | os.PathLike[str], parts: Sequence[SchemaPart], durability: Durability, timeout: float
    ) -> None:
        self.path: str = os.path.abspath(path)  # noqa: PTH100  # resolve() would follow symbolic links now
        self.parts = parts
        self.timeout = timeout
        self._synchronous = _SYNCHRONOUS[durability]

    def open(self, *, read_only: bool = False) -> "sqlite3.Connection":
        """Return a new connection; the file and its schema are made where they do not exist.

        Any number of processes may do so at the same time.

        Args:
            read_only: Whether the connection refuses to write.

        Raises:
            CorruptStoreError: The file is damaged, or something else.
            SchemaVersionError: A newer release made it.
            UnavailableError: It cannot be opened or made.
        """
        try:
            connection = self._connect()
            try:
                self._prepare(connection, Patience(self.timeout))
                if read_only:
                    connection.execute("PRAGMA query_only = ON")
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise translate(error, self.path) from error
        return connection

    def identity(self) -> tuple[int, int] | None:
        """Return what tells this file from another at the same path; None where there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  # once a transaction
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def wal_bytes(self) -> int:
        """Return how long the write-ahead log is, in bytes."""
        try:
            return os.stat(f"{os.path.realpath(self.path)}-wal").st_size  # noqa: PTH116  # as above
        except OSError:
            return 0

    def _connect(self) -> sqlite3.Connection:
        with _creating:
            self._create()
            return sqlite3.connect(
                self.path,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,  # a fork, and the end of its store, close it from other threads
                cached_statements=_CACHED_STATEMENTS,
            )

    def _create(self) -> None:
        """Make the file, empty and for its owner only, and what is missing of its directory."""
        path = Path(self.path)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UnavailableError(f"the database's path is no file ({self.path})")
        except FileNotFoundError:
            pass
        else:
            return
        # A log is made after its database, and removed before it. One alone has lost its database,
        # and would be played into the new one.
        if os.path.lexists(f"{os.path.realpath(path)}-wal") and not path.exists():
            raise CorruptStoreError(
                f"the database is missing, and its log {path.name}-wal is there: "
                f"bring the database back, or remove the log ({self.path})"
            )
        made = _make_directory(path.parent)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            if not path.exists():  # a symbolic link to nowhere
                raise UnavailableError(f"the database's path is a link that leads nowhere ({self.path})") from None
            return
        for directory in (path.parent, *made):
            _sync_directory(directory)

    def _prepare(self, connection: sqlite3.Connection, patience: Patience) -> None:
        current = patience.retry(lambda: self._is_current(connection))  # before anything is changed
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        (mode,) = patience.retry(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
        if mode != "wal":
            raise UnavailableError(f"the file system does not carry a write-ahead log ({self.path})")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        if not current:
            patience.retry(lambda: connection.execute("BEGIN IMMEDIATE"))
            upgrade(connection, self.parts, self.path)
            connection.execute("COMMIT")

    def _is_current(self, connection: sqlite3.Connection) -> bool:
        connection.execute("BEGIN")  # another process may be making the schema
        try:
            return is_current(connection, self.parts, self.path)
        finally:
            if connection.in_transaction:
                connection.rollback()


def _make_directory(directory: Path) -> list[Path]:
    """Make a directory and its missing parents, for their owner only; return where."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    return [one.parent for one in missing]


def _sync_directory(directory: Path) -> None:
    """Make sure that what was made in a directory survives a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
