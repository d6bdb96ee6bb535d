"""What one contestant took in one place, and what that makes in the table: figures, ratios, targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .measuring import Spent, median_of, median_ratio, times
from .report import Row, Target

__all__ = ["Aim", "Cell", "rows_of", "size_text"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All rounds of one contestant.

    Attributes:
        operation: Our operation, which it does or stands beside.
        contestant: Its name.
        tasks: How many called at once.
        size: The bytes of a session's text.
        waits: How many waits the user had, where that is what varies; else None.
        rounds: What each round took.
    """

    operation: str
    contestant: str
    tasks: int
    size: int
    waits: int | None = None
    rounds: Sequence[Spent]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """How our operation is compared with another contestant, and what is asked for.

    Attributes:
        beside: The other contestant.
        limit: So many times its speed at least, or its time at most; None where nothing is asked for.
        of: Whether speeds or times are compared.
    """

    beside: str
    limit: float | None
    of: Literal["speed", "time"] = "speed"

    @property
    def target(self) -> Target | None:
        return None if self.limit is None else Target("ratio", "min" if self.of == "speed" else "max", self.limit)


def size_text(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def _ratio_of(of: str) -> str:
    return f"ours: x its {of}"


def rows_of(measurement: str, cells: Sequence[Cell], aims: Sequence[Aim] = ()) -> list[Row]:
    """Return a row for each of the contestants of one run: ours first, and what it is beside each of the others.

    Whom an aim names, and who is not there, has a row without figures.
    """
    ours, *others = cells
    rows = [_row(measurement, ours)]
    aimed = {aim.beside: aim for aim in aims}
    for cell in others:
        aim = aimed.pop(cell.contestant, None)
        row = _row(measurement, cell)
        of = "speed" if aim is None else aim.of
        pair = (times(cell.rounds), times(ours.rounds))
        row.ratio, row.ratio_of = median_ratio(*(pair if of == "speed" else pair[::-1])), _ratio_of(of)
        if aim is not None and aim.target is not None:
            row.hold_against(aim.target)
        rows.append(row)
    rows += [
        Row(measurement=measurement, contestant=aim.beside, value=None, unit="calls/s", target=aim.target)
        for aim in aimed.values()
        if aim.target is not None
    ]
    return rows


def _row(measurement: str, cell: Cell) -> Row:
    return Row(
        measurement=measurement,
        contestant=cell.contestant,
        value=median_of(cell.rounds, lambda spent: spent.per_second),
        unit="calls/s",
        p50=median_of(cell.rounds, lambda spent: spent.percentile(50)),
        p99=median_of(cell.rounds, lambda spent: spent.percentile(99)),
        cpu=median_of(cell.rounds, lambda spent: spent.cpu_us),
    )
