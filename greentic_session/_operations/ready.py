"""Iteration over claims on what is ready, for as long as the store is open."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

from msgspec import Struct

from greentic_session._concurrency.bell import Bell, Listener
from greentic_session.claim import Claim
from greentic_session.errors import OperationTimeoutError, UnavailableError

__all__ = ["ReadyIterator", "Source"]


class Source(Struct, frozen=True):
    """Source of the claims of an iteration: a store, for as long as it is open.

    Attributes:
        claim: Claims one wait; returns in how many seconds to come back, where nothing is ready.
        claim_together: Claims so many waits, at the most, asking for all at the same time.
        is_open: Says whether the store is still open.
        bell: Rings when this store may have made something ready.
    """

    claim: Callable[[], Awaitable[Claim | float | None]]
    claim_together: Callable[[int], Awaitable[list[Claim]]]
    is_open: Callable[[], bool]
    bell: Bell


class ReadyIterator(AsyncIterator[Claim]):
    """Claims, one after the other, as their waits become ready.

    It holds no claim that it has not yielded, and need not be closed.

    Args:
        source: What it claims from.
        poll: For how many seconds, at most, it sleeps.

    Attributes:
        was_ready: Whether the last claim was there at once.
    """

    def __init__(self, source: Source, poll: float) -> None:
        self._source = source
        self._poll = poll
        self._listener: Listener | None = None
        self.was_ready: bool = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Claim:
        if self._listener is None:
            self._listener = self._source.bell.listener()
        self.was_ready = True
        while True:
            self._listener.reset()  # before it asks: what becomes ready after that rings
            if not self._source.is_open():
                raise StopAsyncIteration
            try:
                found = await self._source.claim()
            except (UnavailableError, OperationTimeoutError):
                found = None  # away; it asks again
            if isinstance(found, Claim):
                return found
            self.was_ready = False
            pause = self._poll if found is None else min(found, self._poll)
            await self._listener.wait(pause)

    async def claim_more(self, most: int) -> list[Claim]:
        """Return claims on what is ready now, without sleeping; fewer than `most` if that is all.

        They are asked for at the same time: for who has begun to work on one, and has room.
        """
        try:
            return await self._source.claim_together(most)
        except (UnavailableError, OperationTimeoutError):
            return []
