"""How everything here is measured: contestants in turns, medians, ratios of what ran side by side.

Needs nothing but the standard library: a peer's process in an environment of its own measures with it too.
"""

import asyncio
import gc
import math
import statistics
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Contestant", "Samples", "Spent", "closed_loop", "interleave", "median_of", "median_ratio", "own_loops", "times"]


@dataclass(kw_only=True)
class Spent:
    """What some calls took.

    Attributes:
        calls: How many they were.
        wall: Nanoseconds from the first call's start to the last one's end.
        cpu: Nanoseconds of processor time of the process that made them, all threads.
        latencies: Nanoseconds of each call; empty where they were not timed one by one.
    """

    calls: int = 0
    wall: int = 0
    cpu: int = 0
    latencies: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, other: "Spent") -> None:
        self.calls += other.calls
        self.wall += other.wall
        self.cpu += other.cpu
        self.latencies.extend(other.latencies)

    @property
    def us(self) -> float:
        """Microseconds per call, of the whole; with many tasks at once that is no call's latency."""
        return self.wall / self.calls / 1000

    @property
    def cpu_us(self) -> float:
        return self.cpu / self.calls / 1000

    @property
    def per_second(self) -> float:
        return self.calls / self.wall * 1e9

    def percentile(self, percent: float) -> float:
        """Return the smallest latency, in microseconds, that so many per cent of the calls did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1] / 1000


Samples = dict[str, list[Spent]]
"""What each contestant took, one figure a round; the n-th of each were taken side by side."""


async def _nothing(*_args: object) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way of doing the job.

    Attributes:
        name: Its name in the table.
        pick: Returns the arguments of call number n in a round; not timed.
        run: Makes one call for each of the arguments; this alone is timed. It may return what the calls took itself.
        begin: Called before each round; not timed.
        prepare: Called with the arguments before each block; not timed.
    """

    name: str
    pick: Callable[[int, int], Any]
    run: Callable[[Sequence[Any]], Awaitable[Spent | None]]
    begin: Callable[[], Awaitable[None]] = _nothing
    prepare: Callable[[Sequence[Any]], Awaitable[None]] = _nothing


async def interleave(
    contestants: Sequence[Contestant],
    order: Sequence[int],
    *,
    rounds: int,
    block: int,
    tick: Callable[[], object] = lambda: None,
) -> Samples:
    """Let the contestants make the calls of `order` in turns, a block at a time, in every round.

    Who goes first changes from block to block, so that a slow moment of the machine hits all alike. The cyclic garbage
    collector is off for all of them while a round runs, has run before it, and never looks at what was there before the
    first round (`gc.freeze`), whoever put it there. The first round warms up and does not count. `tick` is called at the
    end of each round.
    """
    samples: Samples = {contestant.name: [] for contestant in contestants}
    gc.collect()
    gc.freeze()
    for turn in range(rounds + 1):
        spent = {name: Spent() for name in samples}
        for contestant in contestants:
            await contestant.begin()
        gc.collect()
        gc.disable()
        try:
            for number, start in enumerate(range(0, len(order), block)):
                for contestant in contestants if (turn + number) % 2 else reversed(contestants):
                    args = [contestant.pick(n, turn) for n in order[start : start + block]]
                    await contestant.prepare(args)
                    spent[contestant.name].add(await _timed(contestant.run, args))
        finally:
            gc.enable()
        if turn:
            for name, figures in spent.items():
                samples[name].append(figures)
        tick()
    gc.unfreeze()
    return samples


async def _timed(run: Callable[[Sequence[Any]], Awaitable[Spent | None]], args: Sequence[Any]) -> Spent:
    used, began = time.process_time_ns(), time.perf_counter_ns()
    told = await run(args)
    ended, left = time.perf_counter_ns(), time.process_time_ns()
    return told or Spent(calls=len(args), wall=ended - began, cpu=left - used)


def closed_loop(call: Callable[[Any], Awaitable[object]], tasks: int) -> Callable[[Sequence[Any]], Awaitable[Spent | None]]:
    """Return a `Contestant.run`: so many tasks, each making the next call when its last one is answered."""

    async def run(args: Sequence[Any]) -> Spent:
        left = iter(args)  # they share it: whoever is free takes the next one
        return await _loops(call, [left] * min(tasks, len(args)))

    return run


def own_loops(call: Callable[[Any], Awaitable[object]]) -> Callable[[Sequence[Any]], Awaitable[Spent | None]]:
    """Return a `Contestant.run`: a task for each different argument, which makes all its calls, one after the other."""

    async def run(args: Sequence[Any]) -> Spent:
        own: dict[Any, list[Any]] = {}
        for arg in args:
            own.setdefault(arg, []).append(arg)
        return await _loops(call, [iter(each) for each in own.values()])

    return run


async def _loops(call: Callable[[Any], Awaitable[object]], lines: Sequence[Iterator[Any]]) -> Spent:
    """Let a task for each of the lines make a call for what it takes from there, as long as there is something."""
    latencies = array("q")
    clock, note = time.perf_counter_ns, latencies.append

    async def task(line: Iterator[Any]) -> None:
        for arg in line:
            began = clock()
            await call(arg)
            note(clock() - began)

    used, began = time.process_time_ns(), clock()
    if len(lines) == 1:
        await task(lines[0])
    else:
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(task(line))
    ended = clock()
    return Spent(calls=len(latencies), wall=ended - began, cpu=time.process_time_ns() - used, latencies=latencies)


def times(rounds: Sequence[Spent]) -> list[float]:
    """Return the rounds' microseconds per call."""
    return [spent.us for spent in rounds]


def median_of(rounds: Sequence[Spent], figure: Callable[[Spent], float]) -> float:
    """Return the median over the rounds of one of their figures."""
    return statistics.median(map(figure, rounds))


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: what ran side by side is compared, then the median taken."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
