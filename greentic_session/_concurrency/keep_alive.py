"""A lease that is renewed while its holder works, and the end of the work where it is lost."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

from greentic_session.errors import GreenticError

__all__ = ["KeepAlive"]

_RENEWALS_PER_LEASE: Final = 3
_TRIES_PER_LEASE: Final = 30
"""Limit of the attempts at a renewal while the store does not answer."""


class KeepAlive:
    """Renews a lease at a third of itself, between `begin` and `end`.

    The block in between is cancelled when the lease is lost: when the store says so, or when it
    could not be asked until the lease ran out by the clock of the event loop, counted from when the
    last renewal that it answered was sent.

    Args:
        renew: Renews the lease by so many seconds; returns False where it is over.
        lease: In seconds.
        sent: When the lease was asked for, by the clock of the event loop.

    Attributes:
        is_lost: Whether the lease is lost.
        lock: Held by whoever renews, and to be held by whoever ends the lease.
    """

    def __init__(self, renew: Callable[[float], Awaitable[bool]], lease: float, sent: float) -> None:
        self._renew = renew
        self._lease = lease
        self._sent = sent
        self._changed = anyio.Event()
        self._is_over = False
        self._group: TaskGroup | None = None
        self.is_lost: bool = False
        self.lock: anyio.Lock = anyio.Lock()

    async def begin(self) -> None:
        """Begin to renew; the caller's task goes on in a cancel scope until `end`."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._run)

    def renewed(self, lease: float, sent: float) -> None:
        """Say that the caller has renewed the lease."""
        self._lease, self._sent = lease, sent
        self._changed.set()

    def over(self) -> None:
        """Say that the lease has been ended."""
        self._is_over = True
        self._changed.set()

    async def end(self, error: BaseException | None) -> BaseException | None:
        """Leave the block.

        Args:
            error: What the block has raised.

        Returns:
            What is raised out of it: `error`, or a cancellation that came meanwhile, or None where
            the cancellation was that of the lost lease.
        """
        group, self._group = self._group, None
        if group is None:
            return error
        cancellation = error if isinstance(error, anyio.get_cancelled_exc_class()) else None
        group.cancel_scope.cancel()
        try:
            if cancellation is None:
                await group.__aexit__(None, None, None)
                return error
            swallowed = await group.__aexit__(type(cancellation), cancellation, cancellation.__traceback__)
        except BaseException as raised:  # noqa: BLE001  # handed on to the caller, who raises it
            return raised
        return None if swallowed else error

    async def _run(self) -> None:
        while not self._is_over:
            with anyio.move_on_after(self._sent + self._lease / _RENEWALS_PER_LEASE - anyio.current_time()):
                await self._changed.wait()
                self._changed = anyio.Event()
                continue
            await self._renew_or_lose()

    async def _renew_or_lose(self) -> None:
        while not self._is_over:
            end = self._sent + self._lease
            now = anyio.current_time()
            if now >= end:
                self._lose()
                return
            async with self.lock:
                if self._is_over or self._sent + self._lease != end:
                    return
                sent = anyio.current_time()
                alive: bool | None = None
                with anyio.move_on_after(end - now):
                    try:
                        alive = await self._renew(self._lease)
                    except GreenticError:
                        pass  # away; it is tried again until the lease has run out
            if alive is True:
                self._sent = sent
                return
            if alive is False:
                self._lose()
                return
            await anyio.sleep(min(self._lease / _TRIES_PER_LEASE, max(end - anyio.current_time(), 0.0)))

    def _lose(self) -> None:
        self.is_lost = True
        self._is_over = True
        if self._group is not None:
            self._group.cancel_scope.cancel()
