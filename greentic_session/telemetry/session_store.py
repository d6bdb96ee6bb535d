"""A session store with spans and durations, named like the operations of the store."""

from collections.abc import AsyncIterator, Awaitable
from typing import Final, Self, TypeVar

from greentic_session.backend import Claimed, Delivered, Readiness, SessionBackend
from greentic_session.backends.forwarding import ForwardingBackend, Party
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.wait import Wait, close_iterator

from .recorder import Operation, Recorder

__all__ = ["InstrumentedSessionBackend", "InstrumentedSessionStore"]

T = TypeVar("T")

_WITHOUT_RESULT: Final = {
    "create_session": "conflict",
    "get_session": "none",
    "remove_session": "not_found",
    "touch": "none",
    "remaining_ttl": "none",
    "find_wait": "none",
    "find_wait_by_scope": "none",
    "find_by_user": "none",
    "claim_wait": "none",
    "claim.complete": "conflict",
    "claim.release": "conflict",
    "claim.renew": "conflict",
    "claim.stay": "conflict",
    "claim.take": "conflict",
}
"""The outcome of an operation that answers None or False."""


class InstrumentedSessionStore(SessionStore):
    """The operations and options of another store, on its backend, with spans and durations.

    Args:
        store: What does the work.
        recorder: Whom to tell.
    """

    def __init__(self, store: SessionStore, recorder: Recorder) -> None:
        self._take_over(store, InstrumentedSessionBackend(store.backend, recorder))
        self._store = store
        self._recorder = recorder

    # A store may read by a shorter way than its backend's, or look at what it found before it lets
    # it out.

    async def get_session(self, key: str, *, ctx: TenantCtx | None = None) -> SessionData | None:
        """Return the snapshot under `key`; see `SessionStore.get_session`."""
        with _operation(self._recorder, "get_session", ctx) as operation:
            found = _found(await self._store.get_session(key, ctx=ctx), operation)
            if found is not None:
                operation.belongs_to(found.tenant_ctx)
            return found

    async def get_versioned(self, key: str, *, ctx: TenantCtx | None = None) -> Wait | None:
        """Return the snapshot under `key` with its version; see `SessionStore.get_versioned`."""
        with _operation(self._recorder, "get_versioned", ctx) as operation:
            found = _found(await self._store.get_versioned(key, ctx=ctx), operation)
            if found is not None:
                operation.belongs_to(found.data.tenant_ctx)
            return found

    async def find_wait(self, ctx: TenantCtx, user_id: str, scope: ReplyScope, *, fallback: bool = False) -> Wait | None:
        """Find the paused flow that an answer belongs to; see `SessionStore.find_wait`."""
        with _operation(self._recorder, "find_wait", ctx) as operation:
            return _found(await self._store.find_wait(ctx, user_id, scope, fallback=fallback), operation)


class InstrumentedSessionBackend(ForwardingBackend):
    """Any `SessionBackend`, with spans and durations.

    Args:
        backend: What does the work.
        recorder: Whom to tell.
    """

    def __init__(self, backend: SessionBackend, recorder: Recorder) -> None:
        super().__init__(backend)
        self._recorder = recorder

    async def _around(self, operation: str, party: Party, work: Awaitable[T]) -> T:
        with _operation(self._recorder, operation, party) as observed:
            answer = await work
            _tell(observed, operation, answer)
            return answer

    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return _Walk(super().iterate(ctx), _operation(self._recorder, "iter_sessions", ctx))


class _Walk:
    """Iteration of `iter_sessions`, recorded as one operation.

    No async generator, which would have to be closed by whoever leaves it early.
    """

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

    async def aclose(self) -> None:
        self._end()
        await close_iterator(self._waits)

    def _end(self, error: BaseException | None = None) -> None:
        operation, self._operation = self._operation, None
        if operation is not None:
            operation.end(error)

    def __del__(self) -> None:
        self._end()  # left early


def _operation(recorder: Recorder, name: str, party: Party) -> Operation:
    # The store has not always checked a context yet.
    if isinstance(party, TenantCtx):
        return recorder.operation(name, party.env, party.tenant_id)
    return recorder.operation(name, party[0], party[1]) if isinstance(party, tuple) else recorder.operation(name)


def _tell(observed: Operation, operation: str, answer: object) -> None:
    """Tell what an operation has answered."""
    if (outcome := _WITHOUT_RESULT.get(operation)) and (answer is None or answer is False):
        observed.outcome = outcome
    elif isinstance(answer, Delivered):
        observed.outcome = answer.outcome.value
        _tell_claim(observed, answer.claimed)
    elif isinstance(answer, Readiness):
        observed.outcome = "none" if answer.claimed is None else "ok"
        _tell_claim(observed, answer.claimed)
    elif isinstance(answer, Claimed):
        _tell_claim(observed, answer)
    elif operation == "get_session" and isinstance(answer, Wait):
        observed.belongs_to(answer.data.tenant_ctx)


def _tell_claim(operation: Operation, claimed: Claimed | None) -> None:
    if claimed is not None:
        operation.belongs_to(claimed.wait.data.tenant_ctx)
        operation.attempt = claimed.attempt


def _found(answer: T | None, operation: Operation) -> T | None:
    if answer is None:
        operation.outcome = "none"
    return answer
