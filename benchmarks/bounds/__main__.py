"""How long one user with many waits holds the server: ``python -m benchmarks.bounds``; ``--help`` lists the options.

It starts a Redis of its own, parks so many waits of one user in it, and the same number of waits of a neighbour in another
tenant. Then it does one thing after another, and tells of each: the longest script (by the SLOWLOG), the slowest PING
of another client, and how long it took. A missed target is told, and is no failure of the run.
"""

import argparse
import asyncio
import contextlib
import sys
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import redis.asyncio

from benchmarks.harness.command import QUICK, make_parser, positive
from benchmarks.harness.monitoring import watch
from benchmarks.harness.population import make_data
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Report, Row, Target, load_average, machine
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from benchmarks.redis.ours import open_store
from greentic_session import InvalidInputError, RedisSessionStore, ReplyScope, SessionData, TenantCtx

__all__ = ["SITUATIONS", "main"]

LONGEST_SCRIPT_MS = 5.0
USER = "user-1"
ONE = TenantCtx.new("production", "tenant-1", user=USER)
NEIGHBOUR = TenantCtx.new("production", "tenant-2", user=USER)
AT_ONCE = 200
"""How many waits are parked at once."""
SNAPSHOT = '{"answers":[]}'
NAMESPACE = "ours"
SOON = 2.0
"""After how many seconds a wait expires that is to expire."""

NOTES = [
    "Longest script: by the server's SLOWLOG. Its time is that of a clock: what else is busy on the machine counts.",
    "95 % of the scripts: of those that took a tenth of a millisecond; what the longest took may be a pause of the machine.",
    "Slowest PING: of another client, meanwhile. Client and server share the cores.",
]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    waits: int = 20_000


QUICKLY = Sizes(waits=1500)


class _Users:
    """Two users with as many waits each, and what is done with one of them."""

    def __init__(self, store: RedisSessionStore, client: redis.asyncio.Redis, waits: int) -> None:
        self._store = store
        self._client = client
        self._waits = waits

    async def fill(self, tick: Callable[[], object]) -> None:
        for ctx in (ONE, NEIGHBOUR):
            for start in range(0, self._waits, AT_ONCE):
                numbers = range(start, min(start + AT_ONCE, self._waits))
                await asyncio.gather(*(self.park(number, ctx) for number in numbers))
                tick()

    async def park(self, number: int, ctx: TenantCtx = ONE, ttl: float = 86_400.0) -> None:
        await self._store.register_wait(ctx, USER, _scope(number), _key(number, ctx), _data(ctx), ttl)

    async def list_waits(self) -> None:
        await self._store.list_waits_for_user(ONE, USER)

    async def find_by_user(self) -> None:
        with warnings.catch_warnings(), contextlib.suppress(InvalidInputError):
            warnings.simplefilter("ignore", DeprecationWarning)
            await self._store.find_by_user(ONE, USER)

    async def park_again(self) -> None:
        for number in range(100):
            await self.park(number)

    async def let_one_expire(self) -> None:
        await self.park(self._waits, ttl=SOON)
        await asyncio.sleep(SOON + 0.1)

    async def park_one_as_the_reference(self) -> None:
        """Park as the Rust crate greentic-session does: with plain commands, and without an index."""
        place, key = f"production:tenant-1:-:{USER}", "of-the-reference"
        scope_hash = ReplyScope("of-the-reference").scope_hash()
        await self._client.set(f"{NAMESPACE}:session:{key}", _data(ONE).to_json())
        await self._client.sadd(f"{NAMESPACE}:waits:user:{place}", key)
        await self._client.set(f"{NAMESPACE}:waits:scope:{place}:{scope_hash}", key)

    async def lose_the_index(self) -> None:
        await self._client.unlink(f"{NAMESPACE}:scopes:production:tenant-1:-:{USER}")

    async def iterate(self) -> None:
        async for _ in self._store.iter_sessions(ONE):
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
        async for _ in self._store.backend.purging(ONE, None):
            pass


async def _nothing(_: _Users) -> None:
    pass


_Does = Callable[[_Users], Awaitable[None]]
SITUATIONS: dict[str, tuple[_Does, _Does]] = {
    "list": (_nothing, _Users.list_waits),
    "find_by_user": (_nothing, _Users.find_by_user),
    "register, 100 times": (_nothing, _Users.park_again),
    "register, 100 times, after one has expired": (_Users.let_one_expire, _Users.park_again),
    "list after one has expired": (_Users.let_one_expire, _Users.list_waits),
    "register, 100 times, one of the reference's among them": (_Users.park_one_as_the_reference, _Users.park_again),
    "list, one of the reference's among them": (_nothing, _Users.list_waits),
    "register, 100 times, after the index was lost": (_Users.lose_the_index, _Users.park_again),
    "iterate the tenant": (_nothing, _Users.iterate),
    "stats": (_nothing, _Users.survey),
    "doctor": (_nothing, _Users.examine),
    "purge the tenant": (_nothing, _Users.purge),
}
"""What is measured, in this order: what comes before, and what is watched."""


def _scope(number: int) -> ReplyScope:
    return ReplyScope("telegram:chat-1", f"thread-{number}")


def _key(number: int, ctx: TenantCtx) -> str:
    return f"{ctx.tenant_id}-{number}"


def _data(ctx: TenantCtx) -> SessionData:
    return make_data(ctx, SNAPSHOT)


async def _measure(url: str, sizes: Sizes) -> list[Row]:
    rows = []
    async with open_store(url, NAMESPACE) as store, redis.asyncio.Redis.from_url(url, socket_timeout=300) as client:
        users = _Users(store, client, sizes.waits)
        with progress(2 * -(-sizes.waits // AT_ONCE) + len(SITUATIONS)) as tick:
            await users.fill(tick)
            for name, (prepare, do) in SITUATIONS.items():
                await prepare(users)
                seen = await watch(url, lambda do=do: do(users))  # type: ignore[misc]  # mypy knows no default here
                scripts = seen.scripts or [0.0]
                usual, longest = scripts[int(len(scripts) * 0.95)], scripts[-1]
                aim = Target("value", "max", LONGEST_SCRIPT_MS)
                rows.append(Row(measurement=name, contestant="longest script", value=longest, unit="ms", target=aim))
                rows.append(Row(measurement=name, contestant="95 % of the scripts", value=usual, unit="ms"))
                rows.append(Row(measurement=name, contestant="slowest PING", value=seen.longest_ping, unit="ms"))
                rows.append(Row(measurement=name, contestant="takes", value=seen.seconds, unit="s"))
                tick()
    return rows


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.bounds", "How long a user with many waits holds the server.", few="waits", rounds=None, seed=False
    )
    parser.add_argument("--waits", type=positive, help="how many the user has")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    binary = find_binary()
    if binary is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    sizes = Sizes(waits=options.waits or (QUICKLY if options.quick else Sizes()).waits)
    load = load_average()
    with Server(binary) as server:
        rows = asyncio.run(_measure(server.url, sizes))
        version = server.version
    report = Report(
        machine={**machine("msgspec", "redis", "hiredis"), "server": version, "load before": load},
        settings={**asdict(sizes), "quick": options.quick},
        rows=rows,
        findings={},
        notes=NOTES + [QUICK] * options.quick,
    )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
