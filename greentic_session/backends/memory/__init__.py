"""The in-memory store: for tests and single-process programs.

Any number of threads and event loops may share one. No operation waits for anything, so within one
loop each is a single step; between threads there is a lock, and the two hottest reads do without it
(see `entry.Entry`).
"""

import time
from typing import Unpack

from greentic_session import tenancy
from greentic_session._expiry.expiring import Timer
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.limits import StoreOptions
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.wait import Wait

__all__ = ["InMemorySessionStore"]


class InMemorySessionStore(SessionStore):
    """A `SessionStore` in this process's memory; it is gone with the process.

    It may be shared by threads and event loops, and runs on asyncio and trio. Expired sessions are
    freed by the writes that follow and, when there are none, by a daemon thread that the store
    starts when something may expire.

    Args:
        timer: Tells the time in seconds, from any start, never going back: lifetimes are measured
            by it. With a timer of your own (in tests) there is no daemon thread.
        options: The options of every `SessionStore`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.

    >>> import asyncio
    >>> now = 0.0
    >>> async def outlive():
    ...     global now
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     data = SessionData.new(ctx, "f", "n")
    ...     async with InMemorySessionStore(timer=lambda: now) as store:
    ...         key = await store.create_session(ctx, data, ttl=60)
    ...         now = 60.0
    ...         return await store.get_session(key)
    >>> asyncio.run(outlive()) is None
    True
    """

    def __init__(
        self,
        *,
        timer: Timer = time.monotonic,
        **options: Unpack[StoreOptions],
    ) -> None:
        self._memory = MemoryBackend(timer)
        super().__init__(
            self._memory,
            **options,
        )

    # The two overrides below answer the usual call without the lock and without repeating the
    # checks: what is found was checked when it was stored. Anything else (nothing found, expired,
    # another user, a wrong type, a writer at work) is left to the operation itself, which they must
    # never contradict. `Entry` says why they are right.

    async def get_session(self, key: str, *, ctx: TenantCtx | None = None) -> SessionData | None:
        """Return the snapshot under `key`; see `SessionStore.get_session`."""
        memory = self._memory
        try:
            entry = memory.shard(key)[key]
            data = entry.wait.data
            if entry.end > memory.timer():
                if ctx is None:
                    return data
                tenancy.check_ctx(ctx)
                if tenancy.reaches(ctx, data):
                    return data
        except (KeyError, TypeError):
            pass
        return await super().get_session(key, ctx=ctx)

    async def find_wait(self, ctx: TenantCtx, user_id: str, scope: ReplyScope, *, fallback: bool = False) -> Wait | None:
        """Find the paused flow that an answer belongs to; see `SessionStore.find_wait`."""
        memory = self._memory
        try:
            entry = memory.waits[ctx.env, ctx.tenant_id, ctx.team_id, user_id][scope]
            wait = entry.wait
            # Both fields of each pair alike, as `TenantCtx.new` makes them: then nothing can be
            # wrong with this ctx.
            if (
                ctx.user_id == user_id
                and ctx.team == ctx.team_id
                and wait.scope == scope
                and entry.end > memory.timer()
                and type(ctx) is TenantCtx
            ):
                return wait
        except (KeyError, TypeError, AttributeError):
            pass
        return await super().find_wait(ctx, user_id, scope, fallback=fallback)
