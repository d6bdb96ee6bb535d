"""How much memory a process has, as the operating system counts it; on Linux only."""

import os
from pathlib import Path

__all__ = ["IS_KNOWN", "resident_set"]

STATM = Path("/proc/self/statm")
IS_KNOWN = STATM.exists()
"""Whether the resident set can be read here."""


def resident_set() -> int:
    """Return the bytes of this process's resident set."""
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
