"""Charts of the results. A chart without lines is left out."""

from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from benchmarks.harness.population import USUAL_BYTES
from benchmarks.harness.results import Result, size_text
from benchmarks.harness.samples import Sample, median_of
from benchmarks.harness.svg import Chart, Series
from benchmarks.peers.catalogue import PEERS

from .ours import REGISTER_WITHOUT_TTL
from .pool import SAME_COMMANDS, TWO_GETS
from .waits import LIST, PARK, SMEMBERS

__all__ = ["make_charts", "write_charts"]

_PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
_MANY_TASKS = 100
_OTHERS = ((SAME_COMMANDS, SMEMBERS), (TWO_GETS,), *(peer.calls.values() for peer in PEERS))
_STYLES = {name: style for style, names in enumerate(_OTHERS, 1) for name in names} | {
    REGISTER_WITHOUT_TTL: 7,
    LIST: 7,
    PARK: 6,
}
"""Style of a line by its name: equal for a library in all charts. The first style is ours."""


def _lines(results: Sequence[Result], x: Callable[[Result], float], y: Callable[[Sample], float]) -> list[Series]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        lines.setdefault(result.contestant, []).append((x(result), median_of(result.rounds, y)))
    return [_line(name, sorted(points)) for name, points in lines.items() if len(points) > 1]


def _line(name: str, points: Sequence[tuple[float, float]]) -> Series:
    return Series(name, points, _STYLES.get(name, 0))


def _latencies(result: Result) -> list[tuple[float, float]]:
    return [(percent, median_of(result.rounds, methodcaller("latency_us", percent))) for percent in _PERCENTILES]


def make_charts(results: Sequence[Result]) -> dict[str, Chart]:
    """Return the charts by the names of their files."""
    charts: dict[str, Chart] = {}

    def add(name: str, title: str, x_title: str, y_title: str, series: Sequence[Series], **more: Any) -> None:
        if series:
            charts[name] = Chart(title=title, x_title=x_title, y_title=y_title, series=series, **more)

    for operation in ("find_wait", "register_wait"):
        found = [result for result in results if result.operation == operation and result.waits is None]
        usual = [result for result in found if result.size == USUAL_BYTES]
        add(
            f"throughput-{operation}.svg",
            f"{operation}: throughput, {size_text(USUAL_BYTES)} sessions",
            "tasks calling at once",
            "calls per second",
            _lines(usual, lambda result: result.tasks, lambda sample: sample.calls_per_second),
        )
        add(
            f"latency-{operation}.svg",
            f"{operation}: latency with {_MANY_TASKS} tasks, {size_text(USUAL_BYTES)} sessions",
            "percentile of the calls",
            "latency in microseconds",
            [_line(result.contestant, _latencies(result)) for result in usual if result.tasks == _MANY_TASKS],
            labels=[(percent, f"p{percent:g}") for percent in _PERCENTILES],
            even=True,
        )
        sized = [result for result in found if result.tasks == _MANY_TASKS]
        add(
            f"size-{operation}.svg",
            f"{operation}: cost of a call by the session's size, {_MANY_TASKS} tasks",
            "bytes of a session's text",
            "microseconds per call",
            _lines(sized, lambda result: result.size, lambda sample: sample.us_per_call),
            labels=[(size, size_text(size)) for size in sorted({result.size for result in sized})],
        )
    add(
        "waits.svg",
        "cost of a call by the number of the user's waits, 1 task",
        "waits of the user",
        "microseconds per call",
        _lines(
            [result for result in results if result.waits is not None],
            lambda result: result.waits or 0,
            lambda sample: sample.us_per_call,
        ),
    )
    return charts


def write_charts(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write the charts into a directory, which is made if missing; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, chart in make_charts(results).items():
        path = folder / name
        path.write_text(chart.svg(), encoding="utf-8")
        written.append(path)
    return written
