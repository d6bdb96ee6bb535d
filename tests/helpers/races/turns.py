"""Turns of the event loop that other tasks get while a call runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

__all__ = ["Turns", "counted_turns"]


class Turns:
    """Number of turns of a task that does nothing else."""

    count = 0


@asynccontextmanager
async def counted_turns() -> AsyncIterator[Turns]:
    """Count, in a task of its own, the turns that the event loop gives it during the block."""
    turns = Turns()

    async def count() -> None:
        while True:
            turns.count += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        yield turns
        tasks.cancel_scope.cancel()
