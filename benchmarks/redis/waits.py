"""Users with many waits: list, find and park for users with 1 to 1,000 waits, by one task."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.population import USUAL_BYTES, PreparedWait, make_ctx, make_data, make_snapshot_for
from benchmarks.harness.report import Row, Target
from benchmarks.harness.results import Result, time_row
from benchmarks.harness.samples import median_ratio, times_us
from benchmarks.harness.server import Server
from benchmarks.harness.store import open_store, register
from greentic_session import RedisSessionStore, ReplyScope

from .replay import pooled_client

__all__ = ["FIND", "LIST", "PARK", "SMEMBERS", "WAITS", "measure_waits"]

WAITS = (1, 10, 100, 1000)
"""Numbers of waits that a user has."""
SMEMBERS = "redis.asyncio, bare SMEMBERS of the same ids"
LIST = "list_waits_for_user"
FIND = "find_wait"
PARK = "register_wait + clear_wait of one more"
_MAX_TIMES_SMEMBERS = 6.0
_MAX_GROWTH = 12.0
_BLOCK_CALLS = 20


class _User:
    """User with a number of waits, and the calls for this user."""

    def __init__(self, store: RedisSessionStore, client: Redis, waits: int, snapshot: str) -> None:
        self.waits = waits
        self._store = store
        self._client = client
        self._ctx = make_ctx(waits)
        self._user = f"user-{waits}"
        self._data = make_data(self._ctx, snapshot)
        self._set = f"ids:{waits}"

    async def fill(self) -> None:
        for n in range(self.waits):
            await register(self._store, self._wait(_scope(n), n))
        await self._client.sadd(self._set, *(self._key(n) for n in range(self.waits)))
        listed = await self._store.list_waits_for_user(self._ctx, self._user)
        assert listed == sorted(self._key(n) for n in range(self.waits))

    def contestants(self) -> list[Contestant]:
        def contestant(name: str, call: Callable[[Any], Awaitable[object]], pick: Callable[[int], Any]) -> Contestant:
            return Contestant(name=_named(name, self.waits), pick=lambda n, _: pick(n), run=closed_loop(call, 1))

        ctx, user = self._ctx, self._user
        return [
            contestant(LIST, lambda user: self._store.list_waits_for_user(ctx, user), lambda _: user),
            contestant(SMEMBERS, self._client.smembers, lambda _: self._set),
            contestant(FIND, lambda scope: self._store.find_wait(ctx, user, scope), lambda n: _scope(n % self.waits)),
            contestant(PARK, self._park, lambda n: _scope(self.waits + n)),
        ]

    async def _park(self, scope: ReplyScope) -> None:
        await register(self._store, self._wait(scope, self.waits))
        await self._store.clear_wait(self._ctx, self._user, scope)

    def _wait(self, scope: ReplyScope, n: int) -> PreparedWait:
        return PreparedWait(self._ctx, self._user, scope, self._key(n), self._data)

    def _key(self, n: int) -> str:
        return f"wait-{self.waits}-{n}"


def _scope(n: int) -> ReplyScope:
    return ReplyScope("telegram:chat-1", f"thread-{n}")


def _named(name: str, waits: int) -> str:
    return f"{name}, {waits:,} wait{'s' * (waits > 1)}"


async def measure_waits(
    binary: str, *, calls: int, rounds: int, seed: int, tick: Callable[[], object]
) -> tuple[list[Row], list[Result]]:
    """Return a row for each operation and number of waits, with the targets for listing a thousand.

    Starts a server of its own: where other data was stored before, a list took another time.
    """
    order = list(range(calls))
    random.Random(seed).shuffle(order)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(binary))
        client = pooled_client(server.port, 1)
        stack.push_async_callback(client.aclose, close_connection_pool=True)
        store = await stack.enter_async_context(open_store(server.url))
        users = [_User(store, client, waits, make_snapshot_for(USUAL_BYTES)) for waits in WAITS]
        for user in users:
            await user.fill()
        lineup = [contestant for user in users for contestant in user.contestants()]
        samples = await interleave(lineup, order, rounds=rounds, block=min(calls, _BLOCK_CALLS), tick=tick)
    results = [
        Result(operation=name, contestant=name, tasks=1, size=USUAL_BYTES, waits=waits, rounds=samples[_named(name, waits)])
        for name in (LIST, SMEMBERS, FIND, PARK)
        for waits in WAITS
    ]
    rows = [
        time_row("a user's waits, 1 task", _named(found.contestant, found.waits or 0), found.rounds) for found in results
    ]
    fewer, most = WAITS[-2:]
    times = {(name, waits): times_us(samples[_named(name, waits)]) for name in (LIST, SMEMBERS) for waits in (fewer, most)}
    for row in rows:
        if row.contestant == _named(LIST, most):
            row.ratio = median_ratio(times[LIST, most], times[SMEMBERS, most])
            row.ratio_of = "x the time of SMEMBERS"
            row.set_target(Target("ratio", "max", _MAX_TIMES_SMEMBERS))
    growth = Row(
        measurement=f"growth from {fewer} to {most:,} waits",
        contestant=LIST,
        value=median_ratio(times[LIST, most], times[LIST, fewer]),
        unit="x",
        target=Target("value", "max", _MAX_GROWTH),
    )
    return [*rows, growth], results
