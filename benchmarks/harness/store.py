"""Stores under test: the settings that all benchmarks share, and calls with a prepared wait."""

from collections.abc import Awaitable, Callable

from greentic_session import RedisSessionStore, SessionStore

from .population import PreparedWait
from .server import TIMEOUT_S

__all__ = ["CALLS", "TTL_S", "open_store", "register"]

TTL_S = 86_400.0
"""Lifetime of the measured sessions: README.md advises to set one."""


def open_store(url: str, namespace: str = "ours", *, default_wait_ttl: float | None = None) -> RedisSessionStore:
    """Return a Redis store with the timeout that all benchmarks share."""
    return RedisSessionStore.from_url(url, namespace=namespace, timeout=TIMEOUT_S, default_wait_ttl=default_wait_ttl)


async def register(store: SessionStore, wait: PreparedWait, ttl: float | None = TTL_S) -> None:
    await store.register_wait(*wait, ttl)


async def _register(store: SessionStore, wait: PreparedWait) -> None:
    await store.register_wait(*wait)


async def _find(store: SessionStore, wait: PreparedWait) -> None:
    ctx, user, scope, _, _ = wait
    await store.find_wait(ctx, user, scope)


async def _get(store: SessionStore, wait: PreparedWait) -> None:
    await store.get_session(wait.key)


async def _update(store: SessionStore, wait: PreparedWait) -> None:
    await store.update_session(wait.key, wait.data)


CALLS: dict[str, Callable[[SessionStore, PreparedWait], Awaitable[None]]] = {
    "register_wait": _register,
    "find_wait": _find,
    "get_session": _get,
    "update_session": _update,
}
"""Calls by the name of the operation; `register_wait` takes the store's default lifetime."""
