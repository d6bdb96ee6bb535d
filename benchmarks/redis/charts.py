"""Which charts are drawn from what was measured. One that has nothing to show is left out."""

from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import Spent, median_of
from benchmarks.harness.results import Cell, size_text
from benchmarks.harness.svg import Chart, Series
from benchmarks.peers.catalogue import PEERS

from .operations import USUAL
from .ours import REGISTER_FOR_EVER
from .pool import SAME_COMMANDS, TWO_GETS
from .waits import LIST, PARK, SMEMBERS

__all__ = ["charts_of", "write_charts"]

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
MANY = 100
OTHERS = ((SAME_COMMANDS, SMEMBERS), (TWO_GETS,), *(peer.calls.values() for peer in PEERS))
LOOKS = {name: look for look, names in enumerate(OTHERS, 1) for name in names} | {REGISTER_FOR_EVER: 7, LIST: 7, PARK: 6}
"""The look of a line by its name: a library's is the same in every chart, and the first is ours."""


def _series(cells: Sequence[Cell], across: Callable[[Cell], float], up: Callable[[Spent], float]) -> list[Series]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        lines.setdefault(cell.contestant, []).append((across(cell), median_of(cell.rounds, up)))
    return [_named(name, sorted(points)) for name, points in lines.items() if len(points) > 1]


def _named(name: str, points: Sequence[tuple[float, float]]) -> Series:
    return Series(name, points, LOOKS.get(name, 0))


def _latencies(cell: Cell) -> list[tuple[float, float]]:
    return [(percent, median_of(cell.rounds, methodcaller("percentile", percent))) for percent in PERCENTILES]


def charts_of(cells: Sequence[Cell]) -> dict[str, Chart]:
    """Return the charts by the names of their files."""
    charts: dict[str, Chart] = {}

    def add(name: str, title: str, across: str, up: str, series: Sequence[Series], **more: Any) -> None:
        if series:
            charts[name] = Chart(title=title, across=across, up=up, series=series, **more)

    usual = [cell for cell in cells if cell.size == USUAL]
    for operation in ("find_wait", "register_wait"):
        found = [cell for cell in usual if cell.operation == operation and cell.waits is None]
        add(
            f"throughput-{operation}.svg",
            f"{operation}: throughput, {size_text(USUAL)} sessions",
            "tasks calling at once",
            "calls per second",
            _series(found, lambda cell: cell.tasks, lambda spent: spent.per_second),
        )
        add(
            f"latency-{operation}.svg",
            f"{operation}: latency with {MANY} tasks, {size_text(USUAL)} sessions",
            "percentile of the calls",
            "latency in microseconds",
            [_named(cell.contestant, _latencies(cell)) for cell in found if cell.tasks == MANY],
            labels=[(p, f"p{p:g}") for p in PERCENTILES],
            even=True,
        )
        sized = [cell for cell in cells if cell.operation == operation and cell.tasks == MANY and cell.waits is None]
        add(
            f"size-{operation}.svg",
            f"{operation}: cost of a call by the session's size, {MANY} tasks",
            "bytes of a session's text",
            "microseconds per call",
            _series(sized, lambda cell: cell.size, lambda spent: spent.us),
            labels=[(size, size_text(size)) for size in sorted({cell.size for cell in sized})],
        )
    add(
        "waits.svg",
        "cost of a call by the number of the user's waits, 1 task",
        "waits of the user",
        "microseconds per call",
        _series(
            [cell for cell in cells if cell.waits is not None],
            lambda cell: cell.waits or 0,
            lambda spent: spent.us,
        ),
    )
    return charts


def write_charts(cells: Sequence[Cell], folder: Path) -> list[Path]:
    """Write the charts into a directory, made if it is not there; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, chart in charts_of(cells).items():
        path = folder / name
        path.write_text(chart.svg(), encoding="utf-8")
        written.append(path)
    return written
