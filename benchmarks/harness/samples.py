"""Samples of a measurement and their statistics: percentiles, medians, ratios.

Needs nothing but the standard library: a peer's process uses it in an environment of its own.
"""

import math
import statistics
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Sample", "Samples", "median_of", "median_ratio", "times_us"]


@dataclass(kw_only=True)
class Sample:
    """Time that some calls took.

    Attributes:
        calls: Number of calls.
        wall_ns: Nanoseconds from the start of the first call to the end of the last one.
        cpu_ns: Nanoseconds of processor time of the calling process, all threads.
        server_ns: Nanoseconds of processor time of the server; 0 where none is watched.
        latencies_ns: Nanoseconds of each call; empty where calls are not timed one by one.
    """

    calls: int = 0
    wall_ns: int = 0
    cpu_ns: int = 0
    server_ns: int = 0
    latencies_ns: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, other: "Sample") -> None:
        self.calls += other.calls
        self.wall_ns += other.wall_ns
        self.cpu_ns += other.cpu_ns
        self.server_ns += other.server_ns
        self.latencies_ns.extend(other.latencies_ns)

    @property
    def us_per_call(self) -> float:
        """Wall time divided by calls: less than the latency of a call if there are many tasks."""
        return self.wall_ns / self.calls / 1000

    @property
    def cpu_us_per_call(self) -> float:
        return self.cpu_ns / self.calls / 1000

    @property
    def server_us_per_call(self) -> float:
        return self.server_ns / self.calls / 1000

    @property
    def calls_per_second(self) -> float:
        return self.calls / self.wall_ns * 1e9

    def latency_us(self, percent: float) -> float:
        """Return a percentile of the latencies: the smallest one that `percent` % do not exceed."""
        ordered = sorted(self.latencies_ns)
        return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1] / 1000


Samples = dict[str, list[Sample]]
"""By contestant, a sample for each round; the samples of one round were taken side by side."""


def times_us(rounds: Sequence[Sample]) -> list[float]:
    """Return the microseconds per call of each round."""
    return [sample.us_per_call for sample in rounds]


def median_of(rounds: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """Return the median over the rounds of one figure of a sample."""
    return statistics.median(map(figure, rounds))


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds, not the ratio of the medians."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
