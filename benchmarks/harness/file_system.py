"""File system of a directory."""

from pathlib import Path

__all__ = ["IN_MEMORY", "file_system_of", "find_mount"]

IN_MEMORY = ("tmpfs", "ramfs")
"""File systems without a disk."""
_MOUNTS = Path("/proc/mounts")


def file_system_of(directory: str) -> str:
    """Return type, device and mount point of a file system; ``unknown`` without /proc."""
    return find_mount(directory, _MOUNTS.read_text(encoding="utf-8") if _MOUNTS.exists() else "")


def find_mount(directory: str, mounts: str) -> str:
    """Return the file system of a directory, from the text of ``/proc/mounts``."""
    path = Path(directory).resolve()
    found, depth = "unknown", -1
    for line in mounts.splitlines():
        device, point, kind, *_ = line.split(" ")
        mounted = Path(point.replace("\\040", " "))
        # Of several mounts at the same point the last one hides the others.
        if path.is_relative_to(mounted) and len(mounted.parts) >= depth:
            found, depth = f"{kind} ({device} at {mounted})", len(mounted.parts)
    return found
