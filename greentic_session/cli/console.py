"""Output of the command line: tables, JSON, remarks, questions."""

import shutil
import sys
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from .columns import GAP, fit, spared
from .drawing import pretty
from .words import cut, shown, width_of

__all__ = ["Console", "NobodyThereError"]


class NobodyThereError(Exception):
    """A question has no terminal to be asked on."""


class Console:
    """Writes results to the standard output; questions, progress and remarks to the standard error.

    Args:
        as_json: Whether results are for programs.
        wide: Whether tables show long cells in full on a terminal, too.
    """

    def __init__(self, *, as_json: bool, wide: bool = False) -> None:
        self.as_json = as_json
        self.wide = wide

    def write(self, text: str) -> None:
        """Write a line for people."""
        sys.stdout.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """Write a value as JSON, for programs."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: Collection[int] = (),
        whole: Collection[int] = (),
        optional: Collection[int] = (),
        spare: Sequence[int] = (),
    ) -> None:
        """Write a table. On a terminal it is no wider than that: long cells are cut.

        What is read by a program is never cut.

        Args:
            head: The names of the columns.
            rows: Their cells.
            right: The numbers of the columns that are read from the right, and never cut.
            whole: Of others that are never cut.
            optional: Of those that are left out where no row says anything there.
            spare: Of those that are left out of a narrow terminal, the first one first.
        """
        is_terminal = sys.stdout.isatty()
        room = shutil.get_terminal_size().columns if is_terminal and not self.wide else None
        cells = [list(head), *([shown(cell) for cell in row] for row in rows)]
        widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
        empty = {number for number in optional if not any(row[number] for row in rows)}
        uncut = {*right, *whole}
        for number in empty:
            widths[number] = -GAP
        left_out = spared(widths, uncut, room, [number for number in spare if number not in empty])
        told = [number for number in range(len(head)) if number not in empty | left_out]
        fitted = fit([widths[number] for number in told], [at for at, number in enumerate(told) if number in uncut], room)
        dots = "…" if (sys.stdout.encoding or "").lower().startswith("utf") else "..."
        lines = [[cut(line[number], width, dots) for number, width in zip(told, fitted, strict=True)] for line in cells]
        self._write_table(
            lines, fitted, [at for at, number in enumerate(told) if number in right], is_drawn=room is not None
        )
        if left_out:
            self.remark(f"left out: {', '.join(head[number] for number in sorted(left_out))}; --wide shows all")

    def _write_table(
        self, lines: Sequence[Sequence[str]], widths: Sequence[int], right: Collection[int], *, is_drawn: bool
    ) -> None:
        if is_drawn and (drawing := pretty()):  # a wide one is the terminal's to wrap
            drawing.write_table(lines, widths, right)
            return
        for line in lines:
            padded = [
                " " * (width - width_of(cell)) + cell if number in right else cell + " " * (width - width_of(cell))
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            self.write((" " * GAP).join(padded).rstrip())

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names with their values, a line each."""
        widest = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.write(f"{name.ljust(widest)}  {shown(value)}")

    def item(self, text: str) -> None:
        """Write one thing of a list."""
        self.write(f"     {shown(text)}")

    def remark(self, text: str) -> None:
        """Tell people something beside the result."""
        sys.stderr.write(f"{shown(text)}\n")

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
        sys.stderr.write(f"{shown(question)} [y/N] ")
        sys.stderr.flush()
        agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
        if not agreed:
            self.remark("Nothing was removed.")
        return agreed
