"""Tables and progress bars, drawn by rich."""

import sys
from collections.abc import Container, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from .columns import GAP

__all__ = ["Bar", "write_table"]

_COUNTED = "{task.description}: {task.completed:,}"


def write_table(cells: Sequence[Sequence[str]], widths: Sequence[int], right: Container[int]) -> None:
    """Write a table to the standard output.

    Args:
        cells: The head and the rows, of texts that fit their columns.
        widths: Those of the columns.
        right: The numbers of the columns that are read from the right.
    """
    head, *rows = cells
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for number, (name, width) in enumerate(zip(head, widths, strict=True)):
        table.add_column(
            Text(name), width=width, no_wrap=True, overflow="crop", justify="right" if number in right else "left"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    total = sum(widths) + GAP * len(widths)
    Console(file=sys.stdout, width=total, highlight=False).print(table)


class Bar:
    """A progress bar on the standard error: it is gone once its block is left.

    Args:
        what: What is counted.
    """

    def __init__(self, what: str) -> None:
        self._console = Console(file=sys.stderr)
        self._what = what
        self._bar: Progress | None = None
        self._has_total: bool | None = None

    def close(self) -> None:
        """Take it off the terminal; idempotent."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def draw(self, count: int, total: int) -> None:
        """Show that so many are done, of so many; of 0 where nobody knows."""
        if self._bar is None or self._has_total is not bool(total):
            if self._bar is not None:
                self._bar.stop()
            self._has_total = bool(total)
            self._bar = Progress(*_columns(self._has_total), console=self._console, transient=True)
            self._bar.add_task(self._what, total=None)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=count, total=total or None)


def _columns(has_total: bool) -> Sequence[ProgressColumn]:  # noqa: FBT001
    if not has_total:
        return [TextColumn(_COUNTED)]
    return [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn()]
