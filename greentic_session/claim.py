"""The right to resume one wait."""

import logging
import os
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Final, Literal, Self, TypeVar, TypeVarTuple, cast

import anyio

from . import tenancy
from ._concurrency.bell import Bell
from ._concurrency.keep_alive import KeepAlive
from ._concurrency.shield import shielded
from ._concurrency.terms import Terms
from ._json.fields import check_int
from .backend import Claimed, Parking, PuttingOff, SessionBackend, Staying, Taking
from .errors import ConflictError, GreenticError
from .expiry import Seconds, Ttl, milliseconds, ttl_ms
from .ids import SessionKey
from .limits import Limits
from .models import ReplyScope, SessionData, TenantCtx
from .reply import OnTimeout, Reply, resumes_on_timeout
from .transitions import backoff_s

__all__ = ["Claim"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger("greentic_session")

_MAX_TAKEN: Final = 2**31 - 1


class Claim:
    """The right of one runner to resume one wait, until its lease ends.

    `SessionStore.claim_wait`, `deliver`, `claim_ready` and `iter_ready` make it.

    Use it as an async context manager: leaving the block without a verdict (`park`, `complete` or
    `stay`) gives the wait back, so that another runner may take it. A claim ends with its lease,
    with a verdict or `release`, and with the session, when somebody removes or clears it. Its
    methods work once, and only while it is live; later they raise ConflictError and change nothing.

    A claim of `deliver`, `claim_ready` or `iter_ready` holds the oldest reply of its place, or none
    where it is there for a deadline; a verdict settles what is held. Within the block its lease is
    renewed at a third of itself (so it is for ``claim_wait(keep_alive=True)``); where it is lost,
    the block is cancelled and raises ConflictError. To leave such a block without a verdict puts
    the wait off by 2 ** (attempt - 1) seconds, at most 300; by cancellation it is ready at once,
    and that counts as no attempt.

    >>> import asyncio
    >>> from greentic_session import InMemorySessionStore, ReplyScope, SessionData, TenantCtx
    >>> async def resume():
    ...     ctx, scope = TenantCtx.new("dev", "acme", user="u1"), ReplyScope("telegram:chat-1")
    ...     data = SessionData.new(ctx, "f", "ask", context={"asked": 1})
    ...     async with InMemorySessionStore() as store:
    ...         await store.register_wait(ctx, "u1", scope, "k1", data, ttl=3600)
    ...         claim = await store.claim_wait(ctx, "u1", scope, lease=30)
    ...         if claim is not None:
    ...             async with claim:
    ...                 asked = claim.data.context()["asked"]
    ...                 await claim.park(scope, data.new_context({"asked": asked + 1}), ttl=3600)
    ...         wait = await store.find_wait(ctx, "u1", scope)
    ...         return wait and wait.data.context_json
    >>> asyncio.run(resume())
    '{"asked":2}'
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_bell",
        "_claimed",
        "_ctx",
        "_keeper",
        "_leftovers",
        "_limits",
        "_over",
        "_own_key",
        "_owner",
        "_taken",
        "_terms",
        "_token",
    )

    def __init__(
        self,
        backend: SessionBackend,
        limits: Limits,
        ctx: TenantCtx,
        owner: tenancy.Owner,
        claimed: Claimed,
        token: str,
        bell: Bell,
        terms: Terms,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._ctx = ctx
        self._owner = owner
        self._claimed = claimed
        self._token = token
        self._bell = bell
        self._terms = terms
        self._keeper: KeepAlive | None = None
        self._leftovers: tuple[Reply, ...] = ()
        self._over = False
        self._own_key: str | None = None
        self._taken: tuple[Reply, ...] = ()

    @property
    def key(self) -> SessionKey:
        """The session key."""
        return self._claimed.wait.key

    @property
    def data(self) -> SessionData:
        """The snapshot as it was when the claim was made."""
        return self._claimed.wait.data

    @property
    def scope(self) -> ReplyScope:
        """The scope that matched: the one asked for, or that without its correlation."""
        return cast("ReplyScope", self._claimed.wait.scope)  # a wait that was matched has one

    @property
    def version(self) -> str:
        """The version of `data`; computed when asked for."""
        return self._claimed.wait.version

    @property
    def replies(self) -> tuple[Reply, ...]:
        """What the claim holds, oldest first: a verdict settles exactly that."""
        return self._claimed.replies + self._taken

    @property
    def reply(self) -> Reply | None:
        """The first of `replies`; None where the claim holds none."""
        replies = self._claimed.replies or self._taken
        return replies[0] if replies else None

    @property
    def timed_out(self) -> bool:
        """Whether the wait was claimed for its deadline."""
        return self._claimed.timed_out

    @property
    def deadline(self) -> datetime | None:
        """When the wait is forgotten or resumed, as it was when the claim was made.

        UTC, or None.
        """
        return self._claimed.deadline_date

    @property
    def is_new(self) -> bool:
        """Whether a `Start` made the session, and its first verdict is still due."""
        return self._claimed.is_new

    @property
    def attempt(self) -> int:
        """Which attempt of its turn this claim is, from 1.

        One more after each attempt that ended by its lease or was put off.
        """
        return self._claimed.attempt

    @property
    def idempotency_key(self) -> str:
        """The same at each attempt of a turn, and of no other turn.

        For what a handler does elsewhere, that shall be done once.
        """
        if self._claimed.turn_key is not None:
            return self._claimed.turn_key
        if self._own_key is None:  # a plain claim's: made when somebody wants it
            self._own_key = os.urandom(16).hex()
        return self._own_key

    @property
    def leftovers(self) -> tuple[Reply, ...]:
        """After a verdict that left the place: its other unsettled replies.

        They are in the store no more, and their deliveries are forgotten, so that they may be
        delivered anew.
        """
        return self._leftovers

    @property
    def is_over(self) -> bool:
        """Whether its holder has ended the claim, or has learned that it is over."""
        return self._over

    async def park(
        self,
        scope: ReplyScope,
        data: SessionData,
        ttl: Ttl = None,
        *,
        on_conflict: Literal["replace", "fail"] = "replace",
        on_timeout: OnTimeout | None = None,
    ) -> SessionKey | None:
        """Park again under the same key, for the same user, and end the claim: a verdict.

        Args:
            scope: Where the next answer will come in.
            data: The new snapshot, of the same env, tenant, team and user.
            ttl: How long to wait, as for `SessionStore.register_wait`.
            on_conflict: ``"replace"`` displaces another live session from the scope; ``"fail"``
                raises instead: for a holder whose wait may have been displaced meanwhile, by a
                newer question.
            on_timeout: As for `SessionStore.register_wait`; None keeps the wait's choice.

        Returns:
            The key of the session that this one displaced from `scope`, if there was one.

        Raises:
            ConflictError: The claim is over; or, with ``"fail"``, another live session holds the
                scope: nothing was written, and the claim goes on.
            InvalidInputError: As `SessionStore.register_wait`; the claim goes on.
            TenantMismatchError: `data` is of somebody else; the claim goes on.
            TooManyWaitsError: This session was displaced meanwhile, and its user has
                `max_waits_per_user` others; the claim goes on.
            TypeError: An argument has a wrong type; the claim goes on.
        """
        self._check_live()
        tenancy.check_scope(scope)
        text = self._limits.admit(data, as_text=self._backend.keeps_text)
        user = self._owner[3]
        owner = tenancy.wait_owner(tenancy.acting_for(self._ctx, user), user, data)
        parking = Parking(
            owner,
            scope,
            self.key,
            data,
            ttl_ms(ttl, self._limits.wait_ttl_ms),
            text,
            replace=tenancy.may_displace(on_conflict),
            token=self._token,
            max_waits=self._limits.max_waits_per_user,
            resume=None if on_timeout is None else resumes_on_timeout(on_timeout),
        )
        settled = await self._apart(self._backend.park, parking)
        self._end()
        self._leftovers = settled.leftovers
        return settled.displaced

    async def complete(self) -> None:
        """Remove the wait and its session, for the flow is done: a verdict.

        Raises:
            ConflictError: The claim is over.
        """
        self._check_live()
        call, what, keeper = self._backend.complete, (self._owner, self._claimed.wait.key, self._token), self._keeper
        settled = await (call(*what) if keeper is None else keeper.apart(self._check_live, call, *what))
        self._end()
        if settled is None:
            raise tenancy.claim_over(self.key)
        self._leftovers = settled.leftovers

    async def stay(self, data: SessionData | None = None) -> None:
        """Settle what is held, and let the wait stay as it is, with scope and deadline: a verdict.

        For old buttons, votes, small talk, and replies that cannot be worked on. After `timed_out`
        the deadline is used up: none is left, and the wait lives for the store's `timeout_grace`
        more. A session that was displaced takes no place by it.

        Args:
            data: The new snapshot, of the same env, tenant, team and user; None: as it is.

        Raises:
            ConflictError: The claim is over.
            InvalidInputError: `data` is too large; the claim goes on.
            TenantMismatchError: `data` is of somebody else; the claim goes on.
            TypeError: It is no SessionData; the claim goes on.
        """
        self._check_live()
        text = None
        if data is not None:
            text = self._limits.admit(data, as_text=self._backend.keeps_text)
            user = self._owner[3]
            tenancy.wait_owner(tenancy.acting_for(self._ctx, user), user, data)
        staying = Staying(self._owner, self.key, self._token, data, text)
        was_live = await self._apart(self._backend.stay, staying)
        self._end()
        if not was_live:
            raise tenancy.claim_over(self.key)

    async def take(self, limit: int = 100) -> tuple[Reply, ...]:
        """Hold also what lies at the place and nobody holds, oldest first.

        A claim of `claim_wait` holds nothing until it takes.

        Args:
            limit: How many replies, at most.

        Returns:
            What is held now and was not before.

        Raises:
            ConflictError: The claim is over.
            InvalidInputError: `limit` is less than 1.
            TypeError: It is no int.
        """
        self._check_live()
        check_int("limit", limit, 1, _MAX_TAKEN)
        taking = Taking(self._owner, self.key, self._token, self.idempotency_key, limit)
        taken = await self._backend.take(taking)
        if taken is None:
            raise tenancy.claim_over(self.key)
        self._taken += taken
        return taken

    async def release(self, delay: Seconds = 0) -> None:
        """Give the wait back, unchanged: no verdict. Another runner may claim it at once.

        Args:
            delay: For how many seconds the wait is put off: it is not ready before, and what is
                delivered is queued. `claim_wait` does not look at it; `park`, `stay`,
                `register_wait` and `touch` end it. It counts as an attempt, and lengthens a shorter
                lifetime. 0 for no delay.

        Raises:
            ConflictError: The claim is over.
            InvalidInputError: `delay` is negative or too long.
            TypeError: It is neither a number nor a timedelta.
        """
        self._check_live()
        delay_ms = 0 if delay == 0 and delay is not False else milliseconds(delay, "delay")
        if delay_ms:
            putting_off = PuttingOff(self._owner, self.key, self._token, delay_ms)
            was_live = await self._apart(self._backend.put_off, putting_off)
        elif self._keeper is None:
            was_live = await self._backend.release(self._claimed.wait.key, self._token)
        else:
            was_live = await self._apart(self._backend.release, self._claimed.wait.key, self._token)
        self._end()
        if not was_live:
            raise tenancy.claim_over(self.key)

    async def renew(self, lease: Seconds) -> None:
        """Set the lease anew: `lease` seconds from now.

        A shorter lifetime of the session is lengthened.

        Raises:
            ConflictError: The claim is over.
            InvalidInputError: `lease` is out of range, as for `milliseconds`.
            TypeError: It is neither a number nor a timedelta.
        """
        self._check_live()
        lease_ms = milliseconds(lease, "lease")
        was_live = await self._apart(self._renew_for, lease_ms)
        if not was_live:
            raise tenancy.claim_over(self.key)

    def _check_live(self) -> None:
        self._backend.check_open()
        if self._over:
            raise tenancy.claim_over(self.key)

    async def _renew_for(self, lease_ms: int) -> bool:
        keeper = self._keeper
        if keeper is None:
            return await self._backend.renew(self.key, self._token, lease_ms)
        sent = anyio.current_time()
        was_live = await self._backend.renew(self.key, self._token, lease_ms)
        if was_live:
            keeper.renewed(lease_ms / 1000, sent)
        return was_live

    def _apart(self, call: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> Awaitable[T]:
        """Make a call that renews or ends the claim; renewals are kept out meanwhile."""
        return call(*args) if self._keeper is None else self._keeper.apart(self._check_live, call, *args)

    def _end(self) -> None:
        self._over = True
        if self._keeper is not None:
            self._keeper.over()
        if self._bell.is_heard:
            self._bell.ring()

    async def __aenter__(self) -> Self:
        terms = self._terms
        if terms.keeps_alive and not self._over and self._keeper is None:
            sent = anyio.current_time() - (time.monotonic() - terms.sent)
            keeper = KeepAlive(self._renew, terms.lease_ms / 1000, sent)
            keeper.begin()
            self._keeper = keeper
        return self

    async def _renew(self, lease_s: float) -> bool:
        return await self._backend.renew(self.key, self._token, round(lease_s * 1000))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        raised, keeper = exc, self._keeper
        if keeper is not None:
            raised = await keeper.end(exc)
            self._keeper = None
            was_live, self._over = not self._over, self._over or keeper.is_lost
            if raised is None and ((keeper.is_lost and was_live) or exc is not None):
                raise tenancy.claim_over(self.key)  # the cancellation was that of the lost lease
        if not self._over and not self._backend.closed:
            await self._leave(raised)
        if raised is not None and raised is not exc:
            raise raised

    async def _leave(self, raised: BaseException | None) -> None:
        """Give the wait back without a verdict."""
        delay = 0 if self._terms.is_plain or not isinstance(raised, Exception | None) else backoff_s(self.attempt)
        try:
            await shielded(partial(self.release, delay), persistent=True)
        except ConflictError:
            pass  # over: its lease ended, or the session was removed
        except GreenticError as error:
            if raised is None:
                raise
            # What the block raised matters more, a cancellation above all; the lease frees the
            # wait.
            _log.warning("a claim could not be released (%s); it ends with its lease", error.code)

    def __repr__(self) -> str:
        claimed = getattr(self, "_claimed", None)
        data, scope = (None, None) if claimed is None else (claimed.wait.data, claimed.wait.scope)
        return f"Claim(key=<hidden>, data={data!r}, scope={scope!r})"
