"""What a cluster costs: ``python -m benchmarks.cluster``; ``--help`` lists the options.

The calls of a runner's hot path, with snapshots of 4 KiB, on a cluster of three primaries and on a single server, all of
them on this machine: so what is compared is the way there, and not how much a fleet of machines could do.

Contestants run in turns, a block of calls at a time, in one process (`_measure.interleave`). The table holds medians over
the rounds; a ratio is the median of the rounds' ratios. A missed target is told, and is no failure of the run.
"""

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.command import QUICK, make_parser
from benchmarks.harness.measuring import Contestant, closed_loop, interleave, median_of
from benchmarks.harness.population import SNAPSHOT, make_ctx, make_data, make_key, make_scope
from benchmarks.harness.report import Report, Row, Target, machine
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from greentic_session import RedisSessionStore
from greentic_session._servers.cluster import Cluster

__all__ = ["main"]

PRIMARIES = 3
LIMIT = 0.7
"""Of a single server's throughput, at least, for find_wait at 100 tasks."""
SINGLE, CLUSTER = "one server", "cluster"
NOTES = [
    "Three primaries, the single server and the client share this machine's cores.",
    "A new session takes a second round trip on a cluster: its key is reserved first. Parking it again takes one.",
]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured; of calls that are made one by one only one in `few`."""

    users: int = 2000
    rounds: int = 9
    block: int = 2000
    few: int = 10


QUICKLY = Sizes(users=100, rounds=2, block=100)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    return make_parser("benchmarks.cluster", "What a cluster costs.", few="rounds and calls").parse_args(argv)


async def _measure(sizes: Sizes, urls: dict[str, str], seed: int) -> list[Row]:
    stores = {name: RedisSessionStore.from_url(url) for name, url in urls.items()}
    people = [make_ctx(number) for number in range(sizes.users)]
    order = random.Random(seed).choices(range(sizes.users), k=4 * sizes.block)
    try:
        calls: dict[str, Callable[[RedisSessionStore, int], Awaitable[object]]] = {
            "register_wait": lambda store, n: store.register_wait(
                people[n], str(people[n].user_id), make_scope(n), make_key(n), make_data(people[n])
            ),
            "find_wait": lambda store, n: store.find_wait(people[n], str(people[n].user_id), make_scope(n)),
            "get_session": lambda store, n: store.get_session(make_key(n)),
            "update_session": lambda store, n: store.update_session(make_key(n), make_data(people[n])),
        }
        for store in stores.values():
            await closed_loop(_bound(calls["register_wait"], store), 100)(range(sizes.users))
        rows = []
        for name, call in calls.items():
            rows += await _beside(f"{name}, 1 task", call, stores, order[:: sizes.few], sizes, 1)
            rows += await _beside(f"{name}, 100 tasks", call, stores, order, sizes, 100)
        return rows
    finally:
        for store in stores.values():
            await store.aclose()


def _bound(
    call: Callable[[RedisSessionStore, int], Awaitable[object]], store: RedisSessionStore
) -> Callable[[Any], Awaitable[object]]:
    return lambda n: call(store, n)


async def _beside(
    measurement: str,
    call: Callable[[RedisSessionStore, int], Awaitable[object]],
    stores: dict[str, RedisSessionStore],
    order: list[int],
    sizes: Sizes,
    tasks: int,
) -> list[Row]:
    lineup = [
        Contestant(name=name, pick=lambda n, _: n, run=closed_loop(_bound(call, store), tasks))
        for name, store in stores.items()
    ]
    samples = await interleave(lineup, order, rounds=sizes.rounds, block=sizes.block)
    ratios = [one.us / other.us for one, other in zip(samples[SINGLE], samples[CLUSTER], strict=True)]
    aimed = measurement == "find_wait, 100 tasks"
    return [
        Row(
            measurement=measurement,
            contestant=name,
            value=median_of(samples[name], lambda spent: spent.us),
            unit="us",
            cpu=median_of(samples[name], lambda spent: spent.cpu_us),
            ratio=statistics.median(ratios) if name == CLUSTER else None,
            ratio_of="throughput, of one server's" if name == CLUSTER else None,
            target=Target("ratio", "min", LIMIT) if aimed and name == CLUSTER else None,
        )
        for name in stores
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 when it was done, 1 without a server."""
    args = _arguments(argv)
    binary = find_binary()
    if binary is None:
        sys.stderr.write(f"{HOW_TO_GET_ONE}\n")
        return 1
    sizes = QUICKLY if args.quick else Sizes(rounds=args.rounds or Sizes.rounds)
    with Server(binary) as server, Cluster(binary, primaries=PRIMARIES) as cluster:
        rows = asyncio.run(_measure(sizes, {SINGLE: server.url, CLUSTER: cluster.url}, args.seed))
    report = Report(
        machine=machine("redis", "hiredis") | {"server": server.version},
        settings={"snapshot": len(SNAPSHOT), "users": sizes.users, "rounds": sizes.rounds, "primaries": PRIMARIES},
        rows=rows,
        findings={},
        notes=[*NOTES, *([QUICK] if args.quick else [])],
    )
    report.hand_out(args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
