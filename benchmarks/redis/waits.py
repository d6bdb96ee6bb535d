"""What it costs that one user has many waits; one task, and everything asks for the same users."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from benchmarks.harness.measuring import Contestant, closed_loop, interleave, median_of, median_ratio, times
from benchmarks.harness.population import make_ctx, make_data, make_snapshot_for
from benchmarks.harness.report import Row, Target
from benchmarks.harness.results import Cell
from benchmarks.harness.server import Server
from greentic_session import RedisSessionStore, ReplyScope

from .operations import USUAL
from .ours import open_store, register
from .pool import pooled_client
from .sides import Parked

__all__ = ["LIST", "PARK", "SMEMBERS", "WAITS", "measure_waits"]

WAITS = (1, 10, 100, 1000)
SMEMBERS = "redis.asyncio, bare SMEMBERS of the same ids"
LIST = "list_waits_for_user"
FIND = "find_wait"
PARK = "register_wait + clear_wait of one more"
TIMES_SMEMBERS = 6.0
GROWTH = 12.0


class _User:
    """A user with so many waits, and one more at times."""

    def __init__(self, store: RedisSessionStore, client: Redis, waits: int, snapshot: str) -> None:
        self.waits = waits
        self._store = store
        self._client = client
        self._ctx = make_ctx(waits)
        self._user = f"user-{waits}"
        self._data = make_data(self._ctx, snapshot)
        self._set = f"ids:{waits}"

    async def open(self) -> None:
        for n in range(self.waits):
            await register(self._store, self._wait(_scope(n), n))
        await self._client.sadd(self._set, *(self._key(n) for n in range(self.waits)))
        listed = await self._store.list_waits_for_user(self._ctx, self._user)
        assert listed == sorted(self._key(n) for n in range(self.waits))

    def contestants(self) -> list[Contestant]:
        def made(name: str, call: Callable[[Any], Awaitable[object]], pick: Callable[[int], Any]) -> Contestant:
            return Contestant(name=_named(name, self.waits), pick=lambda n, _: pick(n), run=closed_loop(call, 1))

        ctx, user = self._ctx, self._user
        return [
            made(LIST, lambda user: self._store.list_waits_for_user(ctx, user), lambda _: user),
            made(SMEMBERS, self._client.smembers, lambda _: self._set),
            made(FIND, lambda scope: self._store.find_wait(ctx, user, scope), lambda n: _scope(n % self.waits)),
            made(PARK, self._park, lambda n: _scope(self.waits + n)),
        ]

    async def _park(self, scope: ReplyScope) -> None:
        await register(self._store, self._wait(scope, self.waits))
        await self._store.clear_wait(self._ctx, self._user, scope)

    def _wait(self, scope: ReplyScope, n: int) -> Parked:
        return Parked(self._ctx, self._user, scope, self._key(n), self._data)

    def _key(self, n: int) -> str:
        return f"wait-{self.waits}-{n}"


def _scope(n: int) -> ReplyScope:
    return ReplyScope("telegram:chat-1", f"thread-{n}")


def _named(name: str, waits: int) -> str:
    return f"{name}, {waits:,} wait{'s' * (waits > 1)}"


async def measure_waits(
    binary: str, *, calls: int, rounds: int, seed: int, tick: Callable[[], object]
) -> tuple[list[Row], list[Cell]]:
    """Return a row for each operation and number of waits, with the targets for listing a thousand.

    On a server of their own: the figures of a list, which looks a thousand sessions up, were others where much else had been
    measured before.
    """
    order = list(range(calls))
    random.Random(seed).shuffle(order)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(binary))
        client = pooled_client(server.port, 1)
        stack.push_async_callback(client.aclose, close_connection_pool=True)
        store = await stack.enter_async_context(open_store(server.url))
        users = [_User(store, client, waits, make_snapshot_for(USUAL)) for waits in WAITS]
        for user in users:
            await user.open()
        lineup = [contestant for user in users for contestant in user.contestants()]
        samples = await interleave(lineup, order, rounds=rounds, block=min(calls, 20), tick=tick)
    cells = [
        Cell(operation=name, contestant=name, tasks=1, size=USUAL, waits=waits, rounds=samples[_named(name, waits)])
        for name in (LIST, SMEMBERS, FIND, PARK)
        for waits in WAITS
    ]
    rows = [_row(cell) for cell in cells]
    lists, members = ({cell.waits: cell for cell in cells if cell.operation == name} for name in (LIST, SMEMBERS))
    most, fewer = WAITS[-1], WAITS[-2]
    for row in rows:
        if row.contestant == _named(LIST, most):
            row.ratio = median_ratio(times(lists[most].rounds), times(members[most].rounds))
            row.ratio_of = "x the time of SMEMBERS"
            row.hold_against(Target("ratio", "max", TIMES_SMEMBERS))
    rows.append(
        Row(
            measurement=f"growth from {fewer} to {most:,} waits",
            contestant=LIST,
            value=median_ratio(times(lists[most].rounds), times(lists[fewer].rounds)),
            unit="x",
            target=Target("value", "max", GROWTH),
        )
    )
    return rows, cells


def _row(cell: Cell) -> Row:
    return Row(
        measurement="a user's waits, 1 task",
        contestant=_named(cell.contestant, cell.waits or 0),
        value=median_of(cell.rounds, lambda spent: spent.us),
        unit="us",
        p50=median_of(cell.rounds, lambda spent: spent.percentile(50)),
        p99=median_of(cell.rounds, lambda spent: spent.percentile(99)),
        cpu=median_of(cell.rounds, lambda spent: spent.cpu_us),
    )
