"""What the Redis store costs: ``python -m benchmarks``; ``--help`` lists the options.

It starts a Redis of its own, and lets our store, redis.asyncio's pool and other libraries do the same work in turns, a block
of calls at a time (`_measure.interleave`). So many tasks make calls, each the next one when the last is answered. The table
holds medians over the rounds, of throughput, latency and processor time; a ratio is the median of the rounds' ratios. A
missed target is told, and is no failure of the run.

- Operations with 1 to 1,000 tasks, and sessions of 512 bytes to 256 KiB: `_operations`, with `_ours`, `_pool` and `peers`.
- What it costs that a user has many waits: `_waits`.
- Where the time of a call goes: `_inside`.
"""

import argparse
import asyncio
import importlib
import importlib.util
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.harness.command import QUICK, WITHOUT_PEERS, allow_files, make_parser
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Report, Row, machine
from benchmarks.harness.results import Cell
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.environment import CannotInstallError, default_folder, python_of
from benchmarks.peers.process import PeerFailedError, PeerProcess

from .charts import write_charts
from .operations import measure_operations
from .ours import Ours, open_store
from .plan import PARTS, Scale, stages_of, steps_of
from .pool import Pool, pooled_client
from .sides import Side
from .steps import measure_json, measure_steps
from .waits import measure_waits

__all__ = ["main"]

CONNECTIONS = 1000
"""For each client: one for each task, which is faster for redis-py than to let tasks wait for fewer."""

FILES = 10_240
"""Enough for the connections of all clients at the server."""

NOTES = [
    "Throughput, latency and processor time are medians over the rounds; a ratio is the median of the rounds' ratios.",
    "CPU us: of the client's process, per call. The server and all clients share the cores.",
    "redis.asyncio's pool gets what our store sends, prepared; it checks no argument, and decodes the same session.",
    "Ours have a TTL, where nothing else is said; the peers' have none.",
    "A user's waits are measured on a server of their own, where nothing else was kept before.",
    "Peers run in processes of their own, with the client library that each asks for, and a connection for each task.",
    "aiogram's data is a dict with one item, the snapshot's text; the others' value, message or channel is that text too.",
]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks", "What the Redis store costs.", few="rounds and calls")
    parser.add_argument("--charts", metavar="DIR", type=Path, help="draw charts, as SVG files in this directory")
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=PARTS, default=PARTS, help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the event loop, for all")
    parser.add_argument("--without-peers", action="store_true", help="leave the other libraries out")
    parser.add_argument("--peers-dir", metavar="DIR", type=Path, default=default_folder(), help="where they are installed")
    return parser.parse_args(argv)


class _Run:
    """One run: what is to be measured, and what was found."""

    def __init__(self, options: argparse.Namespace, scale: Scale, server: Server) -> None:
        self._options = options
        self._scale = scale
        self._server = server
        self.rows: list[Row] = []
        self.cells: list[Cell] = []
        self.versions = {"server": server.version}
        self.lost: list[str] = []

    async def measure(self) -> None:
        options, scale, server = self._options, self._scale, self._server
        parts, seed = options.only, options.seed
        stages = stages_of(parts, scale)
        async with AsyncExitStack() as stack:
            client = pooled_client(server.port, CONNECTIONS)
            stack.push_async_callback(client.aclose, close_connection_pool=True)
            store = await stack.enter_async_context(open_store(server.url))
            sides: list[Side] = [Ours(store), Pool(client, server.port)]
            if stages and not options.without_peers:
                sides += await self._start_peers(stack)
            with progress(steps_of(parts, scale)) as tick:
                self._note(*await measure_operations(stages, sides, client, seed=seed, tick=tick, lose=self._lose))
                if "waits" in parts:
                    calls, rounds = scale.waits_calls, scale.rounds
                    self._note(*await measure_waits(server.binary, calls=calls, rounds=rounds, seed=seed, tick=tick))
                if "steps" in parts:
                    users, calls, rounds = scale.sized_users, scale.step_calls, scale.rounds
                    rows = await measure_steps(server.port, users=users, calls=calls, rounds=rounds, seed=seed, tick=tick)
                    self._note(rows)
                if "json" in parts:
                    self._note(await measure_json(calls=scale.json_calls, rounds=scale.rounds, tick=tick))

    async def _start_peers(self, stack: AsyncExitStack) -> list[PeerProcess]:
        started: list[PeerProcess] = []
        for peer in PEERS:
            print(f"{peer.name}: looking for its environment in {self._options.peers_dir}", file=sys.stderr)
            try:
                python = python_of(peer, self._options.peers_dir)
                process = await PeerProcess.start(
                    peer, python, port=self._server.port, connections=CONNECTIONS, loop=self._options.loop
                )
            except CannotInstallError as error:
                self.lost.append(f"{peer.name} (cannot be installed: {error})")
            except PeerFailedError as error:
                self._lose(error)
            else:
                stack.push_async_callback(process.stop)
                started.append(process)
                installed = " ".join(f"{name} {version}" for name, version in process.versions.items())
                self.versions[f"peer {peer.name}"] = installed
        return started

    def _lose(self, error: PeerFailedError) -> None:
        self.lost.append(f"{error.peer.name} (failed: {error})")

    def _note(self, rows: list[Row], cells: list[Cell] | None = None) -> None:
        self.rows += rows
        self.cells += cells or []


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    binary = find_binary()
    if binary is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    if options.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        print("uvloop is needed for --loop uvloop: python -m pip install uvloop", file=sys.stderr)
        return 2
    scale = Scale.quick() if options.quick else Scale()
    if options.rounds:
        scale = replace(scale, rounds=options.rounds, sized_rounds=options.rounds)
    allow_files(FILES)
    factory = importlib.import_module("uvloop").new_event_loop if options.loop == "uvloop" else None
    with Server(binary) as server, asyncio.Runner(loop_factory=factory) as runner:
        run = _Run(options, scale, server)
        runner.run(run.measure())
    report = Report(
        machine={**machine("msgspec", "redis", "hiredis", "uvloop"), **run.versions},
        settings={
            **asdict(scale),
            "seed": options.seed,
            "loop": options.loop,
            "quick": options.quick,
            "peers": not options.without_peers,
            "only": list(options.only),
        },
        rows=run.rows,
        findings={"peers that could not be measured": run.lost},
        notes=NOTES + [QUICK] * options.quick + [WITHOUT_PEERS] * options.without_peers,
    )
    if options.charts:
        for path in write_charts(run.cells, options.charts):
            print(f"drawn: {path}", file=sys.stderr)
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
