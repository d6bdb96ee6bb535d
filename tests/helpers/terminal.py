"""A terminal of a given size, in which a program runs: a pty, read by an emulator."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyte

__all__ = ["Terminal", "terminal"]

_PATIENCE_S = 60.0
"""How long a test waits for a picture, at most."""


class Terminal:
    """A program in its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], file: int, columns: int, lines: int) -> None:
        self.process = process
        self.written = b""
        self._file = file
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> Sequence[str]:
        """Text on the screen."""
        return [line.rstrip() for line in self._screen.display]

    def until(self, seen: Callable[[Sequence[str]], object]) -> Sequence[str]:
        """Wait for a picture; return it."""
        late = time.monotonic() + _PATIENCE_S
        while not seen(self.lines):
            assert self._read(late), "\n".join(["not seen:", *self.lines])
        return self.lines

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._file, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Make it another size."""
        _size(self._file, columns, lines)
        self._screen.resize(lines, columns)

    def end(self) -> int:
        """Wait for the program's end; return its exit code."""
        late = time.monotonic() + _PATIENCE_S
        while self._read(late):
            pass
        return self.process.wait(_PATIENCE_S)

    def settings(self) -> list[Any]:
        """Return how the terminal is set up."""
        return termios.tcgetattr(self._file)

    def _read(self, late: float) -> bool:
        """Take in what was written; False at the end of it, or when it is late."""
        ready, _, _ = select.select([self._file], [], [], max(late - time.monotonic(), 0))
        if not ready:
            return False
        try:
            written = os.read(self._file, 65536)
        except OSError:  # EIO: the program has ended
            return False
        self.written += written
        self._stream.feed(written)
        return bool(written)


@contextmanager
def terminal(command: Sequence[str], columns: int, lines: int) -> Iterator[Terminal]:
    """Run a program in a terminal; it is killed after the block."""
    ours, its = pty.openpty()
    _size(its, columns, lines)
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True)
    os.close(its)
    try:
        yield Terminal(process, ours, columns, lines)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _size(file: int, columns: int, lines: int) -> None:
    fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
