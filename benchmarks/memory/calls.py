"""What one call of the in-memory store costs, beside aiogram's on the same payload.

All contexts, scopes and data are prepared; those of a lookup are equal to what is stored, and other objects. Users come
round robin in a shuffled order. See `_aiogram_memory` for what aiogram is given.
"""

import random
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.harness.measuring import Contestant, interleave, median_ratio, times
from benchmarks.harness.population import fresh, make_ctx, make_data, make_full_scope, make_key, make_scope
from benchmarks.harness.report import Row, Target
from greentic_session import InMemorySessionStore, ReplyScope, SessionData, TenantCtx

__all__ = ["Peer", "measure_calls"]

TTL = 3600.0
WAITS_LISTED = 10
FEW_USERS = 100
READ_TARGET = 1.0
WRITE_TARGET = 0.2
AIMED = {"get_session", "find_wait", "register_wait"}
"""Whom the targets are for. aiogram's storage in memory knows no expiry, so none is set for a wait with a TTL."""

Place = tuple[TenantCtx, str, ReplyScope]
Write = tuple[TenantCtx, str, ReplyScope, str, SessionData]
Scoped = Callable[[int], ReplyScope]
Register = Callable[[InMemorySessionStore, Sequence[Write]], Awaitable[None]]


def _places(users: int, make: Scoped) -> list[Place]:
    contexts = [make_ctx(n) for n in range(users)]
    return [(ctx, str(ctx.user_id), make(n)) for n, ctx in enumerate(contexts)]


def _writes(users: int, make: Scoped) -> list[Write]:
    return [(ctx, user, scope, make_key(n), make_data(ctx)) for n, (ctx, user, scope) in enumerate(_places(users, make))]


async def _register(store: InMemorySessionStore, writes: Sequence[Write]) -> None:
    register = store.register_wait
    for ctx, user, scope, key, data in writes:
        await register(ctx, user, scope, key, data)


async def _register_for_an_hour(store: InMemorySessionStore, writes: Sequence[Write]) -> None:
    register = store.register_wait
    for ctx, user, scope, key, data in writes:
        await register(ctx, user, scope, key, data, TTL)


class _Reading:
    """Contestants that read a store with one wait for each user."""

    def __init__(self, users: int, make: Scoped = make_scope) -> None:
        self.store = InMemorySessionStore()
        self.writes = _writes(users, make)
        self.places = _places(users, make)
        self.keys = [(fresh(key), ctx) for ctx, _, _, key, _ in self.writes]

    async def open(self) -> Self:
        await _register(self.store, self.writes)
        found = await self.store.find_wait(*self.places[-1])
        assert found is not None
        assert found.data == await self.store.get_session(self.keys[-1][0], ctx=self.places[-1][0])
        return self

    def find(self, name: str) -> Contestant:
        return Contestant(name=name, pick=lambda n, _: self.places[n], run=self._find)

    def find_with(self, name: str, change: Callable[[ReplyScope], ReplyScope]) -> Contestant:
        places = [(ctx, user, change(scope)) for ctx, user, scope in self.places]
        return Contestant(name=name, pick=lambda n, _: places[n], run=self._find)

    def get(self) -> Contestant:
        return Contestant(name="get_session", pick=lambda n, _: self.keys[n][0], run=self._get)

    def get_for(self) -> Contestant:
        pick = lambda n, _: (self.keys[n][0], self.places[n][0])
        return Contestant(name="get_session, ctx given", pick=pick, run=self._get_for)

    def update(self) -> Contestant:
        pick = lambda n, _: (self.keys[n][0], self.writes[n][4])
        return Contestant(name="update_session", pick=pick, run=self._update)

    def claim(self) -> Contestant:
        pick = lambda n, _: (self.places[n], self.writes[n])
        return Contestant(name="claim_wait + complete", pick=pick, run=self._claim, prepare=self._park)

    def round_trip(self) -> Contestant:
        return Contestant(name="to_json + from_json", pick=lambda n, _: self.writes[n][4], run=self._round_trip)

    async def _find(self, places: Sequence[Place]) -> None:
        find = self.store.find_wait
        for ctx, user, scope in places:
            await find(ctx, user, scope)

    async def _get(self, keys: Sequence[str]) -> None:
        get = self.store.get_session
        for key in keys:
            await get(key)

    async def _get_for(self, keys: Sequence[tuple[str, TenantCtx]]) -> None:
        get = self.store.get_session
        for key, ctx in keys:
            await get(key, ctx=ctx)

    async def _update(self, writes: Sequence[tuple[str, SessionData]]) -> None:
        update = self.store.update_session
        for key, data in writes:
            await update(key, data)

    async def _park(self, pairs: Sequence[tuple[Place, Write]]) -> None:
        await _register(self.store, [write for _, write in pairs])

    async def _claim(self, pairs: Sequence[tuple[Place, Write]]) -> None:
        claim_wait = self.store.claim_wait
        for (ctx, user, scope), _ in pairs:
            claim = await claim_wait(ctx, user, scope)
            assert claim is not None
            await claim.complete()

    async def _round_trip(self, sessions: Sequence[SessionData]) -> None:
        read = SessionData.from_json
        for data in sessions:
            read(data.to_json())


