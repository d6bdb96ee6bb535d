"""Measuring loop: contestants take turns, block by block, and each round gives a sample.

Needs nothing but the standard library: a peer's process uses it in an environment of its own.
"""

import asyncio
import gc
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .samples import Sample, Samples
from .server_time import used_ns

__all__ = ["Contestant", "Run", "closed_loop", "in_sequence", "interleave", "task_per_argument"]

Run: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sample | None]]
"""Makes one call for each argument. Returns the sample if it timed the calls itself, else None."""


async def _nothing(*_args: object) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way of doing an operation.

    Attributes:
        name: Name in the table.
        pick: Returns the argument of a call, from its number and the number of the round; not
            timed.
        run: Makes one call for each argument; this alone is timed.
        begin: Called before each round; not timed.
        prepare: Called with the arguments before each block; not timed.
    """

    name: str
    pick: Callable[[int, int], Any]
    run: Run
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
    """Let all contestants make the calls of `order`, in turns of a block, in every round.

    Contestants begin in another order in the next block, so a slow moment of the machine hits all
    of them alike. The first round warms up and does not count. The cyclic garbage collector runs
    before a round and is off during it; objects that exist before the first round are frozen, so
    that it never walks them.

    Args:
        contestants: All contestants of this measurement.
        order: Numbers of the calls of one round.
        rounds: Number of rounds that count.
        block: Number of calls in a turn.
        tick: Called at the end of each round.
    """
    samples: Samples = {contestant.name: [] for contestant in contestants}
    gc.collect()
    gc.freeze()
    for turn in range(rounds + 1):
        totals = {name: Sample() for name in samples}
        for contestant in contestants:
            await contestant.begin()
        gc.collect()
        gc.disable()
        try:
            for number, start in enumerate(range(0, len(order), block)):
                for contestant in contestants if (turn + number) % 2 else reversed(contestants):
                    args = [contestant.pick(n, turn) for n in order[start : start + block]]
                    await contestant.prepare(args)
                    totals[contestant.name].add(await _timed(contestant.run, args))
        finally:
            gc.enable()
        if turn:
            for name, total in totals.items():
                samples[name].append(total)
        tick()
    gc.unfreeze()
    return samples


async def _timed(run: Run, args: Sequence[Any]) -> Sample:
    server_began = used_ns()
    cpu_began, began = time.process_time_ns(), time.perf_counter_ns()
    own = await run(args)
    ended, cpu_ended = time.perf_counter_ns(), time.process_time_ns()
    server = used_ns() - server_began
    return own or Sample(calls=len(args), wall_ns=ended - began, cpu_ns=cpu_ended - cpu_began, server_ns=server)


def in_sequence(call: Callable[[Any], Awaitable[object]]) -> Run:
    """Return a `Contestant.run` with one task that does not time its calls one by one."""

    async def run(args: Sequence[Any]) -> None:
        for arg in args:
            await call(arg)

    return run


def closed_loop(call: Callable[[Any], Awaitable[object]], tasks: int) -> Run:
    """Return a `Contestant.run` with several tasks that share the arguments.

    A task makes its next call when its last one is answered, and times each.
    """

    async def run(args: Sequence[Any]) -> Sample:
        shared = iter(args)
        return await _run_tasks(call, [shared] * min(tasks, len(args)))

    return run


def task_per_argument(call: Callable[[Any], Awaitable[object]]) -> Run:
    """Return a `Contestant.run` with one task for each different argument.

    A task makes all calls with its argument, one after the other, and times each.
    """

    async def run(args: Sequence[Any]) -> Sample:
        queues: dict[Any, list[Any]] = {}
        for arg in args:
            queues.setdefault(arg, []).append(arg)
        return await _run_tasks(call, [iter(queue) for queue in queues.values()])

    return run


async def _run_tasks(call: Callable[[Any], Awaitable[object]], queues: Sequence[Iterator[Any]]) -> Sample:
    """Start a task for each queue; it makes a call for each argument that it takes from there."""
    latencies = array("q")
    now, note = time.perf_counter_ns, latencies.append

    async def task(queue: Iterator[Any]) -> None:
        for arg in queue:
            began = now()
            await call(arg)
            note(now() - began)

    server_began = used_ns()
    cpu_began, began = time.process_time_ns(), now()
    if len(queues) == 1:
        await task(queues[0])
    else:
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                group.create_task(task(queue))
    ended, cpu_ended = now(), time.process_time_ns()
    return Sample(
        calls=len(latencies),
        wall_ns=ended - began,
        cpu_ns=cpu_ended - cpu_began,
        server_ns=used_ns() - server_began,
        latencies_ns=latencies,
    )
