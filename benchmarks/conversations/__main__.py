"""Benchmark of conversations: ``python -m benchmarks.conversations``; ``--help`` lists the options.

Appends and reads with 100,000 messages beside 10 and 20 (`lengths`), and appends of 100 tasks
beside openai-agents' sessions (`concurrency`); in memory, in SQLite and in Redis. The
database is in a directory that is removed at the end; every write is on the disk.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.harness.command import Outcome, add_directory_option, allow_open_files, make_parser, run_on_server
from benchmarks.harness.messages import make_message, text_of
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row
from benchmarks.harness.server import Server
from benchmarks.peers.catalogue import CONVERSATIONS
from benchmarks.peers.command import Lineup, add_peer_options
from benchmarks.peers.process import PeerFailedError, PeerProcess

from .concurrency import Concurrency, measure_concurrency
from .file_system import IN_MEMORY, file_system_of
from .lengths import Lengths, measure_lengths
from .stores import Backend, make_backends

__all__ = ["main", "parse_arguments"]

_CONNECTIONS = 1000
"""Connections of the peer's client: more than it has tasks."""
_OPEN_FILES = 10_240
"""Enough for the peer: each of its sessions opens the database once for each of its threads."""
_NOTES = [
    "All figures are medians over the rounds; a ratio is the median of the rounds' ratios.",
    "CPU us: of the client's process with all its threads, per call. The server and all clients share the cores.",
    "The message is an answer of 1 KiB as JSON; the peer's item is the same JSON, read. No conversation has a lifetime.",
    "Long and short conversation are in the same partition. The short one is made anew before every block of appends.",
    "With many tasks conversations begin with one message and grow with the run. The peer has its own process.",
    "SQLiteSession sets WAL mode itself, but has no option for durability: PRAGMA synchronous=FULL is set on each of its",
    "connections. So every commit is on the disk when it returns, as every append of ours in SQLite is.",
]
_NO_DISK = "The directory is in memory: these figures say nothing about a disk. Choose another with --directory."


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    lengths: Lengths
    concurrency: Concurrency

    def with_rounds(self, rounds: int) -> "_Sizes":
        return _Sizes(lengths=replace(self.lengths, rounds=rounds), concurrency=replace(self.concurrency, rounds=rounds))


_USUAL_SIZES = _Sizes(
    lengths=Lengths(many=100_000, partition=1000, rounds=15, calls=200, append_block=10, read_block=20),
    concurrency=Concurrency(conversations=100, appends={"memory": 40, "SQLite": 40, "Redis": 40}, rounds=15),
)
_QUICK_SIZES = _Sizes(
    lengths=Lengths(many=2000, partition=60, rounds=2, calls=20, append_block=10, read_block=10),
    concurrency=Concurrency(conversations=100, appends={"memory": 2, "SQLite": 2, "Redis": 2}, rounds=2),
)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.conversations", "Benchmark of conversations.", few="rounds and messages")
    add_directory_option(parser)
    add_peer_options(parser)
    return parser.parse_args(argv)


class _Run:
    """One run: what it measures, and its rows."""

    def __init__(self, options: argparse.Namespace, sizes: _Sizes, server: Server, directory: str) -> None:
        self._options = options
        self._sizes = sizes
        self._server = server
        self._directory = directory
        self._peer: PeerProcess | None = None
        self.lineup = Lineup(options)
        self.rows: list[Row] = []

    async def measure(self) -> None:
        backends = make_backends(self._directory, self._server.url)
        lengths, concurrency = self._sizes.lengths, self._sizes.concurrency
        async with AsyncExitStack() as stack:
            await self._start_peer(stack)
            with progress(len(backends) * (lengths.all_rounds + concurrency.all_rounds)) as tick:
                for backend in backends:
                    await self._measure_lengths(backend, tick)
                for backend in backends:
                    await self._measure_concurrency(backend, tick)

    async def _measure_lengths(self, backend: Backend, tick: Callable[[], object]) -> None:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(backend.open("lengths"))
            bare: int | None = None
            if backend.durable:
                bare = os.open(Path(self._directory, "bare"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                stack.callback(os.close, bare)
            self.rows += await measure_lengths(backend.name, store, self._sizes.lengths, tick, bare)

    async def _measure_concurrency(self, backend: Backend, tick: Callable[[], object]) -> None:
        sizes, seed = self._sizes.concurrency, self._options.seed
        async with backend.open("concurrency") as store:
            self.rows += await measure_concurrency(
                backend.name, store, self._peer, sizes, seed=seed, tick=tick, drop=self._drop
            )

    async def _start_peer(self, stack: AsyncExitStack) -> None:
        self._peer = await self.lineup.start(
            stack,
            CONVERSATIONS,
            loop="asyncio",
            port=self._server.port,
            connections=_CONNECTIONS,
            directory=self._directory,
        )
        if self._peer is not None:
            try:
                await self._peer.fill(self._sizes.concurrency.conversations, text_of(make_message()))
            except PeerFailedError as error:
                self._drop(error)

    def _drop(self, error: PeerFailedError) -> None:
        self._peer = None
        self.lineup.drop(error)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    sizes = _QUICK_SIZES if options.quick else _USUAL_SIZES
    if options.rounds:
        sizes = sizes.with_rounds(options.rounds)
    allow_open_files(_OPEN_FILES)

    async def measure(server: Server) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="gs-bench-", dir=options.directory) as directory:
            file_system = file_system_of(directory)
            run = _Run(options, sizes, server, directory)
            await run.measure()
        return Outcome(
            rows=run.rows,
            settings={
                **asdict(sizes.lengths),
                **{f"concurrency_{name}": setting for name, setting in asdict(sizes.concurrency).items()},
            },
            notes=_NOTES + [_NO_DISK] * file_system.startswith(IN_MEMORY),
            distributions=("msgspec", "anyio", "redis", "hiredis"),
            machine={**run.lineup.versions, "files": f"{file_system}, fsync on"},
            findings=run.lineup.findings(),
        )

    return run_on_server(options, measure)


if __name__ == "__main__":
    sys.exit(main())
