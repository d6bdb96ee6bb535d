"""A session store and its backend that tell what they are asked for, by the names of the store's operations."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self, TypeVar

from greentic_session.admin import Inspector, Step
from greentic_session.backend import SessionBackend
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from .lifecycle import Instrumented
from .recorder import Operation, Recorder

__all__ = ["InstrumentedSessionBackend", "InstrumentedSessionStore"]

T = TypeVar("T")


class InstrumentedSessionStore(SessionStore):
    """The operations and options of another store, on its backend, with spans and durations.

    Args:
        store: What does the work.
        recorder: Whom to tell.
    """

    def __init__(self, store: SessionStore, recorder: Recorder) -> None:
        vars(self).update(vars(store))  # its options, and what its backend needs to be kept
        self._store = store
        self._recorder = recorder
        self._backend = InstrumentedSessionBackend(store._backend, recorder)  # noqa: SLF001  # of a store

    # A store may read by a shorter way than its backend's, or look at what it found before it lets it out.

    async def get_session(self, key: str, *, ctx: TenantCtx | None = None) -> SessionData | None:
        """Return the snapshot under `key`; see `SessionStore.get_session`."""
        with _of_ctx(self._recorder, "get_session", ctx) as operation:
            found = _found(await self._store.get_session(key, ctx=ctx), operation)
            if found is not None:
                operation.belongs_to(found.tenant_ctx)
            return found

    async def get_versioned(self, key: str, *, ctx: TenantCtx | None = None) -> Wait | None:
        """Return the same with its version; see `SessionStore.get_versioned`."""
        with _of_ctx(self._recorder, "get_versioned", ctx) as operation:
            found = _found(await self._store.get_versioned(key, ctx=ctx), operation)
            if found is not None:
                operation.belongs_to(found.data.tenant_ctx)
            return found

    async def find_wait(self, ctx: TenantCtx, user_id: str, scope: ReplyScope, *, fallback: bool = True) -> Wait | None:
        """Find the paused flow that an answer belongs to; see `SessionStore.find_wait`."""
        with _of_ctx(self._recorder, "find_wait", ctx) as operation:
            return _found(await self._store.find_wait(ctx, user_id, scope, fallback=fallback), operation)


class InstrumentedSessionBackend(Instrumented[SessionBackend], SessionBackend):
    """Any `SessionBackend`, with spans and durations.

    Args:
        backend: What does the work.
        recorder: Whom to tell.
    """

    def __init__(self, backend: SessionBackend, recorder: Recorder) -> None:
        super().__init__(backend, recorder)
        self.keeps_text: bool = backend.keeps_text

    def _by_ctx(self, name: str, ctx: TenantCtx | None) -> Operation:
        return _of_ctx(self._recorder, name, ctx)

    def _by_owner(self, name: str, owner: Owner) -> Operation:
        return self._recorder.operation(name, owner[0], owner[1])

    # -- sessions, by key

    async def create(
        self, key: SessionKey, data: SessionData, pointer: Owner | None, ttl_ms: int | None, text: bytes | None = None, /
    ) -> bool:
        with self._by_ctx("create_session", data.tenant_ctx) as operation:
            created = await self._inner.create(key, data, pointer, ttl_ms, text)
            if not created:
                operation.outcome = "conflict"
            return created

    async def read(self, key: str) -> Wait | None:
        with self._recorder.operation("get_session") as operation:
            found = _found(await self._inner.read(key), operation)
            if found is not None:
                operation.belongs_to(found.data.tenant_ctx)
            return found

    async def update(
        self, key: str, data: SessionData, ctx: TenantCtx | None, if_version: str | None, text: bytes | None = None, /
    ) -> str:
        with self._by_ctx("update_session", data.tenant_ctx):
            return await self._inner.update(key, data, ctx, if_version, text)

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        with self._by_ctx("remove_session", ctx) as operation:
            removed = await self._inner.remove(key, ctx)
            if not removed:
                operation.outcome = "not_found"
            return removed

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        with self._by_ctx("touch", ctx) as operation:
            touched = await self._inner.touch(key, ttl_ms, ctx)
            if not touched:
                operation.outcome = "none"
            return touched

    # -- waits, by scope

    async def register(
        self,
        owner: Owner,
        scope: ReplyScope,
        key: SessionKey,
        data: SessionData,
        ttl_ms: int | None,
        text: bytes | None = None,
        /,
        *,
        replace: bool = True,
        token: str | None = None,
    ) -> SessionKey | None:
        with self._by_owner("register_wait" if token is None else "claim.park", owner):
            return await self._inner.register(owner, scope, key, data, ttl_ms, text, replace=replace, token=token)

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        with self._by_owner("find_wait", owner) as operation:
            return _found(await self._inner.find(owner, scopes), operation)

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        with self._by_owner("find_wait_by_scope", owner) as operation:
            return _found(await self._inner.find_key(owner, scope), operation)

    async def keys(self, owner: Owner) -> list[SessionKey]:
        with self._by_owner("list_waits_for_user", owner):
            return await self._inner.keys(owner)

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        with self._by_owner("clear_wait", owner):
            await self._inner.clear(owner, scope)

    async def find_by_user(self, owner: Owner) -> Wait | None:
        with self._by_owner("find_by_user", owner) as operation:
            return _found(await self._inner.find_by_user(owner), operation)

    # -- claims

    async def claim(self, owner: Owner, scopes: tuple[ReplyScope, ...], token: str, lease_ms: int) -> Wait | None:
        with self._by_owner("claim_wait", owner) as operation:
            return _found(await self._inner.claim(owner, scopes, token, lease_ms), operation)

    async def complete(self, owner: Owner, key: str, token: str) -> bool:
        with self._recorder.operation("claim.complete") as operation:
            return _live(await self._inner.complete(owner, key, token), operation)

    async def release(self, key: str, token: str) -> bool:
        with self._recorder.operation("claim.release") as operation:
            return _live(await self._inner.release(key, token), operation)

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        with self._recorder.operation("claim.renew") as operation:
            return _live(await self._inner.renew(key, token, lease_ms), operation)

    # -- the store as a whole

    def scan(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return _Walk(self._inner.scan(ctx), self._by_ctx("iter_sessions", ctx))

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        with self._by_ctx("purge", ctx):
            return await self._inner.purge(ctx, user)

    def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        return self._inner.purging(ctx, user)  # steps of administration are not counted

    def inspector(self) -> Inspector | None:
        return self._inner.inspector()


class _Walk:
    """An iteration, and its operation. No async generator, which would have to be closed by whoever leaves it early."""

    def __init__(self, waits: AsyncIterator[Wait], operation: Operation) -> None:
        self._waits = waits
        self._operation: Operation | None = operation

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Wait:
        operation = self._operation
        if operation is None:
            return await anext(self._waits)  # it has ended, and says so itself
        operation.resume()
        try:
            wait = await anext(self._waits)
        except BaseException as error:
            operation.pause()
            self._end(None if isinstance(error, StopAsyncIteration) else error)
            raise
        operation.pause()
        return wait

    def _end(self, error: BaseException | None = None) -> None:
        operation, self._operation = self._operation, None
        if operation is not None:
            operation.end(error)

    def __del__(self) -> None:
        self._end()  # left early


def _of_ctx(recorder: Recorder, name: str, ctx: TenantCtx | None) -> Operation:
    # The store has not always checked it yet.
    return recorder.operation(name, ctx.env, ctx.tenant_id) if isinstance(ctx, TenantCtx) else recorder.operation(name)


def _found(answer: T | None, operation: Operation) -> T | None:
    if answer is None:
        operation.outcome = "none"
    return answer


def _live(was_live: bool, operation: Operation) -> bool:  # noqa: FBT001  # an answer handed on, not a switch
    if not was_live:
        operation.outcome = "conflict"
    return was_live
