"""A lease that is renewed while its holder works, and the end of the work where it is lost."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio

from greentic_session.errors import GreenticError

from .alarm import Alarm, set_alarm
from .shield import shielded

__all__ = ["KeepAlive"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_RENEWALS_PER_LEASE: Final = 3
_TRIES_PER_LEASE: Final = 30
"""Limit of the attempts at a renewal while the store does not answer."""


class KeepAlive:
    """Renews a lease at a third of itself, between `begin` and `end`.

    The block in between is cancelled when the lease is lost: when the store says so, or when it
    could not be asked until the lease ran out by the clock of the event loop, counted from when the
    last renewal that it answered was sent. Until the first third is over there is no task for it:
    most work ends before.

    Args:
        renew: Renews the lease by so many seconds; returns False where it is over.
        lease: In seconds.
        sent: When the lease was asked for, by the clock of the event loop.

    Attributes:
        is_lost: Whether the lease is lost.
    """

    __slots__ = (
        "_alarm",
        "_failure",
        "_is_over",
        "_is_taken",
        "_lease",
        "_renew",
        "_renewing",
        "_scope",
        "_sent",
        "_waiting",
        "is_lost",
    )

    def __init__(self, renew: Callable[[float], Awaitable[bool]], lease: float, sent: float) -> None:
        self._renew = renew
        self._lease = lease
        self._sent = sent
        self._is_over = False
        self._scope: anyio.CancelScope | None = None
        self._alarm: Alarm | None = None
        self._renewing: anyio.CancelScope | None = None
        self._failure: BaseException | None = None
        self._is_taken = False
        self._waiting: list[anyio.Event] = []
        self.is_lost: bool = False

    def begin(self) -> None:
        """Begin to renew; the caller's task goes on in a cancel scope until `end`."""
        self._scope = anyio.CancelScope()
        self._scope.__enter__()
        self._set_alarm()

    def renewed(self, lease: float, sent: float) -> None:
        """Say that the caller has renewed the lease."""
        self._lease, self._sent = lease, sent
        if self._alarm is not None and not self._alarm.is_at_work:
            self._set_alarm()

    def over(self) -> None:
        """Say that the lease has been ended."""
        self._is_over = True
        if self._alarm is not None:
            self._alarm.call_off()

    async def apart(self, check: Callable[[], object], call: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Await a call that renews or ends the lease, while nothing else does.

        Args:
            check: Raises, once it is the call's turn, if that is not to be made any more.
            call: The call.
            args: Its arguments.
        """
        await self._take()
        try:
            check()
            return await call(*args)
        finally:
            self._give()

    async def end(self, error: BaseException | None) -> BaseException | None:
        """Leave the block.

        Args:
            error: What the block has raised.

        Returns:
            What is raised out of it: `error`, or a cancellation that came meanwhile, or None where
            the cancellation was that of the lost lease.
        """
        scope, self._scope = self._scope, None
        if scope is None:
            return error
        self.over()
        alarm, raised = self._alarm, error
        if alarm is not None and alarm.is_at_work:
            if self._renewing is not None:
                self._renewing.cancel()
            try:
                await shielded(alarm.ended)
            except BaseException as cancelled:  # noqa: BLE001  # handed on, as what comes below
                raised = cancelled if raised is None or isinstance(raised, Exception) else raised
        try:
            swallowed = scope.__exit__(type(raised) if raised else None, raised, raised.__traceback__ if raised else None)
        except BaseException as other:  # noqa: BLE001  # handed on to the caller, who raises it
            return other
        return self._failure if swallowed or raised is None else raised

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.call_off()
        self._alarm = set_alarm(self._sent + self._lease / _RENEWALS_PER_LEASE, self._keep)

    async def _keep(self) -> None:
        try:
            with anyio.CancelScope() as self._renewing:
                while not self._is_over and self._sent + self._lease / _RENEWALS_PER_LEASE <= anyio.current_time():
                    await self._renew_or_lose()
        except Exception as error:  # noqa: BLE001  # raised in the block
            self._failure = error
            if self._scope is not None:
                self._scope.cancel()
        finally:
            self._renewing = None
        if not self._is_over and self._failure is None:
            self._set_alarm()

    async def _renew_or_lose(self) -> None:
        while not self._is_over:
            end = self._sent + self._lease
            now = anyio.current_time()
            if now >= end:
                self._lose()
                return
            await self._take()
            try:
                if self._is_over or self._sent + self._lease != end:
                    return
                sent = anyio.current_time()
                alive: bool | None = None
                with anyio.move_on_after(end - now):
                    try:
                        alive = await self._renew(self._lease)
                    except GreenticError:
                        pass  # away; it is tried again until the lease has run out
            finally:
                self._give()
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
        if self._scope is not None:
            self._scope.cancel()

    async def _take(self) -> None:
        """Wait until nobody renews or ends the lease: in turn, as a lock, and without its price."""
        if not self._is_taken:
            self._is_taken = True
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._give()
            else:
                self._waiting.remove(turn)
            raise

    def _give(self) -> None:
        if self._waiting:
            self._waiting.pop(0).set()  # whose it is from now on
        else:
            self._is_taken = False
