"""Conversations' files, opened and locked: each by one thread of one process at a time.

The lock is on a file of its own, which is never replaced, so that what it protects can be. Whoever
deletes a conversation deletes the lock with it; whoever gets a lock looks whether it still has its
name. Some files are kept open, so that the next one who wants them finds them ready: what is known
of an open file is still right if it has its name and its length, for files only grow.
"""

import errno
import os
import stat
import threading
from collections import OrderedDict
from typing import Final

from greentic_session.conversation.backends.file.disk import check_no_link, make_directory, open_file, remove
from greentic_session.conversation.backends.file.file import Seen
from greentic_session.conversation.backends.file.locks import try_lock, unlock
from greentic_session.conversation.backends.file.names import LOCK, LOG

__all__ = ["Busy", "Handle", "Handles"]

_KEPT: Final = 128 if os.name == "posix" else 0  # Windows neither replaces nor deletes a file that is open
_TRIES: Final = 100
"""How often somebody else may delete a lock, or a directory, under our hands."""


class Busy(Exception):  # noqa: N818  # it is none: come again
    """Somebody else holds the lock."""


class Handle:
    """One conversation's files, ours alone as long as we hold it.

    Attributes:
        base: Their path, without what tells them apart.
        lock: The descriptor of the file that is locked.
        fd: That of the conversation's; None if it is not there, or is no regular file.
        inode: The device and number of the latter.
        size: Its length when it was locked.
        exists: Whether anything has its name.
        seen: What was seen in it; None if nobody has looked since it changed.
    """

    __slots__ = ("_lock_inode", "_locked", "base", "exists", "fd", "inode", "lock", "seen", "size")

    def __init__(self, base: str, lock: int) -> None:
        self.base: str = base
        self.lock: int = lock
        self._lock_inode = _inode(os.fstat(lock))
        self._locked = False
        self.fd: int | None = None
        self.inode: tuple[int, int] | None = None
        self.size: int = 0
        self.exists: bool = False
        self.seen: Seen | None = None

    def take(self) -> bool:
        """Lock, and open what is there; say whether the lock is (still) the one that others see.

        Raises:
            Busy: Somebody else holds it.
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
        """Open what has the conversation's name now."""
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
        elif self.seen is not None and self.seen.state.end != found.st_size:
            self.seen = None
        self.size = found.st_size
        self.exists = True

    def forget(self) -> None:
        """Close the conversation's file."""
        fd, self.fd = self.fd, None
        self.inode = self.seen = None
        self.exists = False
        if fd is not None:
            os.close(fd)

    def release(self) -> None:
        """Let go of the lock; the files stay open."""
        self._locked = False
        unlock(self.lock)

    def close(self) -> None:
        """Close everything, and let go of the lock if we have it.

        The lock of what is not there is deleted.
        """
        try:
            gone = self._locked and not self.exists
            self.forget()
            if gone and os.name == "posix":
                remove(self.base + LOCK)
        finally:
            try:
                if self._locked:
                    self.release()  # closing would not do it where a forked process has the same descriptor
            finally:
                os.close(self.lock)

    def abandon(self) -> None:
        """Close everything, and delete nothing.

        Something has gone wrong, or the lock is not the one that others see.
        """
        self.exists = True
        self.close()


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class Handles:
    """Opens files, and keeps some of them open. For several threads.

    Args:
        sync: Whether directories that are made must be on the disk at once.
    """

    def __init__(self, *, sync: bool) -> None:
        self._sync = sync
        self._clean()

    def _clean(self) -> None:
        self._mutex = threading.Lock()
        self._kept: OrderedDict[str, Handle] = OrderedDict()
        self._owner = os.getpid()
        self._closed = False

    def take(self, base: str, *, create: bool) -> Handle | None:
        """Return the locked files of a conversation, to be given back; None if there is none.

        Args:
            base: Their path, without what tells them apart.
            create: Return a handle also where no conversation is, and make the directory.

        Raises:
            Busy: Somebody else holds the lock.
        """
        try:
            return self._take(base, create=create)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE} or not self._kept:
                raise
            self._close_kept()
            return self._take(base, create=create)

    def _take(self, base: str, *, create: bool) -> Handle | None:
        handle = self._kept_one(base)
        for _ in range(_TRIES):
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
        """Let go of a lock; the files may stay open."""
        if not _KEPT or handle.fd is None or handle.seen is None:
            handle.close()
            return
        handle.release()
        surplus: Handle | None = handle
        with self._mutex:
            if not self._closed and handle.base not in self._kept:
                self._kept[handle.base] = handle
                surplus = self._kept.popitem(last=False)[1] if len(self._kept) > _KEPT else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close all files that nobody holds, and keep none any more."""
        with self._mutex:
            self._closed = True
        self._close_kept()

    def _close_kept(self) -> None:
        with self._mutex:
            kept = list(self._kept.values())
            self._kept.clear()
        for handle in kept:
            handle.close()

    def _kept_one(self, base: str) -> Handle | None:
        if self._owner != os.getpid():
            # We are a fork. These descriptors are our parent's too, and so would be every lock on
            # them.
            for handle in self._kept.values():
                handle.close()
            self._clean()
        with self._mutex:
            return self._kept.pop(base, None)


def _open_lock(base: str, *, create: bool, sync: bool) -> int | None:
    """Open the file that is locked; None if it is not needed, as there is no conversation."""
    path = base + LOCK
    check_no_link(os.path.dirname(path))  # noqa: PTH120
    for _ in range(_TRIES):
        try:
            if create:
                return open_file(path, os.O_RDWR | os.O_CREAT)
            return open_file(path, os.O_RDWR)
        except FileNotFoundError:
            if create:
                make_directory(os.path.dirname(path), sync=sync)  # noqa: PTH120
            elif os.path.lexists(base + LOG):
                create = True  # without its lock: somebody has put it there by hand
            else:
                return None
        except NotADirectoryError:
            if create:
                raise
            return None
    raise OSError(errno.ENOENT, "the directory is deleted again and again")
