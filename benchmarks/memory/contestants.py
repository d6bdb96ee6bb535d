"""Contestants of our in-memory store: readers of a filled store, and writers.

All arguments are prepared; those of a read are equal to what is stored and other objects.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeAlias

from benchmarks.harness.measuring import Contestant
from benchmarks.harness.population import PreparedWait, make_ctx, make_data, make_key, make_scope, new_string
from greentic_session import InMemorySessionStore, ReplyScope, SessionData, TenantCtx

__all__ = ["WAITS_LISTED", "Listing", "Reading", "Writing", "register", "register_with_ttl"]

WAITS_LISTED = 10
"""Number of waits of each user of `Listing`."""
_TTL_S = 3600.0

_MakeScope: TypeAlias = Callable[[int], ReplyScope]
_Register: TypeAlias = Callable[[InMemorySessionStore, Sequence[PreparedWait]], Awaitable[None]]
_Lookup: TypeAlias = tuple[TenantCtx, str, ReplyScope]


def _waits(users: int, make: _MakeScope) -> list[PreparedWait]:
    contexts = [make_ctx(n) for n in range(users)]
    return [PreparedWait(ctx, str(ctx.user_id), make(n), make_key(n), make_data(ctx)) for n, ctx in enumerate(contexts)]


async def register(store: InMemorySessionStore, waits: Sequence[PreparedWait]) -> None:
    register_wait = store.register_wait
    for ctx, user, scope, key, data in waits:
        await register_wait(ctx, user, scope, key, data)


async def register_with_ttl(store: InMemorySessionStore, waits: Sequence[PreparedWait]) -> None:
    register_wait = store.register_wait
    for ctx, user, scope, key, data in waits:
        await register_wait(ctx, user, scope, key, data, _TTL_S)


class Reading:
    """Contestants on a store with one wait for each user."""

    def __init__(self, users: int, make: _MakeScope = make_scope) -> None:
        self._store = InMemorySessionStore()
        self._stored = _waits(users, make)
        self._lookups: list[_Lookup] = [wait[:3] for wait in _waits(users, make)]
        self._keys = [new_string(wait.key) for wait in self._stored]

    async def fill(self) -> Self:
        await register(self._store, self._stored)
        ctx, user, scope = self._lookups[-1]
        found = await self._store.find_wait(ctx, user, scope)
        assert found is not None
        assert found.data == await self._store.get_session(self._keys[-1], ctx=ctx)
        return self

    def find(self, name: str, change: Callable[[ReplyScope], ReplyScope] = lambda scope: scope) -> Contestant:
        """Return a contestant that finds each wait by its scope, as `change` alters it."""
        lookups = [(ctx, user, change(scope)) for ctx, user, scope in self._lookups]
        return Contestant(name=name, pick=lambda n, _: lookups[n], run=self._find)

    def find_by_fallback(self, name: str, change: Callable[[ReplyScope], ReplyScope]) -> Contestant:
        """Return the same for scopes whose correlation is given up."""
        lookups = [(ctx, user, change(scope)) for ctx, user, scope in self._lookups]
        return Contestant(name=name, pick=lambda n, _: lookups[n], run=self._find_by_fallback)

    def get(self) -> Contestant:
        return Contestant(name="get_session", pick=lambda n, _: self._keys[n], run=self._get)

    def get_with_ctx(self) -> Contestant:
        pick = lambda n, _: (self._keys[n], self._lookups[n][0])
        return Contestant(name="get_session, ctx given", pick=pick, run=self._get_with_ctx)

    def update(self) -> Contestant:
        pick = lambda n, _: (self._keys[n], self._stored[n].data)
        return Contestant(name="update_session", pick=pick, run=self._update)

    def claim(self) -> Contestant:
        pick = lambda n, _: (self._lookups[n], self._stored[n])
        return Contestant(name="claim_wait + complete", pick=pick, run=self._claim, prepare=self._register)

    def to_and_from_json(self) -> Contestant:
        return Contestant(name="to_json + from_json", pick=lambda n, _: self._stored[n].data, run=_to_and_from_json)

    async def _find(self, lookups: Sequence[_Lookup]) -> None:
        find = self._store.find_wait
        for ctx, user, scope in lookups:
            await find(ctx, user, scope)

    async def _find_by_fallback(self, lookups: Sequence[_Lookup]) -> None:
        find = self._store.find_wait
        for ctx, user, scope in lookups:
            await find(ctx, user, scope, fallback=True)

    async def _get(self, keys: Sequence[str]) -> None:
        get = self._store.get_session
        for key in keys:
            await get(key)

    async def _get_with_ctx(self, keys: Sequence[tuple[str, TenantCtx]]) -> None:
        get = self._store.get_session
        for key, ctx in keys:
            await get(key, ctx=ctx)

    async def _update(self, changes: Sequence[tuple[str, SessionData]]) -> None:
        update = self._store.update_session
        for key, data in changes:
            await update(key, data)

    async def _register(self, pairs: Sequence[tuple[_Lookup, PreparedWait]]) -> None:
        await register(self._store, [wait for _, wait in pairs])

    async def _claim(self, pairs: Sequence[tuple[_Lookup, PreparedWait]]) -> None:
        claim_wait = self._store.claim_wait
        for (ctx, user, scope), _ in pairs:
            claim = await claim_wait(ctx, user, scope)
            assert claim is not None
            await claim.complete()


async def _to_and_from_json(sessions: Sequence[SessionData]) -> None:
    read = SessionData.from_json
    for data in sessions:
        read(data.to_json())


class Listing:
    """Contestant on a store with several waits for each user."""

    def __init__(self, users: int) -> None:
        self._store = InMemorySessionStore()
        self._waits = _waits(users, make_scope)
        self._users = [wait[:2] for wait in _waits(users, make_scope)]

    async def fill(self) -> Self:
        for ctx, user, scope, key, data in self._waits:
            for n in range(WAITS_LISTED):
                await self._store.register_wait(ctx, user, ReplyScope(scope.conversation, f"{n}"), f"{key}-{n}", data)
        ctx, user = self._users[-1]
        assert len(await self._store.list_waits_for_user(ctx, user)) == WAITS_LISTED
        return self

    def contestant(self) -> Contestant:
        return Contestant(name="list_waits_for_user", pick=lambda n, _: self._users[n], run=self._list)

    async def _list(self, users: Sequence[tuple[TenantCtx, str]]) -> None:
        list_waits = self._store.list_waits_for_user
        for ctx, user in users:
            await list_waits(ctx, user)


class Writing:
    """Contestants that register a wait of each user, for the first time or again.

    What they register again are equal contexts and data, and never the stored objects.
    """

    def __init__(self, name: str, users: int, register: _Register = register, make: _MakeScope = make_scope) -> None:
        self._name = name
        self._store = InMemorySessionStore()
        self._waits = _waits(users, make), _waits(users, make)
        self._register = register

    async def again(self) -> Contestant:
        await self._run(self._waits[1])
        return Contestant(name=self._name, pick=self._pick, run=self._run)

    def new(self) -> Contestant:
        return Contestant(name=self._name, pick=self._pick, run=self._run, begin=self._renew)

    def _pick(self, n: int, turn: int) -> Any:
        return self._waits[turn % 2][n]

    async def _run(self, waits: Sequence[PreparedWait]) -> None:
        await self._register(self._store, waits)

    async def _renew(self) -> None:
        await self._store.aclose()
        self._store = InMemorySessionStore()
