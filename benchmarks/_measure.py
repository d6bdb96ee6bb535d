"""How everything here is measured: contestants in turns, medians, ratios of what ran side by side."""

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

__all__ = ["Contestant", "Report", "Row", "Samples", "Target", "interleave", "machine", "median_ratio"]

Samples = dict[str, list[float]]
"""Microseconds per call by contestant, one figure a round; the n-th of each were taken side by side."""


async def _nothing(*_args: object) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way of doing the job.

    Attributes:
        name: Its name in the table.
        pick: Returns the arguments of call number n in a round; not timed.
        run: Makes one call for each of the arguments; this alone is timed.
        begin: Called before each round; not timed.
        prepare: Called with the arguments before each block; not timed.
    """

    name: str
    pick: Callable[[int, int], Any]
    run: Callable[[Sequence[Any]], Awaitable[None]]
    begin: Callable[[], Awaitable[None]] = _nothing
    prepare: Callable[[Sequence[Any]], Awaitable[None]] = _nothing


async def interleave(contestants: Sequence[Contestant], order: Sequence[int], *, rounds: int, block: int) -> Samples:
    """Let the contestants make the calls of `order` in turns, a block at a time, in every round.

    Who goes first changes from block to block, so that a slow moment of the machine hits all alike. The cyclic garbage
    collector is off for all of them while a round runs, has run before it, and never looks at what was there before the
    first round (`gc.freeze`), whoever put it there. The first round warms up and does not count.
    """
    samples: Samples = {contestant.name: [] for contestant in contestants}
    gc.collect()
    gc.freeze()
    for turn in range(rounds + 1):
        spent = dict.fromkeys(samples, 0)
        for contestant in contestants:
            await contestant.begin()
        gc.collect()
        gc.disable()
        try:
            for number, start in enumerate(range(0, len(order), block)):
                for contestant in contestants if (turn + number) % 2 else reversed(contestants):
                    args = [contestant.pick(n, turn) for n in order[start : start + block]]
                    await contestant.prepare(args)
                    began = time.perf_counter_ns()
                    await contestant.run(args)
                    spent[contestant.name] += time.perf_counter_ns() - began
        finally:
            gc.enable()
        if turn:
            for name, nanoseconds in spent.items():
                samples[name].append(nanoseconds / len(order) / 1000)
    gc.unfreeze()
    return samples


class Target(msgspec.Struct, frozen=True):
    """What a row is held against: its `ratio` or its `value`, at least or at most `limit`."""

    field: Literal["ratio", "value"]
    bound: Literal["min", "max"]
    limit: float

    def __str__(self) -> str:
        return f"{self.field} {'>=' if self.bound == 'min' else '<='} {self.limit:,g}"

    def is_met(self, figure: float) -> bool:
        return figure >= self.limit if self.bound == "min" else figure <= self.limit


class Row(msgspec.Struct, kw_only=True):
    """One line of the table.

    Attributes:
        measurement: What was measured.
        contestant: Who did it.
        value: The median.
        unit: Of `value`.
        ratio: Of this contestant and the one that it is measured by, `ratio_of` says which way round.
        ratio_of: What the ratio is; None without one.
        target: What was asked for; None for what is told for information.
        holds: Whether the target was met; None where there is no target or no figure to hold against it.
    """

    measurement: str
    contestant: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_of: str | None = None
    target: Target | None = None
    holds: bool | None = None

    def __post_init__(self) -> None:
        if self.target is not None:
            figure = self.value if self.target.field == "value" else self.ratio
            self.holds = None if figure is None else self.target.is_met(figure)


class Report(msgspec.Struct, kw_only=True):
    """All that one run found out."""

    machine: dict[str, str]
    settings: dict[str, Any]
    rows: list[Row]
    findings: dict[str, list[str]]
    notes: list[str]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def table(self) -> str:
        cells: list[tuple[str, ...]] = [("measurement", "contestant", "median", "ratio", "target", "holds")]
        last = ""
        for row in self.rows:
            cells.append(
                (
                    "" if row.measurement == last else row.measurement,
                    row.contestant,
                    f"{row.value:,.3f} {row.unit}" if row.value < 100 else f"{row.value:,.0f} {row.unit}",
                    "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_of})",
                    "" if row.target is None else str(row.target),
                    {True: "yes", False: "MISSED", None: "" if row.target is None else "not measured"}[row.holds],
                )
            )
            last = row.measurement
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        cells.insert(1, tuple("-" * width for width in widths))
        lines = [f"{name}: {text}" for name, text in self.machine.items()]
        lines.append("settings: " + ", ".join(f"{name} {setting}" for name, setting in self.settings.items()))
        lines += ["", *(_line(line, widths) for line in cells), ""]
        lines += [f"{finding}: {', '.join(names) or 'none'}" for finding, names in self.findings.items()]
        lines += ["", *self.notes]
        return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    figures = 2  # the column that is read from the right
    padded = [
        cell.rjust(width) if n == figures else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: what ran side by side is compared, then the median taken."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def machine(*distributions: str) -> dict[str, str]:
    """Return where this runs, and with which versions of `distributions`."""
    found = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
