"""File operations on every operating system, and the translation of the system's errors."""

import errno
import functools
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from greentic_session.errors import UnavailableError

__all__ = [
    "check_no_link",
    "check_usable",
    "exposures",
    "make_directory",
    "open_file",
    "read_at",
    "remove",
    "synced_entries",
    "unavailable",
    "warn_if_exposed",
    "write_at",
]

_log: Final = logging.getLogger("greentic_session")

# Do not follow links, do not wait for the other end of a pipe, and (on Windows) do not translate
# newlines.
_OPEN_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE_CHUNK_BYTES: Final = 1 << 20
"""How many bytes are joined for one write."""


def unavailable(error: OSError) -> UnavailableError:
    """Return the error for an error of the operating system, whose own text would name a file."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return UnavailableError(f"the file system cannot serve the conversation store: {name}")


def open_file(path: str, flags: int) -> int:
    """Open a file without following a link; a new file can be read by its owner only."""
    return os.open(path, flags | _OPEN_FLAGS, 0o600)


def remove(path: str) -> None:
    """Delete a file, or an empty directory with its name; a missing one is no error."""
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        pass
    except OSError:
        if not os.path.isdir(path) or os.path.islink(path):  # noqa: PTH112, PTH114
            raise
        os.rmdir(path)  # noqa: PTH106


def read_at(fd: int, start: int, length: int) -> bytes:
    """Return `length` bytes from an offset on; fewer at the end of the file."""
    part = _read(fd, length, start)
    if len(part) == length or not part:
        return part
    parts = [part]
    while part and (length := length - len(part)):
        start += len(part)
        part = _read(fd, length, start)
        parts.append(part)
    return b"".join(parts)


def write_at(fd: int, start: int, pieces: Iterable[bytes]) -> None:
    """Write pieces one behind the other, short ones in one system call."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _WRITE_CHUNK_BYTES:
            start = _write(fd, b"".join(gathered), start)
            gathered.clear()
            size = 0
    _write(fd, b"".join(gathered), start)


def _write(fd: int, data: bytes, start: int) -> int:
    """Write all bytes; return the offset of their end."""
    left = memoryview(data)
    while left:
        written = _write_some(fd, left, start)
        left = left[written:]
        start += written
    return start


if sys.platform == "win32":  # pragma: no cover

    def _read(fd: int, length: int, start: int) -> bytes:
        os.lseek(fd, start, os.SEEK_SET)
        return os.read(fd, length)

    def _write_some(fd: int, data: memoryview, start: int) -> int:
        os.lseek(fd, start, os.SEEK_SET)
        return os.write(fd, data)

else:

    def _read(fd: int, length: int, start: int) -> bytes:
        return os.pread(fd, length, start)

    def _write_some(fd: int, data: memoryview, start: int) -> int:
        return os.pwrite(fd, data, start)


def make_directory(path: str, *, sync: bool) -> None:
    """Make a directory that only its owner may enter, and missing ones above it."""
    missing: list[str] = []
    while not os.path.isdir(path):  # noqa: PTH112  # faster than Path, here and in the whole package
        missing.append(path)
        path = os.path.dirname(path)  # noqa: PTH120
    while missing:
        name = missing.pop()
        try:
            with synced_entries(os.path.dirname(name), sync=sync):  # noqa: PTH120
                os.mkdir(name, 0o700)  # noqa: PTH102
        except FileExistsError:  # another process made it
            pass


@contextmanager
def synced_entries(directory: str, *, sync: bool) -> Iterator[None]:
    """Sync a directory after its entries were changed in a block, where the system can do that.

    The directory is opened before the block, so that less can fail behind it.
    """
    if not sync or os.name == "nt":
        yield
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def check_no_link(directory: str) -> None:
    """Refuse a directory that is a link, which could lead anywhere.

    Raises:
        OSError: The directory is a link.
    """
    if os.path.islink(directory):  # noqa: PTH114
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def warn_if_exposed(directory: str) -> bool:
    """Log a base directory that other users can change, once a process; return whether it exists.

    The directory is used all the same: links to another disk and volumes of containers are such
    directories on purpose. Another user who may write there can add conversations.
    """
    try:
        found = [os.lstat(directory)]
        if stat.S_ISLNK(found[0].st_mode):
            found.append(os.stat(directory))  # noqa: PTH116
    except OSError:
        return False  # the operation itself reports the error
    if os.name == "posix":
        reasons = exposures(found, os.geteuid())
        if reasons:
            _warn_once(directory, " and ".join(reasons))
    return True


def exposures(found: Sequence[os.stat_result], user: int) -> list[str]:
    """Return why users other than one user and root can change the content of a directory.

    Args:
        found: The status of the directory; for a link, that of the link, then that of its target.
        user: The id of the user.
    """
    directory = found[-1]
    reasons = ["a symbolic link"] if len(found) > 1 else []
    if any(one.st_uid not in {user, 0} for one in found):
        reasons.append("owned by another user")
    if directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reasons.append("writable by other users")
    return reasons


@functools.lru_cache(maxsize=64)
def _warn_once(directory: str, reasons: str) -> None:
    _log.warning(
        "the directory %s of a conversation store is %s: check that nobody else can put files there", directory, reasons
    )


def check_usable(directory: str) -> None:
    """Check that files can be stored in a directory, which may still be missing.

    Raises:
        OSError: Files cannot be stored there.
    """
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)  # noqa: PTH120
    if not os.path.isdir(directory):  # noqa: PTH112
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
