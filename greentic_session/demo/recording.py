"""Reads a file of recorded updates, one a line."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO

from .telegram import MAX_LINE_BYTES

__all__ = ["RecordingError", "lines", "open_recording"]

_STDIN = 0


class RecordingError(Exception):
    """The file of updates cannot be read."""


@contextmanager
def open_recording(name: str | None) -> Iterator[IO[bytes]]:
    """Open a file of updates.

    Args:
        name: The file; ``-`` is the standard input, None the recording that comes with the demo.

    Raises:
        RecordingError: It cannot be opened.
    """
    try:
        file = _open(name)
    except OSError as error:
        raise RecordingError(f"cannot open {_shown(name)}: {error.strerror}") from error
    with file:
        yield file


def _shown(name: str | None) -> str:
    # Somebody may have typed the store's URL here, with its password.
    return "the file of updates" if name is None or "@" in name or "://" in name else name


def _open(name: str | None) -> IO[bytes]:
    if name is None:
        return (files("greentic_session.demo") / "updates.jsonl").open("rb")
    if name == "-":
        return open(_STDIN, "rb", closefd=False)
    return Path(name).open("rb")


def lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield every line that is not blank, with its number from 1.

    Of a line longer than `MAX_LINE_BYTES` only the beginning is kept, one byte more than that: a
    file without any line ends must not fill the memory.

    Raises:
        RecordingError: The file cannot be read on.
    """
    number = 0
    try:
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE_BYTES)
            if line.strip():
                yield number, line
    except OSError as error:
        raise RecordingError(f"cannot read on after line {number}: {error.strerror}") from error
