"""Time that passes for a store because a test says so."""

from greentic_session.backend import SessionBackend
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Seconds, milliseconds
from greentic_session.store import SessionStore

__all__ = ["later"]


async def later(store: SessionStore, seconds: Seconds) -> None:
    """Pass time for a store: its lifetimes, leases, delays and deadlines are so much nearer.

    What is ready by that is yielded by `SessionStore.iter_ready` at once. Stores that share a
    backend or a file share its time. Moments that have been told (`Reply.accepted_at`,
    `Claim.deadline`) are told as before.

    Args:
        store: One in memory, in SQLite or on Redis, also one that is wrapped. In SQLite and on
            Redis what is stored is shortened, in all of the file or the namespace, so deadlines
            that are told afterwards are told nearer: it is for a file or a Redis of the tests.
        seconds: How much.

    Raises:
        InvalidInputError: It is not more than zero, or the store is of another kind.
        TypeError: It is no length of time, or `store` is no SessionStore.

    >>> import anyio
    >>> from greentic_session import InMemorySessionStore, SessionData, TenantCtx
    >>> async def main():
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with InMemorySessionStore() as store:
    ...         key = await store.create_session(ctx, SessionData.new(ctx, "f", "n"), ttl=3600)
    ...         await later(store, 3600)
    ...         return await store.get_session(key)
    >>> anyio.run(main) is None
    True
    """
    if not isinstance(store, SessionStore):
        raise TypeError(f"store must be a SessionStore, not {type(store).__name__}")
    passed_ms = milliseconds(seconds, "seconds")
    backend = _innermost(store.backend)
    if isinstance(backend, MemoryBackend):
        backend.move_timer(passed_ms)
    elif (pass_time := getattr(backend, "pass_time", None)) is not None:  # they need an extra
        await pass_time(passed_ms)
    else:
        raise InvalidInputError(f"the time of a store in {backend.system} cannot be moved")
    store.wake()


def _innermost(backend: SessionBackend) -> SessionBackend:
    while isinstance(inner := getattr(backend, "_inner", None), SessionBackend):
        backend = inner
    return backend
