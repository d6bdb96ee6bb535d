"""Benchmark of the Redis store: ``python -m benchmarks``; ``--help`` lists the options.

Our store, redis.asyncio's pool and other libraries do the same work on a throw-away server, in
turns of a block of calls. Every task makes its next call when its last one is answered.

Parts: operations with 1 to 1,000 tasks and sessions of 512 bytes to 256 KiB (`operations`), users
with many waits (`waits`), the steps of a call (`steps`), the JSON of a session (`session_json`).
"""

import argparse
import importlib
import importlib.util
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.harness.command import Outcome, add_choice_option, allow_open_files, make_parser, run_on_server
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row
from benchmarks.harness.results import Result
from benchmarks.harness.server import Server
from benchmarks.harness.server_time import watch
from benchmarks.harness.store import open_store
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.command import add_peer_options
from benchmarks.peers.run import Run

from .charts import write_charts
from .operations import measure_operations
from .ours import Ours
from .plan import PARTS, Scale, count_rounds, stages_of
from .pool import Pool
from .replay import pooled_client
from .session_json import measure_json
from .sides import Side
from .steps import measure_steps
from .waits import measure_waits

__all__ = ["main", "parse_arguments"]

_CONNECTIONS = 1000
"""Connections of each client: one for each task, since redis-py is slower where tasks wait."""
_OPEN_FILES = 10_240
"""Enough for the connections of all clients at the server."""
_NOTES = [
    "Throughput, latency and processor time are medians over the rounds; a ratio is the median of the rounds' ratios.",
    "CPU us: processor time of the client's process, per call; server us: of the server, from INFO. They share the cores.",
    "redis.asyncio's pool sends what our store sends, prepared; it checks no argument, and decodes the same session.",
    "Our sessions have a TTL, unless a row says otherwise; the peers' have none.",
    "A user's waits are measured on a server of their own, which stored nothing else before.",
    "Peers run in processes of their own, with the client library that each asks for, and a connection for each task.",
    "aiogram's data is a dict with one item, the snapshot's text; the others' value, message or channel is that text too.",
]


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks", "Benchmark of the Redis store.", few="rounds and calls")
    parser.add_argument("--charts", metavar="DIR", type=Path, help="draw charts, as SVG files in this directory")
    add_choice_option(parser, "--only", PARTS)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="event loop of all processes")
    add_peer_options(parser)
    return parser.parse_args(argv)


class _Run(Run[Scale]):
    """Run of the parts that the options choose; results are for the charts."""

    def __init__(self, options: argparse.Namespace, scale: Scale) -> None:
        super().__init__(options, scale)
        self.results: list[Result] = []

    async def measure(self, server: Server) -> None:
        options, scale = self.options, self.sizes
        parts, seed, rounds = options.only, options.seed, scale.rounds
        stages = stages_of(parts, scale)
        async with AsyncExitStack() as stack:
            watch(server.port)
            client = pooled_client(server.port, _CONNECTIONS)
            stack.push_async_callback(client.aclose, close_connection_pool=True)
            store = await stack.enter_async_context(open_store(server.url))
            sides: list[Side] = [Ours(store), Pool(client, server.port)]
            for peer in PEERS if stages else ():
                started = await self.lineup.start(stack, peer, loop=options.loop, port=server.port, connections=_CONNECTIONS)
                sides += [started] if started else []
            with progress(count_rounds(parts, scale)) as tick:
                drop = self.lineup.drop
                self._add(*await measure_operations(stages, sides, client, seed=seed, tick=tick, drop=drop))
                if "waits" in parts:
                    calls = scale.waits_calls
                    self._add(*await measure_waits(server.binary, calls=calls, rounds=rounds, seed=seed, tick=tick))
                if "steps" in parts:
                    users, calls = scale.min_users, scale.step_calls
                    self._add(
                        await measure_steps(server.port, users=users, calls=calls, rounds=rounds, seed=seed, tick=tick)
                    )
                if "json" in parts:
                    self._add(await measure_json(calls=scale.json_calls, rounds=rounds, tick=tick))

    def _add(self, rows: list[Row], results: list[Result] | None = None) -> None:
        self.rows += rows
        self.results += results or []


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    if options.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        print("uvloop is needed for --loop uvloop: python -m pip install uvloop", file=sys.stderr)
        return 2
    options.sized_rounds = options.rounds
    scale = Scale.chosen(options)
    allow_open_files(_OPEN_FILES)

    async def measure(server: Server) -> Outcome:
        run = _Run(options, scale)
        await run.measure(server)
        for path in write_charts(run.results, options.charts) if options.charts else ():
            print(f"drawn: {path}", file=sys.stderr)
        return Outcome(
            rows=run.rows,
            settings={**scale.as_settings(), "loop": options.loop, "only": list(options.only)},
            notes=_NOTES,
            distributions=("msgspec", "redis", "hiredis", "uvloop"),
            machine=run.lineup.versions,
            findings=run.lineup.findings(),
        )

    factory = importlib.import_module("uvloop").new_event_loop if options.loop == "uvloop" else None
    return run_on_server(options, measure, factory)


if __name__ == "__main__":
    sys.exit(main())
