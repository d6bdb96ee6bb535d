"""Progress of a command: how many it has looked at, copied or removed."""

import sys
import time
from typing import Any, Final, Self

from .drawing import pretty

__all__ = ["Progress"]

_PAUSE: Final = 0.1
"""Seconds between two pictures of a progress bar."""
_WIDTH: Final = 24


class Progress:
    """Progress of a command: a line that is drawn anew, on a terminal; nothing elsewhere.

    Args:
        what: What is counted.
        total: How many there will be, roughly; 0 where nobody knows.
    """

    def __init__(self, what: str, total: int = 0) -> None:
        self.count: int = 0
        self._what = what
        self._total = total
        self._drawn = 0.0
        self._shows = sys.stderr.isatty()
        drawing = pretty() if self._shows else None
        self._bar: Any = None if drawing is None else drawing.Bar(what)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._shows and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def advance(self, more: int) -> None:
        """Count so many more."""
        self.count += more
        now = time.monotonic()
        if not self._shows or now - self._drawn < _PAUSE:
            return
        self._drawn = now
        if self._bar is not None:
            self._bar.draw(self.count, self._total)
        else:
            sys.stderr.write(f"\r\x1b[K{self.line()}")
            sys.stderr.flush()

    def reach(self, count: int, total: int) -> None:
        """Take note that so many are done, of so many."""
        self._total = total
        self.advance(count - self.count)

    def line(self) -> str:
        """Return what is drawn without rich."""
        if not self._total:
            return f"{self._what}: {self.count:,}"
        done = min(self.count / self._total, 1)
        bar = "#" * int(done * _WIDTH)
        return f"{self._what}: [{bar.ljust(_WIDTH, '.')}] {done:4.0%}  {self.count:,} of {self._total:,}"
