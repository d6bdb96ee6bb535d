"""Directory for the files of a run, and what the report says of it."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .file_system import IN_MEMORY, file_system_of

__all__ = ["Files", "open_directory"]

_NO_DISK = "The directory is in memory: these figures say nothing about a disk. Choose another with --directory."


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files of a run.

    Attributes:
        directory: Path of the directory; it is removed at the end of the run.
        file_system: Type, device and mount point of its file system.
    """

    directory: str
    file_system: str

    @property
    def notes(self) -> list[str]:
        """Notes for the report where no file is on a disk."""
        return [_NO_DISK] * self.file_system.startswith(IN_MEMORY)


@contextmanager
def open_directory(options: argparse.Namespace) -> Iterator[Files]:
    """Make the directory of a run, in that of ``--directory``, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="gs-bench-", dir=options.directory) as directory:
        yield Files(directory=directory, file_system=file_system_of(directory))
