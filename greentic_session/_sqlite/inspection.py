"""The condition of a database, for operators: what SQLite and the file system say of it."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from .file import File

__all__ = ["Condition", "condition_of", "is_on_a_network", "problems_of", "type_of_file_system"]

_MOUNTS: Final = Path("/proc/mounts")
_NETWORK: Final = frozenset(
    {
        *("9p", "afpfs", "afs", "ceph", "cifs", "davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
        *("gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "webdav"),
    }
)
"""Types of file systems that other machines, or the host of a virtual one, write to as well."""
_MAX_PROBLEMS: Final = 20


class Condition(Struct, frozen=True, kw_only=True):
    """What there is to say of a database.

    Attributes:
        version: SQLite's.
        journal: The journal mode; ours is ``wal``.
        page_bytes: The size of a page.
        pages: How many pages the file has.
        free_pages: How many of them hold nothing, and are used next.
        wal_bytes: How long the write-ahead log is.
        private: Whether only its owner may read the file.
        file_system: The type of its file system; None where the system does not tell.
    """

    version: str
    journal: str
    page_bytes: int
    pages: int
    free_pages: int
    wal_bytes: int
    private: bool
    file_system: str | None


def condition_of(connection: sqlite3.Connection, file: File) -> Condition:
    """Return the condition of a database."""

    def ask(pragma: str) -> int:
        (answer,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        return int(answer)

    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    return Condition(
        version=sqlite3.sqlite_version,
        journal=journal,
        page_bytes=ask("page_size"),
        pages=ask("page_count"),
        free_pages=ask("freelist_count"),
        wal_bytes=file.wal_bytes(),
        private=os.name == "nt" or not stat.S_IMODE(os.stat(file.path).st_mode) & 0o077,  # noqa: PTH116  # as in file
        file_system=type_of_file_system(file.path, _MOUNTS.read_text(encoding="utf-8", errors="replace"))
        if _MOUNTS.exists()
        else None,
    )


def problems_of(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds damaged, twenty of it at most; it reads the whole file."""
    found = [str(line) for (line,) in connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})")]
    return [] if found == ["ok"] else found


def is_on_a_network(file_system: str | None) -> bool:
    """Say whether a file system is one on which the locks of SQLite cannot be relied on."""
    return file_system in _NETWORK


def type_of_file_system(path: str, mounts: str) -> str | None:
    """Return the type of the file system that a path is on, by the text of ``/proc/mounts``."""
    place, found, depth = Path(path).resolve(), None, -1
    for line in mounts.splitlines():
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        mounted = Path(point.replace("\\040", " ") or "/")
        # Of several mounts at the same point the last one hides the others.
        if place.is_relative_to(mounted) and len(mounted.parts) >= depth:
            found, depth = kind or None, len(mounted.parts)
    return found
