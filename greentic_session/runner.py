"""A runner: it takes what is ready, and lets a handler work on it, several turns at a time."""

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, Unpack

import anyio
from anyio.abc import TaskGroup

from ._concurrency.shield import shielded
from ._concurrency.together import first_error
from ._json.fields import check_int
from ._operations.delivery import Delivery
from .claim import Claim
from .errors import ConflictError, MissingVerdictError
from .expiry import Seconds, milliseconds
from .models import ReplyScope, TenantCtx
from .reply import DeliveryOptions, DeliveryOutcome
from .store import SessionStore

__all__ = ["Handler", "OnFailure", "Runner"]

Handler: TypeAlias = Callable[[Claim], Awaitable[object]]
"""Works on one claim, and ends it with a verdict: `park`, `complete` or `stay`."""

OnFailure: TypeAlias = Callable[[Claim, Exception], Awaitable[object]]
"""Decides about a claim that its handler has no verdict for."""

_log = logging.getLogger("greentic_session")

_MAX_CONCURRENCY: Final = 100_000
_MAX_ATTEMPTS: Final = 2**31 - 1
_REST_S: Final = 300
"""Seconds that a wait is put off for which neither handler nor `on_failure` has a verdict."""


class Runner:
    """Takes what is ready in a store, and awaits a handler once an attempt.

    Use it as an async context manager: within the block it takes what is ready, also what another
    process has left behind. Leaving the block takes nothing new, and lets the turns finish. A
    runner that is never entered takes nothing, and queues what it delivers.

    A reply is handed to the handler at least once, and settled by one verdict. A handler that
    raises is awaited again later (the wait is put off), with the same `Claim.idempotency_key` and
    the next `Claim.attempt`.

    Args:
        store: Where the waits are.
        handler: Awaited with a `Claim`, within ``async with`` of it: its lease is renewed, and the
            handler is cancelled where it is lost.
        ctx: Only waits that it administers, as for `SessionStore.claim_ready`; None for all.
        concurrency: How many turns there are at a time, at most.
        lease: For how many seconds a wait is claimed; it is renewed at a third of that.
        max_attempts: How many attempts the handler has; the one after the last is for `on_failure`.
        turn_timeout: For how many seconds the handler may work; None for any time.
        shutdown_timeout: For how many seconds turns may go on when the block is left; then they are
            cancelled, which is no attempt. None for any time.
        on_failure: Awaited with a claim and an error, and to end it with a verdict or
            `Claim.release`: where the handler returned without a verdict (MissingVerdictError),
            where it took longer than `turn_timeout` (TimeoutError), and with the attempt after
            `max_attempts` (MissingVerdictError). By default, or where it raises or decides nothing,
            there is one line in the log, and the wait rests for 300 seconds.

    Raises:
        InvalidInputError: An argument is out of range.
        TypeError: An argument has a wrong type.

    >>> import anyio
    >>> from greentic_session import InMemorySessionStore, ReplyScope, SessionData, Start, TenantCtx
    >>> async def greet(claim):
    ...     print("hello,", claim.reply.body)
    ...     await claim.complete()
    >>> async def main():
    ...     ctx, scope = TenantCtx.new("dev", "acme", user="u1"), ReplyScope("telegram:chat-1")
    ...     start = Start(SessionData.new(ctx, "greeting", "begin"))
    ...     async with InMemorySessionStore() as store, Runner(store, greet) as runner:
    ...         await runner.deliver(ctx, "u1", scope, "Ada", start=start)
    >>> anyio.run(main)
    hello, Ada
    """

    def __init__(
        self,
        store: SessionStore,
        handler: Handler,
        *,
        ctx: TenantCtx | None = None,
        concurrency: int = 64,
        lease: Seconds = 30.0,
        max_attempts: int = 8,
        turn_timeout: Seconds | None = None,
        shutdown_timeout: Seconds | None = None,
        on_failure: OnFailure | None = None,
    ) -> None:
        if not isinstance(store, SessionStore):
            raise TypeError(f"store must be a SessionStore, not {type(store).__name__}")
        for name, function in (("handler", handler), ("on_failure", on_failure)):
            if not callable(function) and not (function is None and name == "on_failure"):
                raise TypeError(f"{name} must be an async function, not {type(function).__name__}")
        check_int("concurrency", concurrency, 1, _MAX_CONCURRENCY)
        check_int("max_attempts", max_attempts, 1, _MAX_ATTEMPTS)
        self._store = store
        self._handler = handler
        self._concurrency = concurrency
        self._lease = milliseconds(lease, "lease") / 1000
        self._max_attempts = max_attempts
        self._turn_timeout = _seconds(turn_timeout, "turn_timeout")
        self._shutdown_timeout = _seconds(shutdown_timeout, "shutdown_timeout")
        self._on_failure = on_failure
        self._ready = store.iter_ready(ctx, lease=self._lease)
        self._turns = 0
        self._is_open = False
        self._group: TaskGroup | None = None
        self._freed: anyio.Event | None = None
        self._taking: anyio.CancelScope | None = None
        self._asking: anyio.CancelScope | None = None

    async def deliver(
        self, ctx: TenantCtx, user_id: str, scope: ReplyScope, body: Any, **options: Unpack[DeliveryOptions]
    ) -> Delivery:
        """Deliver a reply, and return before its turn ends.

        The turn runs here, if fewer than `concurrency` do and the runner is not closing; else the
        reply is queued, and its wait is ready for any runner.

        Args:
            ctx: As for `SessionStore.deliver`, and so all others.
            user_id: The same.
            scope: The same.
            body: The same.
            options: The same: `delivery_id`, `sender`, `start`, `keep_for` and `fallback`.

        Returns:
            The delivery; its `claim` is None, for the runner has it.

        Raises:
            GreenticError: As `SessionStore.deliver`.
        """
        group = self._group if self._is_open and self._turns < self._concurrency else None
        if group is not None:
            self._begin_turn()  # now: the answer of the store may be long in coming
        is_begun = False
        try:
            delivery = await self._store.deliver(
                ctx, user_id, scope, body, **options, claim=group is not None, lease=self._lease
            )
            if group is not None and delivery.claim is not None:
                try:
                    group.start_soon(self._turn, delivery.claim)
                    is_begun = True
                except RuntimeError:  # the runner was cancelled meanwhile, and has ended
                    with suppress(ConflictError):  # its lease has ended, too
                        await shielded(delivery.claim.release)
                    return Delivery(DeliveryOutcome.QUEUED, delivery.reply)
        finally:
            if group is not None and not is_begun:
                self._end_turns()
        return Delivery(delivery.outcome, delivery.reply)

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise RuntimeError("a Runner runs once")
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._taking = anyio.CancelScope()
        self._is_open = True
        self._group.start_soon(self._take)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        group, taking = self._group, self._taking
        if group is None or taking is None:  # pragma: no cover  # it was entered
            return
        taking.cancel()
        cancellation = exc if isinstance(exc, anyio.get_cancelled_exc_class()) else None
        if cancellation is None:
            group.start_soon(self._finish)
        try:
            if cancellation is None:
                await group.__aexit__(None, None, None)
            else:
                await group.__aexit__(type(cancellation), cancellation, traceback)
        except BaseExceptionGroup as errors:
            if exc is None or cancellation is not None:
                raise first_error(errors) from None

    async def _finish(self) -> None:
        """Let the turns finish, for some time; then cancel them."""
        with anyio.move_on_after(math.inf if self._shutdown_timeout is None else self._shutdown_timeout):
            while self._turns:
                await self._next_end()
        if self._turns and self._group is not None:
            self._group.cancel_scope.cancel()

    async def _take(self) -> None:
        """Begin a turn for each wait that is ready, as long as there is room."""
        if self._taking is None or self._group is None:  # pragma: no cover  # it was entered
            return
        with self._taking:
            while True:
                while self._turns >= self._concurrency:
                    await self._next_end()
                with anyio.CancelScope() as self._asking:  # until a delivery takes the last room
                    claim = await anext(self._ready, None)
                    if claim is None:
                        return  # the store is closed
                    self._begin_turn()
                    self._group.start_soon(self._turn, claim)
                if self._ready.was_ready:
                    await self._take_more(self._group)

    async def _take_more(self, group: TaskGroup) -> None:
        """Begin turns for what is ready by now, more and more at the same time.

        At most half of the room is kept for them while the store is asked: deliveries need some.
        """
        wanted = 2
        while wanted <= (room := (self._concurrency - self._turns + 1) // 2):
            self._turns += wanted
            claims: list[Claim] = []
            try:
                claims = await self._ready.claim_more(wanted)
            finally:
                self._end_turns(wanted - len(claims))
            for claim in claims:
                group.start_soon(self._turn, claim)
            if len(claims) < wanted:
                return
            wanted = min(2 * wanted, room)

    async def _next_end(self) -> None:
        """Wait until a turn ends."""
        if self._freed is None:
            self._freed = anyio.Event()
        await self._freed.wait()

    def _begin_turn(self) -> None:
        self._turns += 1
        if self._turns >= self._concurrency and self._asking is not None:
            self._asking.cancel()

    def _end_turns(self, count: int = 1) -> None:
        self._turns -= count
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set()

    async def _turn(self, claim: Claim) -> None:
        try:
            async with claim:
                failure = await self._attempt(claim)
                if failure is not None:
                    await self._fail(claim, failure)
        except Exception as error:  # noqa: BLE001  # of the handler, or of the store; the wait is put off, or free with its lease
            name = type(error).__name__
            _log.warning("a turn ended with an error (%s); it is tried again later", name)
        finally:
            self._end_turns()

    async def _attempt(self, claim: Claim) -> Exception | None:
        """Await the handler; return what is for `on_failure`."""
        if claim.attempt > self._max_attempts:
            return MissingVerdictError(f"there was no verdict after {self._max_attempts} attempts")
        is_late = False
        if self._turn_timeout is None:
            await self._handler(claim)
        else:
            with anyio.move_on_after(self._turn_timeout) as limit:
                await self._handler(claim)
            is_late = limit.cancelled_caught
        if claim.is_over:
            return None
        if is_late:
            return TimeoutError(f"the handler took longer than {self._turn_timeout} seconds")
        return MissingVerdictError("the handler returned without a verdict")

    async def _fail(self, claim: Claim, failure: Exception) -> None:
        """Let `on_failure` decide; else let the wait rest."""
        if self._on_failure is not None:
            try:
                await self._on_failure(claim, failure)
            except Exception:  # noqa: BLE001, S110  # the line below tells of it
                pass
        if claim.is_over:
            return
        name = type(failure).__name__
        _log.error("a turn has no verdict (%s); its wait rests for 300 s", name)
        await claim.release(_REST_S)


def _seconds(value: Seconds | None, name: str) -> float | None:
    return None if value is None else milliseconds(value, name) / 1000
