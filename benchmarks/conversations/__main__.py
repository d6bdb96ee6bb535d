"""Benchmark of conversations: ``python -m benchmarks.conversations``; ``--help`` lists the options.

Appends and reads with 100,000 messages beside 10 and 20 (`lengths`), and appends of 100 tasks
beside openai-agents' sessions (`concurrency`); in memory, in SQLite and in Redis. The
database is in a directory that is removed at the end; every write is on the disk.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks.harness.command import Outcome, add_directory_option, command_on_server, make_parser
from benchmarks.harness.files import open_directory
from benchmarks.harness.messages import make_message, text_of
from benchmarks.harness.progress import progress
from benchmarks.harness.server import Server
from benchmarks.harness.sizes import Sizes
from benchmarks.peers.catalogue import CONVERSATIONS
from benchmarks.peers.command import add_peer_options
from benchmarks.peers.process import PeerFailedError, PeerProcess
from benchmarks.peers.run import Run

from .concurrency import Concurrency, measure_concurrency
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


class _Sizes(Sizes):
    """Sizes of the two measurements."""

    lengths: Lengths
    concurrency: Concurrency

    @classmethod
    def chosen(cls, options: argparse.Namespace) -> Self:
        return cls(lengths=Lengths.chosen(options), concurrency=Concurrency.chosen(options))

    def as_settings(self) -> dict[str, Any]:
        concurrency = self.concurrency.as_settings()
        return {**self.lengths.as_settings(), **{f"concurrency_{name}": each for name, each in concurrency.items()}}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.conversations", "Benchmark of conversations.", few="rounds and messages")
    add_directory_option(parser)
    add_peer_options(parser)
    return parser.parse_args(argv)


class _Run(Run[_Sizes]):
    """Run of both measurements on every backend."""

    def __init__(self, options: argparse.Namespace, sizes: _Sizes) -> None:
        super().__init__(options, sizes)
        self._peer: PeerProcess | None = None

    async def measure(self, server: Server, directory: str) -> None:
        backends = make_backends(directory, server.url)
        lengths, concurrency = self.sizes.lengths, self.sizes.concurrency
        async with AsyncExitStack() as stack:
            await self._start_peer(stack, server.port, directory)
            with progress(len(backends) * (lengths.all_rounds + concurrency.all_rounds)) as tick:
                for backend in backends:
                    await self._measure_lengths(backend, directory, tick)
                for backend in backends:
                    await self._measure_concurrency(backend, tick)

    async def _measure_lengths(self, backend: Backend, directory: str, tick: Callable[[], object]) -> None:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(backend.open("lengths"))
            bare: int | None = None
            if backend.durable:
                bare = os.open(Path(directory, "bare"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                stack.callback(os.close, bare)
            self.rows += await measure_lengths(backend.name, store, self.sizes.lengths, tick, bare)

    async def _measure_concurrency(self, backend: Backend, tick: Callable[[], object]) -> None:
        sizes, seed = self.sizes.concurrency, self.options.seed
        async with backend.open("concurrency") as store:
            self.rows += await measure_concurrency(
                backend.name, store, self._peer, sizes, seed=seed, tick=tick, drop=self._drop
            )

    async def _start_peer(self, stack: AsyncExitStack, port: int, directory: str) -> None:
        self._peer = await self.lineup.start(
            stack,
            CONVERSATIONS,
            loop="asyncio",
            port=port,
            connections=_CONNECTIONS,
            directory=directory,
        )
        if self._peer is not None:
            try:
                await self._peer.fill(self.sizes.concurrency.conversations, text_of(make_message()))
            except PeerFailedError as error:
                self._drop(error)

    def _drop(self, error: PeerFailedError) -> None:
        self._peer = None
        self.lineup.drop(error)


async def _measure(server: Server, sizes: _Sizes, options: argparse.Namespace) -> Outcome:
    run = _Run(options, sizes)
    with open_directory(options) as files:
        await run.measure(server, files.directory)
    return Outcome(
        rows=run.rows,
        settings=sizes.as_settings(),
        notes=_NOTES + files.notes,
        distributions=("msgspec", "anyio", "redis", "hiredis"),
        machine={**run.lineup.versions, "files": f"{files.file_system}, fsync on"},
        findings=run.lineup.findings(),
    )


main = command_on_server(parse_arguments, _Sizes, _measure, open_files=_OPEN_FILES)

if __name__ == "__main__":
    sys.exit(main())
