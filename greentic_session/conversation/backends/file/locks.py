"""Locks between processes: on an open file, and released by the system with the process."""

import os
import sys

__all__ = ["try_lock", "unlock"]

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def try_lock(fd: int) -> bool:
        """Lock a file without waiting; return False if another process holds the lock."""
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Release the lock of a file."""
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Lock a file without waiting; return False if another process holds the lock."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Release the lock of a file."""
        fcntl.flock(fd, fcntl.LOCK_UN)
