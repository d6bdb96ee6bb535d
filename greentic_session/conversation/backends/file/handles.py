"""File handles of conversations: open and locked, each by one thread of one process at a time.

The lock is on a file of its own, which is never replaced, so that the protected file can be. To
delete a conversation deletes the lock file too; so after locking, its file must still have its
name. Some files are kept open in a cache: information on an open file is still right if the
file has its name and its length, because files only grow.
"""

import errno
import os
import stat
import threading
from collections import OrderedDict
from typing import Final

from greentic_session.conversation.backends.file.disk import check_no_link, make_directory, open_file, remove
from greentic_session.conversation.backends.file.file import FileInfo
from greentic_session.conversation.backends.file.locks import try_lock, unlock
from greentic_session.conversation.jsonl.names import LOCK, LOG

__all__ = ["Busy", "Handle", "Handles"]

_MAX_CACHED_HANDLES: Final = 128 if os.name == "posix" else 0  # Windows neither replaces nor deletes a file that is open
_MAX_ATTEMPTS: Final = 100
"""How many times in a row others may delete the lock file or its directory."""


class Busy(Exception):  # noqa: N818  # not an error: the call is repeated
    """Another thread or process holds the lock."""


class Handle:
    """The files of one conversation, for the holder of their lock.

    Attributes:
        base: The path of the files, without suffix.
        lock: The descriptor of the lock file.
        fd: The descriptor of the conversation's file; None if it is missing or no regular file.
        inode: Device and inode number of the conversation's file.
        size: The length of the conversation's file when it was locked, in bytes.
        exists: Whether the conversation's file, or something else with its name, exists.
        info: Cached information on the conversation's file; None if it may have changed.
    """

    __slots__ = ("_lock_inode", "_locked", "base", "exists", "fd", "info", "inode", "lock", "size")

    def __init__(self, base: str, lock: int) -> None:
        self.base: str = base
        self.lock: int = lock
        self._lock_inode = _inode(os.fstat(lock))
        self._locked = False
        self.fd: int | None = None
        self.inode: tuple[int, int] | None = None
        self.size: int = 0
        self.exists: bool = False
        self.info: FileInfo | None = None

    def take(self) -> bool:
        """Lock, and open the conversation's file; return False if the lock file was deleted.

        Raises:
            Busy: Another thread or process holds the lock.
        """
        if not try_lock(self.lock):
            raise Busy
        self._locked = True
        try:
            if _inode(os.lstat(self.base + LOCK)) != self._lock_inode:
                return False
        except FileNotFoundError:
            return False
        self.refresh()
        return True

    def refresh(self) -> None:
        """Open the file that has the conversation's name now."""
        try:
            found = os.lstat(self.base + LOG)
        except FileNotFoundError:
            self.forget()
            return
        inode = _inode(found)
        if inode != self.inode:
            self.forget()
            if stat.S_ISREG(found.st_mode):
                self.fd = open_file(self.base + LOG, os.O_RDWR)
                self.inode = inode
        elif self.info is not None and self.info.state.end != found.st_size:
            self.info = None
        self.size = found.st_size
        self.exists = True

    def forget(self) -> None:
        """Close the conversation's file."""
        fd, self.fd = self.fd, None
        self.inode = self.info = None
        self.exists = False
        if fd is not None:
            os.close(fd)

    def release(self) -> None:
        """Release the lock; the files stay open."""
        self._locked = False
        unlock(self.lock)

    def close(self) -> None:
        """Close the files, and release the lock if it is held.

        The lock file of a missing conversation is deleted.
        """
        try:
            gone = self._locked and not self.exists
            self.forget()
            if gone and os.name == "posix":
                remove(self.base + LOCK)
        finally:
            try:
                if self._locked:
                    self.release()  # to close is not enough where a forked process has the descriptor
            finally:
                os.close(self.lock)

    def abandon(self) -> None:
        """Close the files and delete none: after an error, or with a lock file that was deleted."""
        self.exists = True
        self.close()


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class Handles:
    """Opens the files of conversations, and caches some open ones. Thread-safe.

    Args:
        sync: Whether new directories are synced to the disk at once.
    """

    def __init__(self, *, sync: bool) -> None:
        self._sync = sync
        self._reset()

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._cached: OrderedDict[str, Handle] = OrderedDict()
        self._owner = os.getpid()
        self._closed = False

    def take(self, base: str, *, create: bool) -> Handle | None:
        """Lock and return the files of a conversation; None if it is missing.

        Args:
            base: The path of the files, without suffix.
            create: Return a handle also for a missing conversation, and make the directory.

        Raises:
            Busy: Another thread or process holds the lock.
        """
        try:
            return self._take(base, create=create)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE} or not self._cached:
                raise
            self._close_cached()
            return self._take(base, create=create)

    def _take(self, base: str, *, create: bool) -> Handle | None:
        handle = self._pop_cached(base)
        for _ in range(_MAX_ATTEMPTS):
            if handle is None:
                lock = _open_lock(base, create=create, sync=self._sync)
                if lock is None:
                    return None
                handle = Handle(base, lock)
            try:
                if handle.take():
                    return handle
            except BaseException:
                handle.abandon()
                raise
            handle.abandon()
            handle = None
        raise Busy

    def give_back(self, handle: Handle) -> None:
        """Release the lock of a handle; its files may stay open in the cache."""
        if not _MAX_CACHED_HANDLES or handle.fd is None or handle.info is None:
            handle.close()
            return
        handle.release()
        surplus: Handle | None = handle
        with self._mutex:
            if not self._closed and handle.base not in self._cached:
                self._cached[handle.base] = handle
                surplus = self._cached.popitem(last=False)[1] if len(self._cached) > _MAX_CACHED_HANDLES else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close the files in the cache, and cache none from now on."""
        with self._mutex:
            self._closed = True
        self._close_cached()

    def _close_cached(self) -> None:
        with self._mutex:
            cached = list(self._cached.values())
            self._cached.clear()
        for handle in cached:
            handle.close()

    def _pop_cached(self, base: str) -> Handle | None:
        if self._owner != os.getpid():
            # This process is a fork: its parent has the same descriptors, and so would share every
            # lock on them.
            for handle in self._cached.values():
                handle.close()
            self._reset()
        with self._mutex:
            return self._cached.pop(base, None)


def _open_lock(base: str, *, create: bool, sync: bool) -> int | None:
    """Open the lock file; None if it is not needed because the conversation is missing."""
    path = base + LOCK
    check_no_link(os.path.dirname(path))  # noqa: PTH120
    for _ in range(_MAX_ATTEMPTS):
        try:
            if create:
                return open_file(path, os.O_RDWR | os.O_CREAT)
            return open_file(path, os.O_RDWR)
        except FileNotFoundError:
            if create:
                make_directory(os.path.dirname(path), sync=sync)  # noqa: PTH120
            elif os.path.lexists(base + LOG):
                create = True  # without lock file: it was copied by hand
            else:
                return None
        except NotADirectoryError:
            if create:
                raise
            return None
    raise OSError(errno.ENOENT, "the directory is deleted again and again")
