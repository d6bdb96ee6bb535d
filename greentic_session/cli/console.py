"""Output of the command line: tables, JSON, progress, questions."""

import sys
import time
import unicodedata
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

__all__ = ["Console", "NobodyThereError", "Progress", "duration", "size"]

_WIDEST: Final = 48
"""How wide a column of a terminal may be; what is read by a program is never cut."""
_PAUSE: Final = 0.1
"""Seconds between two pictures of a progress bar."""
_BAR: Final = 24


class NobodyThereError(Exception):
    """A question has no terminal to be asked on."""


class Console:
    """Writes results to the standard output; questions, progress and remarks to the standard error.

    Args:
        as_json: Whether results are for programs.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def write(self, text: str) -> None:
        """Write a line for people."""
        sys.stdout.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """Write a value as JSON, for programs."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """Write a table; `right` are the numbers of the columns that are read from the right."""
        cut = _WIDEST if sys.stdout.isatty() else None
        cells = [list(head), *([_shown(cell, cut) for cell in row] for row in rows)]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            padded = [
                " " * (width - _width(cell)) + cell if number in right else cell + " " * (width - _width(cell))
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            self.write("  ".join(padded).rstrip())

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names with their values, a line each."""
        widest = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.write(f"{name.ljust(widest)}  {_shown(value, None)}")

    def item(self, text: str) -> None:
        """Write one thing of a list."""
        self.write(f"     {_shown(text, None)}")

    def remark(self, text: str) -> None:
        """Tell people something beside the result."""
        sys.stderr.write(f"{_shown(text, None)}\n")

    def fail(self, error: Exception, code: int) -> int:
        """Tell what went wrong, and return the exit code."""
        sys.stderr.write(f"error: {error}\n")
        return code

    def check_can_ask(self, *, yes: bool) -> None:
        """Raise NobodyThereError where a question would have no terminal.

        Raises:
            NobodyThereError: There is no terminal, and ``--yes`` is not given.
        """
        if not yes and not sys.stdin.isatty():
            raise NobodyThereError("there is no terminal to ask on: say --yes")

    def ask(self, question: str) -> bool:
        """Ask on the terminal; anything but yes is no."""
        sys.stderr.write(f"{_shown(question, None)} [y/N] ")
        sys.stderr.flush()
        agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
        if not agreed:
            self.remark("Nothing was removed.")
        return agreed


class Progress:
    """How far something is: a line that is drawn anew, on a terminal; nothing elsewhere.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shows and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def advance(self, more: int) -> None:
        """Count so many more."""
        self.count += more
        now = time.monotonic()
        if self._shows and now - self._drawn >= _PAUSE:
            self._drawn = now
            sys.stderr.write(f"\r\x1b[K{self.line()}")
            sys.stderr.flush()

    def reach(self, count: int, total: int) -> None:
        """Take note that so many are done, of so many."""
        self._total = total
        self.advance(count - self.count)

    def line(self) -> str:
        """Return what is drawn."""
        if not self._total:
            return f"{self._what}: {self.count:,}"
        done = min(self.count / self._total, 1)
        bar = "#" * int(done * _BAR)
        return f"{self._what}: [{bar.ljust(_BAR, '.')}] {done:4.0%}  {self.count:,} of {self._total:,}"


def duration(milliseconds: int | None) -> str:
    """Return a length of time for people, in its two largest units.

    >>> duration(93_784_000)
    '1d 2h'
    """
    if milliseconds is None:
        return "never"
    seconds = milliseconds // 1000
    parts = [(seconds // 86400, "d"), (seconds % 86400 // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s")]
    first = next((number for number, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value}{unit}" for value, unit in parts[first : first + 2])


def size(count: float) -> str:
    """Return a number of bytes for people.

    >>> size(4300)
    '4.2 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def _shown(text: str, cut: int | None) -> str:
    """Return a text without what would steer a terminal: node names and scopes are anybody's."""
    safe = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return safe if cut is None or len(safe) <= cut else f"{safe[: cut - 3]}..."


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
