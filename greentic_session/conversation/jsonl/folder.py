"""Files and directories of an export: private, and written as a whole or not at all.

All functions block; `in_thread` runs one apart from the event loop.
"""

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from anyio import to_thread
from msgspec import Struct

from greentic_session.errors import InvalidInputError, UnavailableError

from .archived import Archived, UnreadableFileError
from .lines import read_lines
from .version_0_1 import MAGIC, read_log

__all__ = ["SUFFIX", "Skipped", "checked_directory", "find_files", "in_thread", "prepare", "read_file", "write_file"]

T = TypeVar("T")

SUFFIX: Final = ".jsonl"
"""Suffix of the name of an exported file."""
_SUFFIX_0_1: Final = ".log"
_LEFT_BESIDE_LOGS: Final = re.compile(r"[a-z0-9_]{0,24}-[0-9a-f]{64}\.(lock|tmp)")
"""Files of 0.1.0 that hold no conversation."""
_TEMPORARY: Final = re.compile(r".*\.jsonl\.[0-9a-f]{16}\.tmp")
_ABANDONED_AFTER_S: Final = 3600.0
"""A temporary file that is older was left by an export that was killed."""

# Do not follow links, do not wait for the other end of a pipe, and (on Windows) do not translate
# newlines.
_OPEN_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Skipped(Struct, frozen=True):
    """A file, or a conversation, that was left out.

    Attributes:
        path: The path of the file below the directory, or the one that it would have had. A part of
            the conversation's id is in its name.
        reason: Why.
    """

    path: str
    reason: str


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking function in a thread.

    Raises:
        UnavailableError: The operating system refused something.
    """
    return await to_thread.run_sync(partial(_translated, work, *arguments))


def _translated(work: Callable[..., T], *arguments: Any) -> T:
    try:
        return work(*arguments)
    except OSError as error:
        raise UnavailableError(f"the file system cannot serve the directory of conversations: {_name_of(error)}") from error


def _name_of(error: OSError) -> str:
    """Return what the error is called: its own text would name a file."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def checked_directory(directory: object) -> Path:
    """Return the absolute path of a directory that a caller names.

    Raises:
        InvalidInputError: It cannot be one.
        TypeError: It is no path.
    """
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(f"directory must be a path, not {type(directory).__name__}")
    path = os.fspath(directory)
    if not isinstance(path, str):
        raise TypeError(f"directory must be a path of text, not {type(path).__name__}")
    if not path or "\0" in path:
        raise InvalidInputError("directory must be a path: not empty, and without a NUL")
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links


# -- directories


def exposure(directory: Path) -> str | None:
    """Return why users other than this one and root can change a directory; None if none can."""
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if os.name == "nt":
        return None
    if found.st_uid not in {os.geteuid(), 0}:
        return "belongs to another user"
    return "is writable by other users" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def _check_private(directory: Path) -> None:
    found = exposure(directory)
    if found is not None:
        raise InvalidInputError(f"the directory of conversations must be nobody else's, and it {found}")


def prepare(directory: Path) -> None:
    """Make a private directory and what is missing above it, or check the one that is there.

    What exports that were killed have left in it is removed.

    Raises:
        InvalidInputError: Other users can change the directory.
    """
    missing = []
    above = directory
    while not os.path.lexists(above):
        missing.append(above)
        above = above.parent
    for one in reversed(missing):
        with _synced(one.parent):
            one.mkdir(mode=0o700, exist_ok=True)
    _check_private(directory)
    for path in directory.iterdir():
        if _TEMPORARY.fullmatch(path.name) and time.time() - path.lstat().st_mtime > _ABANDONED_AFTER_S:
            path.unlink(missing_ok=True)


@contextmanager
def _synced(directory: Path) -> Iterator[None]:
    """Write changed entries of a directory to the disk, where the system can do that."""
    if os.name == "nt":
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_files(directory: Path) -> tuple[list[Path], list[Skipped]]:
    """Return the files that may hold conversations, in a directory and in those within it.

    Raises:
        InvalidInputError: The directory is missing, or other users can change it.
    """
    try:
        _check_private(directory)
    except FileNotFoundError:
        raise InvalidInputError("there is no such directory to import from") from None
    found: list[Path] = []
    skipped: list[Skipped] = []
    for path in sorted(directory.iterdir()):
        if not path.is_dir():
            _sort_out(directory, path, found, skipped)
        elif reason := exposure(path):
            skipped.append(Skipped(path.name, reason))
        else:
            for below in sorted(path.iterdir()):
                _sort_out(directory, below, found, skipped)
    return found, skipped


def _sort_out(directory: Path, path: Path, found: list[Path], skipped: list[Skipped]) -> None:
    if path.is_dir() and not path.is_symlink():
        reason = "a directory below one, as 0.1.0 made them for a namespace: import the one above by itself"
    elif path.suffix in (SUFFIX, _SUFFIX_0_1):
        found.append(path)
        return
    elif _LEFT_BESIDE_LOGS.fullmatch(path.name) or _TEMPORARY.fullmatch(path.name):
        return
    else:
        reason = "no file of a conversation"
    skipped.append(Skipped(str(path.relative_to(directory)), reason))


# -- files


def read_file(path: Path) -> Archived:
    """Return the conversation in a file.

    Raises:
        UnreadableFileError: It holds none, or cannot be read.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | _OPEN_FLAGS), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableFileError("it is no regular file")
            start = file.read(len(MAGIC))
            if path.suffix == _SUFFIX_0_1 and start != MAGIC:
                raise UnreadableFileError("it is no conversation")
            text = start + file.read()
    except OSError as error:
        raise UnreadableFileError(f"the file system cannot read it: {_name_of(error)}") from error
    return read_log(text) if start == MAGIC else read_lines(text)


def write_file(path: Path, text: bytes) -> None:
    """Write a file that only its owner may read; a reader finds the old text or the new one."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with _synced(path.parent):
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