class _Listing(_Reading):
    """A contestant that lists the waits of users who have several."""

    async def open(self) -> Self:
        for ctx, user, scope, key, data in self.writes:
            for n in range(WAITS_LISTED):
                await self.store.register_wait(ctx, user, ReplyScope(scope.conversation, f"{n}"), f"{key}-{n}", data)
        assert len(await self.store.list_waits_for_user(*self.places[-1][:2])) == WAITS_LISTED
        return self

    def contestant(self) -> Contestant:
        return Contestant(name="list_waits_for_user", pick=lambda n, _: self.places[n], run=self._list)

    async def _list(self, places: Sequence[Place]) -> None:
        list_waits = self.store.list_waits_for_user
        for ctx, user, _ in places:
            await list_waits(ctx, user)


class _Writing:
    """A contestant that registers; what it registers again are equal contexts and data, but never the stored objects."""

    def __init__(self, name: str, users: int, register: Register = _register, make: Scoped = make_scope) -> None:
        self._name = name
        self._store = InMemorySessionStore()
        self._writes = _writes(users, make), _writes(users, make)
        self._register = register

    async def again(self) -> Contestant:
        await self._run(self._writes[1])
        return Contestant(name=self._name, pick=self._pick, run=self._run)

    def new(self) -> Contestant:
        return Contestant(name=self._name, pick=self._pick, run=self._run, begin=self._forget)

    def _pick(self, n: int, turn: int) -> Write:
        return self._writes[turn % 2][n]

    async def _run(self, writes: Sequence[Write]) -> None:
        await self._register(self._store, writes)

    async def _forget(self) -> None:
        await self._store.aclose()
        self._store = InMemorySessionStore()


@dataclass(frozen=True)
class Peer:
    """What a peer puts beside ours: what reads what is stored, what writes for the first time, and what writes again."""

    read: Contestant
    write_new: Contestant
    write_again: Contestant


async def measure_calls(*, peer: Peer | None, users: int, rounds: int, block: int, seed: int) -> list[Row]:
    """Return a row for each call, with a target where one is set."""
    order = list(range(users))
    random.Random(seed).shuffle(order)
    rows: list[Row] = []

    async def table(
        measurement: str,
        ours: Sequence[Contestant],
        theirs: Contestant | None = None,
        limit: float | None = None,
        order: Sequence[int] = order,
        rounds: int = rounds,
    ) -> None:
        lineup = [*ours, theirs] if theirs else ours
        samples = await interleave(lineup, order, rounds=rounds, block=block)
        for contestant in lineup:
            taken = times(samples[contestant.name])
            beside = times(samples[theirs.name]) if theirs and contestant is not theirs else None
            aimed = limit is not None and contestant.name in AIMED
            rows.append(
                Row(
                    measurement=measurement,
                    contestant=contestant.name,
                    value=statistics.median(taken),
                    unit="us",
                    ratio=median_ratio(beside, taken) if beside else None,
                    ratio_of="x aiogram's speed" if beside else None,
                    target=Target("ratio", "min", limit) if aimed and limit is not None else None,
                )
            )

    reading = await _Reading(users).open()
    full = await _Reading(users, make_full_scope).open()
    await table("read by key", [reading.get(), reading.get_for()], peer.read if peer else None, READ_TARGET)
    finds = [
        reading.find("find_wait"),
        full.find("find_wait, scope of four parts"),
        reading.find_with("find_wait, by the fallback", lambda scope: ReplyScope(scope.conversation, correlation="c-1")),
        reading.find_with("find_wait, nothing there", lambda scope: ReplyScope(scope.conversation, "elsewhere")),
    ]
    await table("find by scope", finds, peer.read if peer else None, READ_TARGET)
    variants: list[tuple[str, Register, Scoped]] = [
        ("register_wait", _register, make_scope),
        ("register_wait, with a TTL", _register_for_an_hour, make_scope),
        ("register_wait, scope of four parts", _register, make_full_scope),
    ]
    new = [_Writing(name, users, register, make).new() for name, register, make in variants]
    await table("park a new session", new, peer.write_new if peer else None, WRITE_TARGET)
    again = [await _Writing(name, users, register, make).again() for name, register, make in variants]
    await table("park a session again", again, peer.write_again if peer else None, WRITE_TARGET)
    # So few that all they touch stays in the processor's caches: kinder to both, and far kinder to aiogram's short path.
    few = [n for n in order if n < FEW_USERS]
    theirs = peer.write_again if peer else None
    await table(f"park again, {FEW_USERS} users", again, theirs, WRITE_TARGET, order=few, rounds=4 * rounds)
    await table("change a snapshot", [reading.update()])
    await table("resume and finish", [reading.claim()])
    listing = await _Listing(users).open()
    await table(f"list {WAITS_LISTED} waits of a user", [listing.contestant()])
    await table("JSON there and back", [reading.round_trip()])
    return rows
