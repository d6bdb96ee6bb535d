"""Situations of a user with very many waits: what happens before, and the call that is measured."""

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable

import redis.asyncio

from benchmarks.harness.population import make_data
from benchmarks.harness.store import TTL_S
from greentic_session import InvalidInputError, RedisSessionStore, ReplyScope, SessionData, TenantCtx

__all__ = ["BATCH_WAITS", "NAMESPACE", "SITUATIONS", "LargeUsers"]

BATCH_WAITS = 200
"""Number of waits that are registered at once."""
NAMESPACE = "ours"
_USER = "user-1"
_CTX = TenantCtx.new("production", "tenant-1", user=_USER)
_NEIGHBOUR_CTX = TenantCtx.new("production", "tenant-2", user=_USER)
_OWNER_KEY = f"production:tenant-1:-:{_USER}"
_SNAPSHOT = '{"answers":[]}'
_SHORT_TTL_S = 2.0
_EXPIRY_MARGIN_S = 0.1
_REGISTER_CALLS = 100


class LargeUsers:
    """Two users in two tenants with as many waits each, and the calls for the first one."""

    def __init__(self, store: RedisSessionStore, client: redis.asyncio.Redis, waits: int) -> None:
        self._store = store
        self._client = client
        self._waits = waits

    async def fill(self, tick: Callable[[], object]) -> None:
        for ctx in (_CTX, _NEIGHBOUR_CTX):
            for start in range(0, self._waits, BATCH_WAITS):
                numbers = range(start, min(start + BATCH_WAITS, self._waits))
                await asyncio.gather(*(self.park(number, ctx) for number in numbers))
                tick()

    async def park(self, number: int, ctx: TenantCtx = _CTX, ttl: float = TTL_S) -> None:
        scope, key = ReplyScope("telegram:chat-1", f"thread-{number}"), f"{ctx.tenant_id}-{number}"
        await self._store.register_wait(ctx, _USER, scope, key, _data(ctx), ttl)

    async def list_waits(self) -> None:
        await self._store.list_waits_for_user(_CTX, _USER)

    async def find_by_user(self) -> None:
        with warnings.catch_warnings(), contextlib.suppress(InvalidInputError):
            warnings.simplefilter("ignore", DeprecationWarning)
            await self._store.find_by_user(_CTX, _USER)

    async def park_again(self) -> None:
        for number in range(_REGISTER_CALLS):
            await self.park(number)

    async def let_one_expire(self) -> None:
        await self.park(self._waits, ttl=_SHORT_TTL_S)
        await asyncio.sleep(_SHORT_TTL_S + _EXPIRY_MARGIN_S)

    async def park_as_rust(self) -> None:
        """Park as the Rust crate greentic-session does: with plain commands and no index."""
        key, scope = "of-the-reference", ReplyScope("of-the-reference")
        await self._client.set(f"{NAMESPACE}:session:{key}", _data(_CTX).to_json())
        await self._client.sadd(f"{NAMESPACE}:waits:user:{_OWNER_KEY}", key)
        await self._client.set(f"{NAMESPACE}:waits:scope:{_OWNER_KEY}:{scope.scope_hash()}", key)

    async def lose_the_index(self) -> None:
        await self._client.unlink(f"{NAMESPACE}:scopes:{_OWNER_KEY}")

    async def iterate(self) -> None:
        async for _ in self._store.iter_sessions(_CTX):
            pass

    async def survey(self) -> None:
        inspector = self._store.backend.inspector()
        assert inspector is not None
        await inspector.survey(lambda _: None)

    async def examine(self) -> None:
        inspector = self._store.backend.inspector()
        assert inspector is not None
        await inspector.examine(lambda _: None)

    async def purge(self) -> None:
        async for _ in self._store.backend.purging(_CTX, None):
            pass


def _data(ctx: TenantCtx) -> SessionData:
    return make_data(ctx, _SNAPSHOT)


async def _nothing(_: LargeUsers) -> None:
    pass


_Step = Callable[[LargeUsers], Awaitable[None]]
_AGAIN = f"register, {_REGISTER_CALLS} times"
SITUATIONS: dict[str, tuple[_Step, _Step]] = {
    "list": (_nothing, LargeUsers.list_waits),
    "find_by_user": (_nothing, LargeUsers.find_by_user),
    _AGAIN: (_nothing, LargeUsers.park_again),
    f"{_AGAIN}, after one has expired": (LargeUsers.let_one_expire, LargeUsers.park_again),
    "list after one has expired": (LargeUsers.let_one_expire, LargeUsers.list_waits),
    f"{_AGAIN}, one of the reference's among them": (LargeUsers.park_as_rust, LargeUsers.park_again),
    "list, one of the reference's among them": (_nothing, LargeUsers.list_waits),
    f"{_AGAIN}, after the index was lost": (LargeUsers.lose_the_index, LargeUsers.park_again),
    "iterate the tenant": (_nothing, LargeUsers.iterate),
    "stats": (_nothing, LargeUsers.survey),
    "doctor": (_nothing, LargeUsers.examine),
    "purge the tenant": (_nothing, LargeUsers.purge),
}
"""In the order of the run: a step that comes before, and the step that is measured."""
