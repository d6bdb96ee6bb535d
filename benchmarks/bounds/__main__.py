"""Benchmark of bounds: ``python -m benchmarks.bounds``; ``--help`` lists the options.

Registers very many waits of one user, and as many of a user in another tenant. For each call it
reports the duration of the longest script, the slowest PING of another client, and its own time.
"""

import argparse
import sys
from functools import partial

from benchmarks.harness.command import Outcome, command_on_server, make_parser, positive
from benchmarks.harness.monitoring import observe
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row, Target
from benchmarks.harness.server import Server, open_client
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.harness.store import open_store

from .situations import BATCH_WAITS, NAMESPACE, SITUATIONS, LargeUsers

__all__ = ["main", "parse_arguments"]

_MAX_SCRIPT_MS = 5.0
_NOTES = [
    "Longest script: by the server's SLOWLOG. Its time is that of a clock: what else is busy on the machine counts.",
    "95 % of the scripts: of those that took a tenth of a millisecond; what the longest took may be a pause of the machine.",
    "Slowest PING: of another client, meanwhile. Client and server share the cores.",
    "The reference: the Rust crate greentic-session, which registers waits with plain commands and without our index.",
]


class _Sizes(Sizes):
    """Number of waits of each of the two users."""

    waits: int = usual(20_000, quick=1500)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.bounds", "Benchmark of a user with many waits.", few="waits", rounds=None, seed=False)
    parser.add_argument("--waits", type=positive, help="number of waits of the user")
    return parser.parse_args(argv)


async def _measure(server: Server, sizes: _Sizes, _: argparse.Namespace) -> Outcome:
    rows = []
    async with (
        open_store(server.url, NAMESPACE) as store,
        open_client(server.url) as client,
    ):
        users = LargeUsers(store, client, sizes.waits)
        with progress(2 * -(-sizes.waits // BATCH_WAITS) + len(SITUATIONS)) as tick:
            await users.fill(tick)
            for name, (prepare, call) in SITUATIONS.items():
                await prepare(users)
                observation = await observe([server.url], partial(call, users))
                scripts_ms = observation.script_times_ms or [0.0]
                figures: list[tuple[str, float, str, Target | None]] = [
                    ("longest script", scripts_ms[-1], "ms", Target("value", "max", _MAX_SCRIPT_MS)),
                    ("95 % of the scripts", scripts_ms[int(len(scripts_ms) * 0.95)], "ms", None),
                    ("slowest PING", observation.slowest_ping_ms, "ms", None),
                    ("takes", observation.seconds, "s", None),
                ]
                rows += [
                    Row(measurement=name, contestant=contestant, value=value, unit=unit, target=target)
                    for contestant, value, unit, target in figures
                ]
                tick()
    return Outcome(rows=rows, settings=sizes.as_settings(), notes=_NOTES)


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
