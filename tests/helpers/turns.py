"""Waiting in tests of Runners: for turns that end, and for what other processes do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import anyio

from greentic_session import Claim, Runner, SessionStore

__all__ = ["PATIENCE_S", "People", "Turns", "until"]

Tell: TypeAlias = Callable[[str, str], Awaitable[None]]

PATIENCE_S = 60.0
"""Seconds that a test waits for what surely comes."""


class Turns:
    """A handler that counts the turns of another one that have ended with a verdict.

    Args:
        handler: What does the work.
    """

    def __init__(self, handler: Callable[[Claim], Awaitable[object]]) -> None:
        self._handler = handler
        self._changed = anyio.Event()
        self.ended = 0

    async def __call__(self, claim: Claim) -> None:
        await self._handler(claim)
        self.ended += claim.is_over
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def reach(self, count: int) -> None:
        """Wait until so many turns have ended."""
        with anyio.fail_after(PATIENCE_S):
            while self.ended < count:
                await self._changed.wait()


class People:
    """Messages of processes at work to people.

    Args:
        work: A handler that tells whom what.
    """

    def __init__(self, work: Callable[[Tell, Claim], Awaitable[object]]) -> None:
        self._work = work
        self.told: list[tuple[str, str]] = []

    async def _tell(self, whom: str, text: str) -> None:
        self.told.append((whom, text))

    @asynccontextmanager
    async def at_work(self, store: SessionStore) -> AsyncIterator[Runner]:
        """A process at work; `turns` counts its turns."""
        self.turns = Turns(partial(self._work, self._tell))
        async with Runner(store, self.turns) as runner:
            yield runner


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so that another process does."""
    with anyio.fail_after(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110  # nothing else tells
            await anyio.sleep(0.02)
