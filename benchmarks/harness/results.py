"""Results of contestants under one load, and the rows of the table that compare them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .report import Row, Target
from .samples import Sample, Samples, median_of, median_ratio, times_us

__all__ = ["Comparison", "Result", "compare", "size_text", "task_text", "time_row", "time_rows"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """All rounds of one contestant under one load.

    Attributes:
        operation: Operation of our store; a peer's contestant does what compares with it.
        contestant: Name of the contestant.
        tasks: Number of tasks that call at once.
        size: Bytes of a session's text.
        waits: Number of waits of the user, where that is what varies; else None.
        rounds: Sample of each round.
    """

    operation: str
    contestant: str
    tasks: int
    size: int
    waits: int | None = None
    rounds: Sequence[Sample]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of our operation with another contestant.

    Attributes:
        beside: Name of the other contestant.
        limit: Target: at least so many times its speed, or at most so many times its time; None for
            a ratio without a target.
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


def task_text(tasks: int) -> str:
    return f"{tasks:,} task{'s' * (tasks > 1)}"


def compare(measurement: str, results: Sequence[Result], comparisons: Sequence[Comparison] = ()) -> list[Row]:
    """Return a row for each result: ours first, then each other one with our ratio to it.

    A contestant that has a target and no result gets a row without figures.
    """
    ours, *others = results
    rows = [_speed_row(measurement, ours)]
    named = {comparison.beside: comparison for comparison in comparisons}
    for result in others:
        comparison = named.pop(result.contestant, Comparison(beside=result.contestant, limit=None))
        row = _speed_row(measurement, result)
        pair = (times_us(result.rounds), times_us(ours.rounds))
        row.ratio = median_ratio(*(pair if comparison.of == "speed" else pair[::-1]))
        row.ratio_of = f"ours: x its {comparison.of}"
        row.set_target(comparison.target)
        if all(sample.server_ns for sample in (*ours.rounds, *result.rounds)):
            row.server_ratio = median_ratio(
                [sample.server_us_per_call for sample in ours.rounds],
                [sample.server_us_per_call for sample in result.rounds],
            )
        rows.append(row)
    rows += [
        Row(measurement=measurement, contestant=comparison.beside, value=None, unit="calls/s", target=comparison.target)
        for comparison in named.values()
        if comparison.target is not None
    ]
    return rows


def _speed_row(measurement: str, result: Result) -> Row:
    row = time_row(measurement, result.contestant, result.rounds)
    row.value, row.unit = median_of(result.rounds, lambda sample: sample.calls_per_second), "calls/s"
    return row


def time_row(measurement: str, contestant: str, rounds: Sequence[Sample]) -> Row:
    """Return a row with microseconds per call, and percentiles if each call was timed."""
    timed = bool(rounds[0].latencies_ns)
    return Row(
        measurement=measurement,
        contestant=contestant,
        value=median_of(rounds, lambda sample: sample.us_per_call),
        unit="us",
        p50=median_of(rounds, lambda sample: sample.latency_us(50)) if timed else None,
        p99=median_of(rounds, lambda sample: sample.latency_us(99)) if timed else None,
        cpu=median_of(rounds, lambda sample: sample.cpu_us_per_call),
        server=median_of(rounds, lambda sample: sample.server_us_per_call) if rounds[0].server_ns else None,
    )


def time_rows(measurement: str, samples: Samples) -> list[Row]:
    """Return the rows of all contestants of one measurement."""
    return [time_row(measurement, contestant, rounds) for contestant, rounds in samples.items()]
