"""Callers of a store whose server is stopped: each call times out, or is cancelled."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator

from benchmarks.harness.server import Server
from greentic_session import OperationTimeoutError, RedisSessionStore

from .event_loop import LongestBlock, longest_block

__all__ = ["cancel_callers", "time_out_callers"]

_BATCH_CALLERS = 100
"""Number of callers that begin, or are cancelled, in one turn of the event loop."""


@contextlib.contextmanager
def _stopped(server: Server) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


class _Callers:
    """Callers that each read a session.

    Attributes:
        latest_s: Longest duration of a call in seconds.
    """

    def __init__(self, store: RedisSessionStore, callers: int) -> None:
        self.latest_s = 0.0
        self._store = store
        self._running = callers
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        callers = self._running
        for start in range(0, callers, _BATCH_CALLERS):
            numbers = range(start, min(start + _BATCH_CALLERS, callers))
            self._tasks += [asyncio.create_task(self._read(number)) for number in numbers]
            await asyncio.sleep(0)

    async def cancel(self) -> None:
        """Cancel the callers, the last one first."""
        for number in reversed(range(len(self._tasks))):
            self._tasks[number].cancel()
            if number % _BATCH_CALLERS == 0:
                await asyncio.sleep(0)

    async def wait(self) -> None:
        await self._ended.wait()

    async def _read(self, number: int) -> None:
        began = time.perf_counter()
        with contextlib.suppress(OperationTimeoutError, asyncio.CancelledError):
            await self._store.get_session(f"key-{number}")
        self.latest_s = max(self.latest_s, time.perf_counter() - began)
        self._running -= 1
        if not self._running:
            self._ended.set()


@contextlib.asynccontextmanager
async def _stalled(server: Server, callers: int, timeout_s: float) -> AsyncIterator[tuple[_Callers, LongestBlock]]:
    """Stop the server, let the callers begin, and watch the event loop."""
    async with RedisSessionStore.from_url(server.url, timeout=timeout_s) as store:
        await store.health()
        group = _Callers(store, callers)
        with _stopped(server):
            async with longest_block() as block:
                await group.begin()
                yield group, block


async def time_out_callers(server: Server, callers: int, timeout_s: float) -> tuple[LongestBlock, float]:
    """Let callers wait for a stopped server until each call times out.

    Returns:
        Longest block of the event loop, and delay of the latest error after its timeout, in
        seconds.
    """
    async with _stalled(server, callers, timeout_s) as (group, block):
        await group.wait()
    return block, group.latest_s - timeout_s


async def cancel_callers(server: Server, callers: int, timeout_s: float) -> tuple[LongestBlock, float]:
    """Let callers wait for a stopped server, and cancel them all.

    Returns:
        Longest block of the event loop, and seconds until all callers have ended.
    """
    async with _stalled(server, callers, timeout_s) as (group, block):
        began = time.perf_counter()
        await group.cancel()
        await group.wait()
        seconds = time.perf_counter() - began
    return block, seconds
