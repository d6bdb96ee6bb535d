"""Benchmark of a cluster: ``python -m benchmarks.cluster``; ``--help`` lists the options.

Calls of a runner with snapshots of 4 KiB, on a cluster of three primaries and on a single server,
all on this machine. So it compares the cost of routing, not the capacity of several machines.
"""

import argparse
import random
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.harness.command import Outcome, command_on_server, make_parser
from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.population import SNAPSHOT, prepare_wait
from benchmarks.harness.report import Row, Target
from benchmarks.harness.results import task_text, time_rows
from benchmarks.harness.samples import median_ratio, times_us
from benchmarks.harness.server import Server
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.harness.store import CALLS, open_store
from greentic_session._servers.cluster import Cluster

__all__ = ["main", "parse_arguments"]

_PRIMARIES = 3
_TASKS = (1, 100)
_MIN_RATIO = 0.7
"""Target for the throughput of `find_wait` by 100 tasks, as a part of a single server's."""
_SINGLE, _CLUSTER = "one server", "cluster"
_NOTES = [
    "Three primaries, the single server and the client share this machine's cores.",
    "A new session takes a second round trip on a cluster: its key is reserved first. Parking it again takes one.",
]


class _Sizes(Sizes):
    """Sizes of a run.

    Attributes:
        users: Number of users, each with a wait.
        rounds: Number of rounds that count.
        block: Number of calls in a turn.
        few: Divisor of the number of calls, where one task makes them.
    """

    users: int = usual(2000, quick=100)
    rounds: int = usual(9, quick=2)
    block: int = usual(2000, quick=100)
    few: int = 10


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    return make_parser("benchmarks.cluster", "Benchmark of a cluster.", few="rounds and calls").parse_args(argv)


async def _compare(sizes: _Sizes, urls: Mapping[str, str], seed: int) -> Outcome:
    order = random.Random(seed).choices(range(sizes.users), k=4 * sizes.block)
    waits = [prepare_wait(user, SNAPSHOT) for user in range(sizes.users)]
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        stores = {name: await stack.enter_async_context(open_store(url)) for name, url in urls.items()}
        for store in stores.values():
            await closed_loop(partial(CALLS["register_wait"], store), max(_TASKS))(waits)
        for operation, call in CALLS.items():
            for tasks in _TASKS:
                lineup = [
                    Contestant(
                        name=name, pick=lambda n, _: prepare_wait(n, SNAPSHOT), run=closed_loop(partial(call, store), tasks)
                    )
                    for name, store in stores.items()
                ]
                calls = order if tasks > 1 else order[:: sizes.few]
                samples = await interleave(lineup, calls, rounds=sizes.rounds, block=sizes.block)
                single, cluster = time_rows(f"{operation}, {task_text(tasks)}", samples)
                cluster.ratio = median_ratio(times_us(samples[_SINGLE]), times_us(samples[_CLUSTER]))
                cluster.ratio_of = "throughput, of one server's"
                if (operation, tasks) == ("find_wait", 100):
                    cluster.set_target(Target("ratio", "min", _MIN_RATIO))
                rows += [single, cluster]
    return Outcome(
        rows=rows,
        settings={"snapshot": len(SNAPSHOT), **sizes.as_settings(), "primaries": _PRIMARIES},
        notes=_NOTES,
        distributions=("redis", "hiredis"),
    )


async def _measure(server: Server, sizes: _Sizes, options: argparse.Namespace) -> Outcome:
    with Cluster(server.binary, primaries=_PRIMARIES) as cluster:
        return await _compare(sizes, {_SINGLE: server.url, _CLUSTER: cluster.url}, options.seed)


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
