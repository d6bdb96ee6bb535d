"""What callers of one process do to each other: ``python -m benchmarks.stalls``.

``--help`` lists the options. It starts a Redis of its own. First it stops it, and lets many callers
wait: until each is late, and then again until each is cancelled. Then it lets several tasks read
long sessions without a pause, and times the calls of another one for a short session. A missed
target is told, and is no failure of the run.
"""

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from benchmarks.harness.command import QUICK, make_parser, positive
from benchmarks.harness.population import make_data
from benchmarks.harness.report import Report, Row, Target, load_average, machine
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from greentic_session import OperationTimeoutError, RedisSessionStore, TenantCtx

__all__ = ["ROWS", "main"]

LONGEST_BLOCK_MS = 50.0
LATEST_ERROR_S = 0.5
CTX = TenantCtx.new("production", "tenant-1", user="user-1")
TIMEOUT = 10.0
"""The timeout of the store of which the calls are late, in seconds: longer than it takes to begin them."""
QUICK_TIMEOUT = 1.0
AT_ONCE = 100
"""How many callers begin, or are cancelled, in one turn of the event loop."""
READERS = 16
LONG = 2**24 - 2**12
"""How many bytes a long snapshot has: with the rest of its session a little less than 16 MiB."""
PAUSE = 0.001
ROWS = {
    "callers that time out": ("longest block, CPU", "longest block", "latest error"),
    "callers that are cancelled": ("longest block, CPU", "longest block", "takes"),
    "a short read beside long ones": ("median", "99 %", "longest"),
    "the same, where nobody has read them before": ("the first",),
}
"""What is measured, in this order."""

NOTES = [
    "Longest block: of the event loop; by the processor time of its thread, and by the clock, where all counts that is",
    "busy on the machine. Python's cyclic garbage collector rests meanwhile: it stops the loop as any program's.",
    "Latest error: how long after the timeout of its call.",
]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    callers: int = 50_000
    reads: int = 200
    long_bytes: int = LONG


QUICKLY = Sizes(callers=1000, reads=20, long_bytes=2**19)


class _Loop:
    """How long the event loop was held up, at the most, in milliseconds: of the processor's time, and of the clock's."""

    def __init__(self) -> None:
        self.cpu = self.clock = 0.0

    async def watch(self) -> None:
        cpu, clock = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(PAUSE)
            now_cpu, now_clock = time.thread_time(), time.perf_counter()
            self.cpu = max(self.cpu, 1000 * (now_cpu - cpu))
            self.clock = max(self.clock, 1000 * (now_clock - clock - PAUSE))
            cpu, clock = now_cpu, now_clock


@contextlib.asynccontextmanager
async def _watched() -> AsyncIterator[_Loop]:
    loop = _Loop()
    gc.collect()
    gc.disable()
    watching = asyncio.create_task(loop.watch())
    try:
        yield loop
    finally:
        watching.cancel()
        gc.enable()


async def _stalled(server: Server, callers: int, seconds: float, *, cancel: bool) -> tuple[_Loop, float]:
    """Let callers wait for a Redis that is stopped.

    Returns:
        How the loop fared; and in seconds how late the last error was, or how long it took to cancel them all.
    """
    async with RedisSessionStore.from_url(server.url, timeout=seconds) as store:
        await store.health()
        latest, waiting, ended = 0.0, callers, asyncio.Event()

        async def wait(number: int) -> None:
            nonlocal latest, waiting
            began = time.perf_counter()
            with contextlib.suppress(OperationTimeoutError, asyncio.CancelledError):
                await store.get_session(f"key-{number}")
            latest, waiting = max(latest, time.perf_counter() - began - seconds), waiting - 1
            if not waiting:
                ended.set()

        server.signal(signal.SIGSTOP)
        try:
            async with _watched() as loop:
                tasks: list[asyncio.Task[None]] = []
                for start in range(0, callers, AT_ONCE):
                    tasks += [asyncio.create_task(wait(number)) for number in range(start, min(start + AT_ONCE, callers))]
                    await asyncio.sleep(0)
                began = time.perf_counter()
                for number in reversed(range(callers if cancel else 0)):
                    tasks[number].cancel()
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)
                await ended.wait()
                taken = time.perf_counter() - began
        finally:
            server.signal(signal.SIGCONT)
    return loop, taken if cancel else latest


async def _fill(server: Server, sizes: Sizes) -> None:
    async with RedisSessionStore.from_url(server.url, timeout=60.0) as store:
        for number in range(READERS):
            await store.create_session(CTX, make_data(CTX, f'"{"x" * sizes.long_bytes}"'), key=f"long-{number}")
        await store.create_session(CTX, make_data(CTX, "{}"), key="short")


async def _read_beside(server: Server, reads: int, *, read_before: bool) -> list[float]:
    """Return how long reads of a short session take beside many of long ones, in milliseconds, ascending."""
    async with RedisSessionStore.from_url(server.url, timeout=60.0) as store:
        for number in range(READERS if read_before else 0):
            await store.get_session(f"long-{number}")
        times: list[float] = []

        async def read(number: int) -> None:
            while True:
                await store.get_session(f"long-{number}")

        readers = [asyncio.create_task(read(number)) for number in range(READERS)]
        await asyncio.sleep(0)
        for _ in range(reads):
            began = time.perf_counter()
            await store.get_session("short")
            times.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(PAUSE)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    return sorted(times)


async def _measure(server: Server, sizes: Sizes, seconds: float) -> list[Row]:
    block, error = Target("value", "max", LONGEST_BLOCK_MS), Target("value", "max", LATEST_ERROR_S)
    figures: list[list[tuple[float, str, Target | None]]] = []
    for cancel in (False, True):
        loop, last = await _stalled(server, sizes.callers, seconds, cancel=cancel)
        figures.append([(loop.cpu, "ms", block), (loop.clock, "ms", None), (last, "s", None if cancel else error)])
    await _fill(server, sizes)
    times = await _read_beside(server, sizes.reads, read_before=True)
    figures.append([(times[place], "ms", None) for place in (len(times) // 2, len(times) * 99 // 100, -1)])
    figures.append([((await _read_beside(server, 1, read_before=False))[0], "ms", None)])
    return [
        Row(measurement=name, contestant=contestant, value=value, unit=unit, target=target)
        for (name, contestants), found in zip(ROWS.items(), figures, strict=True)
        for contestant, (value, unit, target) in zip(contestants, found, strict=True)
    ]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.stalls", "What callers do to each other while Redis is held up.", few="callers", rounds=None, seed=False
    )
    parser.add_argument("--callers", type=positive, help="how many wait at once")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    binary = find_binary()
    if binary is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    chosen = QUICKLY if options.quick else Sizes()
    sizes = Sizes(callers=options.callers or chosen.callers, reads=chosen.reads, long_bytes=chosen.long_bytes)
    load = load_average()
    with Server(binary) as server:
        rows = asyncio.run(_measure(server, sizes, QUICK_TIMEOUT if options.quick else TIMEOUT))
        version = server.version
    report = Report(
        machine={**machine("msgspec", "redis", "hiredis"), "server": version, "load before": load},
        settings={**asdict(sizes), "quick": options.quick},
        rows=rows,
        findings={},
        notes=NOTES + [QUICK] * options.quick,
    )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
