"""Locks between processes.

One byte of a file, held by whoever has the file open, gone with the process.
"""

import os
import sys

__all__ = ["try_lock", "unlock"]

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def try_lock(fd: int) -> bool:
        """Lock a file, unless somebody else has; say whether it is ours now."""
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Let go of a file that we have locked."""
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Lock a file, unless somebody else has; say whether it is ours now."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Let go of a file that we have locked."""
        fcntl.flock(fd, fcntl.LOCK_UN)
