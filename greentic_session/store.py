"""The session store: what every backend promises.

`SessionStore` checks the arguments and those tenant rules that need no stored state, and hands the
rest to its `SessionBackend`; so no backend repeats a check, and no bad call ever reaches one.
"""

import uuid
import warnings
from collections.abc import Awaitable
from typing import Literal, Unpack

from . import tenancy
from ._base.lifecycle import Closing
from ._concurrency.bell import Bell
from ._operations.replies import ReplyOperations
from .backend import Creation, Parking, SessionBackend, Update
from .expiry import Never, Ttl, ttl_ms
from .ids import SessionKey, check_session_key
from .limits import Limits, StoreOptions
from .models import ReplyScope, SessionData, TenantCtx
from .reply import OnTimeout, resumes_on_timeout
from .wait import SessionIterator, Wait

__all__ = ["SessionStore"]


class SessionStore(ReplyOperations, Closing):
    """Keeps the snapshots of paused flows, and finds the one that an answer belongs to.

    The store of a real backend is `InMemorySessionStore` and its like; this class is what they
    share, and what a program that takes "a store" should name as its type. It is usable at once;
    use it as an async context manager, or call `aclose` at the end.

    Every operation may raise, besides what its own docstring names: InvalidInputError for an
    argument that breaks a rule (nothing was written), TypeError for one of a wrong type,
    UnavailableError after `aclose` or when the backend is away, OperationTimeoutError when it does
    not answer in time.

    Identity: env, ``tenant_id``, effective team, effective user. *Aligned* means: a context and a
    session have the same env, tenant and team, and if the session has a user, the context has the
    same. An operation by key *reaches*, for a context, the sessions of its env, tenant and team:
    those of its user and of no user, or if it has no user (a runner's), those of every user; any
    other session is absent for it. The team ``-`` is refused everywhere.

    Lifetimes: a number of seconds or a timedelta, rounded to the nearest millisecond, at least 1 ms
    and at most 2**52 ms. None takes the store's default, `NEVER` is for ever. Session and wait
    share one lifetime; when it ends both are gone, at once, unless a runner is to resume the wait
    then (``on_timeout="resume"``), or an unsettled reply lies there.

    Args:
        backend: Where the sessions are kept.
        options: The options of every store: `default_wait_ttl`, `default_session_ttl` (lifetimes
            where a call names none), `max_snapshot_bytes`, `max_waits_per_user`; and for replies
            `dedupe_window`, `reply_grace`, `timeout_grace` (seconds), `max_replies`,
            `max_inbox_bytes`, `max_reply_bytes`. `limits.StoreOptions` describes them.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.

    >>> import asyncio
    >>> from greentic_session import InMemorySessionStore
    >>> async def park_and_find():
    ...     ctx, scope = TenantCtx.new("dev", "acme", user="u1"), ReplyScope("telegram:chat-1")
    ...     data = SessionData.new(ctx, "order", "ask_size")
    ...     async with InMemorySessionStore() as store:
    ...         await store.register_wait(ctx, "u1", scope, "order-7", data, ttl=3600)
    ...         wait = await store.find_wait(ctx, "u1", scope)
    ...         return wait and (wait.key, wait.data.cursor.node_pointer)
    >>> asyncio.run(park_and_find())
    ('order-7', 'ask_size')
    """

    def __init__(
        self,
        backend: SessionBackend,
        **options: Unpack[StoreOptions],
    ) -> None:
        self._limits = Limits.of(options)
        self._bell = Bell()
        self._backend = backend
        backend.limit_replies(self._limits.replies)

    @property
    def backend(self) -> SessionBackend:
        """The storage below, for wrappers and administration. It checks no arguments."""
        return self._backend

    def _take_over(self, store: "SessionStore", backend: SessionBackend) -> None:
        """Become the same store on another backend: the constructor of wrappers."""
        self._limits = store._limits  # noqa: SLF001  # of the same class
        self._bell = store._bell  # noqa: SLF001
        self._backend = backend

    # -- sessions, by key

    async def create_session(
        self, ctx: TenantCtx, data: SessionData, *, key: str | None = None, ttl: Ttl = None
    ) -> SessionKey:
        """Store a session that waits for nothing yet.

        If `data` has a user, or else `ctx` has one, it becomes that user's latest session (see
        `find_by_user`).

        Args:
            ctx: The caller; aligned with `data`.
            data: The snapshot.
            key: The session key; by default a fresh random UUID4.
            ttl: How long to keep it.

        Returns:
            The session key.

        Raises:
            ConflictError: A live session has the given key.
            TenantMismatchError: `data` is not aligned with `ctx`.
        """
        self._backend.check_open()
        tenancy.check_ctx(ctx)
        text = self._limits.admit(data, as_text=self._backend.keeps_text)
        tenancy.check_alignment(ctx, data)
        session_key = SessionKey(str(uuid.uuid4()) if key is None else key)
        lifetime = ttl_ms(ttl, self._limits.session_ttl_ms)
        creation = Creation(session_key, data, tenancy.pointer_owner(ctx, data), lifetime, text)
        if not await self._backend.create(creation):
            raise tenancy.taken(session_key)
        return session_key

    async def get_session(self, key: str, *, ctx: TenantCtx | None = None) -> SessionData | None:
        """Return the snapshot under `key`; None if there is none that `ctx` reaches.

        Raises:
            CorruptSessionError: The stored text is no SessionData.
        """
        self._backend.check_open()
        found = _visible(await self._backend.get(_check_keyed(key, ctx)), ctx)
        return None if found is None else found.data

    async def get_versioned(self, key: str, *, ctx: TenantCtx | None = None) -> Wait | None:
        """Return the session under `key` with its version, for ``update_session(if_version=)``.

        Raises:
            CorruptSessionError: The stored text is no SessionData.
        """
        self._backend.check_open()
        found = _visible(await self._backend.get(_check_keyed(key, ctx)), ctx)
        return None if found is None else Wait(found.key, found.data, None, found.text)

    async def update_session(
        self, key: str, data: SessionData, *, ctx: TenantCtx | None = None, if_version: str | None = None
    ) -> str:
        """Replace the snapshot under `key`; its lifetime, its wait and its scope stay.

        Args:
            key: The session key.
            data: The new snapshot, of the same env, tenant, team and user.
            ctx: The caller, who reaches the stored session and `data`.
            if_version: Only if the stored session still has this version.

        Returns:
            The new version.

        Raises:
            ConflictError: It has another version than `if_version`.
            CorruptSessionError: The stored text is no SessionData.
            NotFoundError: There is none, or `ctx` does not reach it.
            TenantMismatchError: `ctx` does not reach `data`, or `data` would change whose session
                it is.
        """
        self._backend.check_open()
        key = check_session_key(key)
        text = self._limits.admit(data, as_text=self._backend.keeps_text)
        if ctx is None:
            tenancy.check_ctx(data.tenant_ctx)
        else:
            tenancy.check_ctx(ctx)
            tenancy.check_reach(ctx, data)
        if if_version is not None and not isinstance(if_version, str):
            raise TypeError(f"if_version must be a str or None, not {type(if_version).__name__}")
        return await self._backend.update(Update(key, data, ctx, if_version, text))

    def _update_with(
        self,
        key: str,
        data: SessionData,
        other: tuple[str, SessionData, ReplyScope | None],
        *,
        ctx: TenantCtx,
        if_version: str,
        ttl: Ttl,
    ) -> Awaitable[str | None]:
        """Do `update_session`, and store another session of its user in one step: for adapters.

        Args:
            key: The session key.
            data: The new snapshot.
            other: Key, snapshot and scope (None: it waits for nothing) of the other one, a new one.
            ctx: The user whose sessions these are.
            if_version: The version that the session must have.
            ttl: The lifetime of the other session.

        Returns:
            The new version; None where nothing was done, for whatever reason: `update_session`, and
            `create_session` or `register_wait`, tell which.
        """
        self._backend.check_open()
        tenancy.check_ctx(ctx)
        other_key, other_data, scope = other
        as_text = self._backend.keeps_text
        update = Update(check_session_key(key), data, ctx, if_version, self._limits.admit(data, as_text=as_text))
        text = self._limits.admit(other_data, as_text=as_text)
        new, owner = check_session_key(other_key), tenancy.wait_owner(ctx, str(ctx.effective_user), other_data)
        if scope is None:
            lifetime = ttl_ms(ttl, self._limits.session_ttl_ms)
            return self._backend.update_with(update, Creation(new, other_data, None, lifetime, text))
        tenancy.check_scope(scope)
        lifetime, most = ttl_ms(ttl, self._limits.wait_ttl_ms), self._limits.max_waits_per_user
        parking = Parking(owner, scope, new, other_data, lifetime, text, max_waits=most)
        return self._bell.behind(self._backend.update_with(update, parking))

    async def remove_session(self, key: str, *, ctx: TenantCtx | None = None) -> None:
        """Remove the session under `key` and every index entry that leads to it.

        Raises:
            NotFoundError: There is none, or `ctx` does not reach it.
        """
        self._backend.check_open()
        key = _check_keyed(key, ctx)
        if not await self._backend.remove(key, ctx):
            raise tenancy.absent(key)
        self._bell.ring()

    async def touch(self, key: str, ttl: Ttl, *, ctx: TenantCtx | None = None) -> bool:
        """Give the session under `key`, and all that leads to it, a new lifetime from now.

        Args:
            key: The session key.
            ttl: The new lifetime; None and `NEVER` are for ever, no default applies.
            ctx: The caller, who reaches the session.

        Returns:
            Whether there is such a session.
        """
        self._backend.check_open()
        key = _check_keyed(key, ctx)
        return await self._backend.touch(key, ttl_ms(ttl, None), ctx)

    async def remaining_ttl(self, key: str, *, ctx: TenantCtx | None = None) -> float | Never | None:
        """Return for how many seconds the session under `key` has still to live.

        What it returns may be given to `touch`, or to the next `register_wait`.

        Args:
            key: The session key.
            ctx: The caller, who has to reach the session.

        Returns:
            Seconds, to the millisecond; `NEVER` where it does not expire; None if there is no such
            session.
        """
        self._backend.check_open()
        left = await self._backend.remaining_ms(_check_keyed(key, ctx), ctx)
        return left / 1000 if isinstance(left, int) else left

    # -- waits, by scope

    async def register_wait(
        self,
        ctx: TenantCtx,
        user_id: str,
        scope: ReplyScope,
        session_key: str,
        data: SessionData,
        ttl: Ttl = None,
        *,
        on_conflict: Literal["replace", "fail"] = "replace",
        on_timeout: OnTimeout = "forget",
    ) -> SessionKey | None:
        """Park a flow: store its snapshot, and make it the one wait of a scope for a user.

        A session waits at one scope: registering it again moves it. A scope has one session: one
        that held it before is displaced. A displaced session stays readable by key for the rest of
        its lifetime, and is no wait any more.

        Args:
            ctx: The caller; aligned with `data`.
            user_id: Whose answer is waited for: the user of `data`, and of `ctx` if it has one.
            scope: Where the answer will come in.
            session_key: The session key, new or used before.
            data: The snapshot.
            ttl: How long to wait.
            on_conflict: ``"replace"`` displaces another live session from the scope; ``"fail"``
                raises instead.
            on_timeout: What becomes of the wait when `ttl` has passed. ``"forget"``: it is gone,
                once no unsettled reply lies there. ``"resume"``: it stays, and is ready for
                `claim_ready` and `iter_ready`; unheard, it is gone `timeout_grace` later.

        Returns:
            The key of the displaced session; None if there was none.

        Raises:
            ConflictError: With ``"fail"``: another live session holds the scope. Nothing was
                written.
            TenantMismatchError: `data` is not aligned with `ctx`, `user_id` is another user, or a
                live session under `session_key` belongs to somebody else.
            TooManyWaitsError: The user has `max_waits_per_user` waits, and this would be one more:
                it neither waits already nor displaces one. Nothing was written.
        """
        self._backend.check_open()
        tenancy.check_ctx(ctx)
        tenancy.check_scope(scope)
        key = check_session_key(session_key)
        text = self._limits.admit(data, as_text=self._backend.keeps_text)
        owner = tenancy.wait_owner(ctx, user_id, data)
        lifetime = ttl_ms(ttl, self._limits.wait_ttl_ms)
        replace = tenancy.may_displace(on_conflict)
        most, resume = self._limits.max_waits_per_user, resumes_on_timeout(on_timeout)
        parking = Parking(owner, scope, key, data, lifetime, text, replace=replace, max_waits=most, resume=resume)
        settled = await self._backend.park(parking)
        if self._bell.is_heard:
            self._bell.ring()
        return settled.displaced

    async def find_wait(self, ctx: TenantCtx, user_id: str, scope: ReplyScope, *, fallback: bool = False) -> Wait | None:
        """Find the paused flow that an answer belongs to, in one round trip.

        Args:
            ctx: The caller; one with a user finds that user's waits only.
            user_id: Who answered.
            scope: Where the answer came in.
            fallback: Where `scope` has a correlation and nothing waits there, try it without.

        Returns:
            The wait, with its key, data, version, and the scope that matched; None if nothing
            waits.

        Raises:
            CorruptSessionError: The stored text is no SessionData.
        """
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        scopes = tenancy.candidates(scope, fallback=fallback)
        return None if owner is None else await self._backend.find(owner, scopes)

    async def find_wait_by_scope(self, ctx: TenantCtx, user_id: str, scope: ReplyScope) -> SessionKey | None:
        """Return the key of the session that waits at exactly this scope; None if nothing waits."""
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        tenancy.check_scope(scope)
        return None if owner is None else await self._backend.find_key(owner, scope)

    async def list_waits_for_user(self, ctx: TenantCtx, user_id: str) -> list[SessionKey]:
        """Return the keys of all live waits of a user, each once, ascending.

        Up to 1,000 of them come in one round trip; more come in steps, and then those that waited
        throughout are in it, and those that came or went meanwhile may be.
        """
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        return [] if owner is None else await self._backend.list_waits(owner)

    async def clear_wait(self, ctx: TenantCtx, user_id: str, scope: ReplyScope) -> None:
        """Remove the wait at exactly this scope, with its session. Nothing there is no error."""
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        tenancy.check_scope(scope)
        if owner is not None:
            await self._backend.clear(owner, scope)
            self._bell.ring()

    async def find_by_user(self, ctx: TenantCtx, user: str) -> tuple[SessionKey, SessionData] | None:
        """Return the only wait of a user; without one, the user's latest live session.

        Deprecated, and kept because the reference has it: a user with two conversations has no "the
        session".

        Raises:
            CorruptSessionError: The stored text is no SessionData.
            InvalidInputError: The user has several waits.
        """
        warnings.warn("use find_wait_by_scope or list_waits_for_user instead", DeprecationWarning, stacklevel=2)
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user)
        found = None if owner is None else await self._backend.find_by_user(owner)
        return None if found is None else (found.key, found.data)

    # -- the store as a whole

    async def health(self) -> None:
        """Return if the backend answers.

        Raises:
            UnavailableError: It does not, or the store is closed.
        """
        self._backend.check_open()
        await self._backend.health()

    def iter_sessions(self, ctx: TenantCtx) -> SessionIterator:
        """Yield every session of one env and tenant, for administration; in no order, each once.

        If `ctx` has a team, that team's only; if it has a user, that user's only. What is written
        or removed meanwhile may or may not be seen. The cost grows with the store, which is not
        blocked meanwhile. Whoever leaves it early may `aclose` it; ``contextlib.aclosing`` does.
        """
        self._backend.check_open()
        tenancy.check_ctx(ctx)
        return SessionIterator(self._backend.iterate(ctx))

    async def purge(self, ctx: TenantCtx, *, user: str | None = None) -> int:
        """Remove every session of one env and tenant, with its waits and index entries.

        If `ctx` has a team, that team's only; if it has a user, that user's only; if `user` is
        given, that user's only (so a `user` that is not the context's own removes nothing). The
        cost grows with the store, which is not blocked meanwhile; each session goes in one step,
        and a purge that was cut short can be repeated.

        Returns:
            How many sessions were removed.
        """
        self._backend.check_open()
        tenancy.check_ctx(ctx)
        return await self._backend.purge(ctx, None if user is None else tenancy.check_user(user))

    async def aclose(self) -> None:
        """Close the store; idempotent. Every later call raises UnavailableError."""
        await self._backend.aclose()


def _check_keyed(key: str, ctx: TenantCtx | None) -> SessionKey:
    checked = check_session_key(key)
    if ctx is not None:
        tenancy.check_ctx(ctx)
    return checked


def _visible(found: Wait | None, ctx: TenantCtx | None) -> Wait | None:
    """Return what was found, if this caller may see it."""
    return None if found is None or (ctx is not None and not tenancy.reaches(ctx, found.data)) else found
