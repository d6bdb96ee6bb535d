"""Benchmark of replies: ``python -m benchmarks --only replies``; see ``--help``.

Parts: deliveries that claim beside plain claims (`throughput`), from a delivery to a handler in
another process (`latency`), deadlines that are due at once (`deadlines`), what an idle `iter_ready`
asks of Redis (`idle`), and plain operations in memory, with ``--before`` beside those of an earlier
commit (`plain`).
"""

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks.harness.command import Outcome, add_choice_option, make_parser, publish
from benchmarks.harness.machine import load_average
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row
from benchmarks.harness.server import HOW_TO_GET_ONE
from benchmarks.harness.sizes import Sizes, usual

from .deadlines import measure_deadlines
from .idle import measure_idle
from .latency import measure_latency
from .plain import measure_plain
from .stores import BACKENDS, Place, open_places
from .throughput import measure_throughput

__all__ = ["main", "parse_arguments"]

_PARTS = ("throughput", "latency", "deadlines", "idle", "plain")
_NOTES = [
    "Figures are medians over the rounds; a ratio is the median of the rounds' ratios. CPU us: of this process.",
    "Latency: the handler in the other process is busy with one reply when the next is delivered, and is then let go on",
    "through a pipe, whose time is in the figure. PING is sent by the process that delivers, through redis.asyncio.",
    "Deadlines are due before the two Runners start, in one process; the other tenant's is due last.",
    "Plain operations: the least processor time of a block, in processes that take turns.",
]


class _Sizes(Sizes):
    """Sizes of a run.

    Attributes:
        users: Number of users of the throughput.
        rounds: Number of rounds that count.
        latency_calls: Number of deliveries in a round of the latency.
        deadlines: Number of deadlines that are due at once.
        idle: Number of waits while nothing is ready, and of times that `iter_ready` asks meanwhile.
        plain_users: Number of users of the plain operations.
    """

    users: int = usual(2000, quick=200)
    rounds: int = usual(5, quick=2)
    latency_calls: int = usual(500, quick=20)
    deadlines: int = usual(100_000, quick=1000)
    idle: tuple[int, int] = usual((10_000, 100), quick=(200, 10))
    plain_users: int = usual(5000, quick=200)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks --only replies", "Benchmark of replies.", few="rounds, calls and deadlines")
    add_choice_option(parser, "--parts", _PARTS)
    add_choice_option(parser, "--backends", BACKENDS)
    parser.add_argument(
        "--before", metavar="DIR", type=Path, help="a checkout of an earlier commit, to compare plain operations with"
    )
    parser.add_argument("--deadlines", type=int, help="how many are due at once")
    return parser.parse_args(argv)


async def _measure(options: argparse.Namespace, sizes: _Sizes, places: list[Place]) -> list[Row]:
    parts, rows = options.parts, []
    with progress(None) as tick:
        for place in places:
            if "throughput" in parts:
                rows += await measure_throughput(place, users=sizes.users, rounds=sizes.rounds, seed=options.seed, tick=tick)
            if "latency" in parts and place.backend != "memory":
                rows += await measure_latency(place, calls=sizes.latency_calls, rounds=sizes.rounds, tick=tick)
            if "deadlines" in parts:
                rows += await measure_deadlines(place, deadlines=sizes.deadlines, tick=tick)
            if "idle" in parts:
                waits, polls = sizes.idle
                rows += await measure_idle(place, waits=waits, polls=polls, tick=tick)
        if "plain" in parts:
            rows += measure_plain(options.before, users=sizes.plain_users, rounds=sizes.rounds, tick=tick)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    sizes = _Sizes.chosen(options)
    load = load_average()
    with open_places(options.backends) as places:
        if len(places) < len(options.backends):
            print(HOW_TO_GET_ONE, file=sys.stderr)
            return 2
        rows = asyncio.run(_measure(options, sizes, places))
        servers = [place.server.version for place in places if place.server is not None]
    outcome = Outcome(
        rows=rows,
        settings={**sizes.as_settings(), "parts": list(options.parts), "backends": list(options.backends)},
        notes=_NOTES,
        distributions=("msgspec", "anyio", "redis"),
        machine={"server": ", ".join(servers) or "none", "load before": load},
    )
    publish(options, outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
