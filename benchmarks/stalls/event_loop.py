"""Blocks of an event loop: the longest times in which it ran no other task."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator

__all__ = ["LongestBlock", "longest_block"]

_INTERVAL_S = 0.001


class LongestBlock:
    """Longest block of an event loop.

    Attributes:
        cpu_ms: Milliseconds of processor time of the thread.
        wall_ms: Milliseconds by the clock, which includes other load of the machine.
    """

    def __init__(self) -> None:
        self.cpu_ms = self.wall_ms = 0.0

    async def watch(self) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(_INTERVAL_S)
            now_cpu, now_wall = time.thread_time(), time.perf_counter()
            self.cpu_ms = max(self.cpu_ms, 1000 * (now_cpu - cpu))
            self.wall_ms = max(self.wall_ms, 1000 * (now_wall - wall - _INTERVAL_S))
            cpu, wall = now_cpu, now_wall


@contextlib.asynccontextmanager
async def longest_block() -> AsyncIterator[LongestBlock]:
    """Watch the event loop, with the cyclic garbage collector off."""
    block = LongestBlock()
    gc.collect()
    gc.disable()
    watching = asyncio.create_task(block.watch())
    try:
        yield block
    finally:
        watching.cancel()
        gc.enable()
