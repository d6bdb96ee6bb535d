"""The boundary where errors of SQLite and of files become GreenticErrors."""

import errno
import sqlite3
from collections.abc import Callable
from typing import Final

from greentic_session.errors import CorruptStoreError, GreenticError, InternalError, UnavailableError

__all__ = ["code_of", "is_busy", "is_of_the_storage", "translate"]

_READ_ONLY: Final = "the database cannot be written: the file, its directory or the file system is read-only"
_FULL: Final = "the disk is full, or the database has reached its largest size"
_BY_CODE: Final[dict[int, tuple[Callable[[str], GreenticError], str]]] = {
    sqlite3.SQLITE_AUTH: (UnavailableError, "SQLite was not allowed to do this"),
    sqlite3.SQLITE_BUSY: (UnavailableError, "another process has held the database's lock for too long"),
    sqlite3.SQLITE_CANTOPEN: (UnavailableError, "the database cannot be opened: look at the rights of file and directory"),
    sqlite3.SQLITE_CORRUPT: (CorruptStoreError, "the database is damaged: restore it from a backup"),
    sqlite3.SQLITE_FULL: (UnavailableError, _FULL),
    sqlite3.SQLITE_INTERRUPT: (UnavailableError, "SQLite was interrupted"),
    sqlite3.SQLITE_IOERR: (UnavailableError, "the disk failed to read or write"),
    sqlite3.SQLITE_LOCKED: (UnavailableError, "another connection has held the database's lock for too long"),
    sqlite3.SQLITE_NOLFS: (UnavailableError, "the file system cannot hold a file as large as this database"),
    sqlite3.SQLITE_NOMEM: (UnavailableError, "SQLite is out of memory"),
    sqlite3.SQLITE_NOTADB: (CorruptStoreError, "the file is no SQLite database"),
    sqlite3.SQLITE_PERM: (UnavailableError, "the rights of the database's file do not allow this"),
    sqlite3.SQLITE_PROTOCOL: (UnavailableError, "the locks of the database's file do not work, or are held for too long"),
    sqlite3.SQLITE_READONLY: (UnavailableError, _READ_ONLY),
}
_BY_ERRNO: Final = {
    errno.EACCES: "no permission to open or make the database's file",
    errno.EPERM: "no permission to open or make the database's file",
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ENOTDIR: "a part of the path to the database's directory is a file",
    errno.EISDIR: "the database's path is a directory",
    errno.ENAMETOOLONG: "the database's path is too long",
    errno.EMFILE: "this process has too many files open",
}
_OF_THE_STORAGE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


def code_of(error: BaseException) -> int | None:
    """Return the primary result code of an error of SQLite; None where it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_busy(error: BaseException) -> bool:
    """Say whether SQLite failed only because of a lock that another connection holds."""
    return code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def is_of_the_storage(error: sqlite3.Error) -> bool:
    """Say whether an error is one of the storage: every operation of the group has failed by it.

    Any other is that operation's own.
    """
    return code_of(error) in _OF_THE_STORAGE


def translate(error: Exception, path: str) -> GreenticError:
    """Return the GreenticError of a failure, to be raised from it.

    Args:
        error: The error of SQLite, or of the system.
        path: The database's file; the message ends with it.
    """
    kind, message = _meaning(error)
    return kind(f"{message} ({path})")


def _meaning(error: Exception) -> tuple[Callable[[str], GreenticError], str]:
    if isinstance(error, OSError):
        return UnavailableError, _BY_ERRNO.get(error.errno or 0, "the database's file cannot be opened or made")
    return _BY_CODE.get(code_of(error) or 0, (InternalError, "SQLite refused a statement of ours; the cause says why"))
