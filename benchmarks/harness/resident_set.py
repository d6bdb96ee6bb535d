"""Resident set of this process, as Linux counts it."""

import os
from pathlib import Path

__all__ = ["IS_KNOWN", "resident_set_bytes"]

_STATM = Path("/proc/self/statm")
IS_KNOWN = _STATM.exists()
"""Whether the resident set can be read on this machine."""


def resident_set_bytes() -> int:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
