"""The right to resume one wait."""

import logging
from types import TracebackType
from typing import Literal, Self, cast

from . import tenancy
from ._concurrency.shield import shielded
from .backend import Parking, SessionBackend
from .errors import ConflictError, GreenticError
from .expiry import Seconds, Ttl, milliseconds, ttl_ms
from .ids import SessionKey
from .limits import Limits
from .models import ReplyScope, SessionData, TenantCtx
from .wait import Wait

__all__ = ["Claim"]

_log = logging.getLogger("greentic_session")


class Claim:
    """The right of one runner to resume one wait, until its lease ends.

    `SessionStore.claim_wait` makes it.

    Use it as an async context manager: leaving the block without a verdict (`park` or `complete`)
    releases the wait, so that another runner may take it. A claim ends with its lease, with `park`,
    `complete` or `release`, and with the session, when somebody removes or clears it. Its methods
    work once, and only while it is live; later they raise ConflictError and change nothing.

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

    __slots__ = ("_backend", "_ctx", "_limits", "_over", "_owner", "_token", "_wait")

    def __init__(
        self, backend: SessionBackend, limits: Limits, ctx: TenantCtx, owner: tenancy.Owner, wait: Wait, token: str
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._ctx = ctx
        self._owner = owner
        self._wait = wait
        self._token = token
        self._over = False

    @property
    def key(self) -> SessionKey:
        """The session key."""
        return self._wait.key

    @property
    def data(self) -> SessionData:
        """The snapshot as it was when the claim was made."""
        return self._wait.data

    @property
    def scope(self) -> ReplyScope:
        """The scope that matched: the one asked for, or that without its correlation."""
        return cast("ReplyScope", self._wait.scope)  # a wait that was matched has one

    @property
    def version(self) -> str:
        """The version of `data`; computed when asked for."""
        return self._wait.version

    async def park(
        self,
        scope: ReplyScope,
        data: SessionData,
        ttl: Ttl = None,
        *,
        on_conflict: Literal["replace", "fail"] = "replace",
    ) -> SessionKey | None:
        """Park again under the same key, for the same user, and end the claim.

        Args:
            scope: Where the next answer will come in.
            data: The new snapshot, of the same env, tenant, team and user.
            ttl: How long to wait, as for `SessionStore.register_wait`.
            on_conflict: ``"replace"`` displaces another live session from the scope; ``"fail"``
                raises instead: for a holder whose wait may have been displaced meanwhile, by a
                newer question.

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
        # The caller may have no user; whoever parks acts for the wait's own.
        owner = tenancy.wait_owner(self._ctx.with_user(user), user, data)
        lifetime = ttl_ms(ttl, self._limits.wait_ttl_ms)
        replace, most = tenancy.may_displace(on_conflict), self._limits.max_waits_per_user
        parking = Parking(owner, scope, self.key, data, lifetime, text, replace=replace, token=self._token, max_waits=most)
        displaced = await self._backend.park(parking)
        self._over = True
        return displaced

    async def complete(self) -> None:
        """Remove the wait and its session: the flow is done.

        Raises:
            ConflictError: The claim is over.
        """
        self._check_live()
        self._end(await self._backend.complete(self._owner, self.key, self._token))

    async def release(self) -> None:
        """Give the wait back, unchanged: another runner may claim it at once.

        Raises:
            ConflictError: The claim is over.
        """
        self._check_live()
        self._end(await self._backend.release(self.key, self._token))

    async def renew(self, lease: Seconds) -> None:
        """Set the lease anew: `lease` seconds from now.

        A shorter lifetime of the session is lengthened.

        Raises:
            ConflictError: The claim is over.
            InvalidInputError: `lease` is out of range, as for `milliseconds`.
            TypeError: It is neither a number nor a timedelta.
        """
        self._check_live()
        if not await self._backend.renew(self.key, self._token, milliseconds(lease, "lease")):
            raise tenancy.claim_over(self.key)

    def _check_live(self) -> None:
        self._backend.check_open()
        if self._over:
            raise tenancy.claim_over(self.key)

    def _end(self, was_live: bool) -> None:  # noqa: FBT001  # an answer handed on, not a switch
        self._over = True
        if not was_live:
            raise tenancy.claim_over(self.key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._over or self._backend.closed:
            return
        try:
            await shielded(self.release, persistent=True)
        except ConflictError:
            pass  # over: its lease ended, or the session was removed
        except GreenticError as error:
            if exc is None:
                raise
            # What the block raised matters more, a cancellation above all; the lease frees the
            # wait.
            _log.warning("a claim could not be released (%s); it ends with its lease", error.code)

    def __repr__(self) -> str:
        data, scope = getattr(self, "data", None), getattr(self, "scope", None)
        return f"Claim(key=<hidden>, data={data!r}, scope={scope!r})"
