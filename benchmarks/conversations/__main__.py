"""What conversations cost: ``python -m benchmarks.conversations``; ``--help`` lists the options.

- Length: appending to a conversation of 100,000 messages beside one of 10, and reading the last 20 of 100,000 beside 20 of
  20, in memory, in files and in Redis (`_lengths`).
- Many at once: 100 tasks append to a conversation each; in Redis and in files beside openai-agents' sessions (`_crowd`).

It starts a Redis of its own, and keeps files in a directory that is deleted at the end; fsync is on. Contestants run in
turns (`_measure.interleave`). The table holds medians over the rounds; a ratio is the median of the rounds' ratios. A missed
target is told, and is no failure of the run.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.harness.command import QUICK, WITHOUT_PEERS, allow_files, make_parser
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Report, Row, load_average, machine
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from benchmarks.peers.catalogue import CONVERSATIONS
from benchmarks.peers.environment import CannotInstallError, default_folder, python_of
from benchmarks.peers.process import PeerFailedError, PeerProcess

from .backends import Backend, backends, make_message, text_of
from .crowd import Crowd, measure_crowd
from .lengths import CallLengths, measure_lengths

__all__ = ["main"]

CONNECTIONS = 1000
"""For the peer's client: more than it has tasks."""
FILES = 10_240
"""Enough for the peer: each of its sessions opens the database once for every thread that works for it."""
MOUNTS = Path("/proc/mounts")
IN_MEMORY = {"tmpfs", "ramfs"}

NOTES = [
    "All figures are medians over the rounds; a ratio is the median of the rounds' ratios.",
    "CPU us: of the client's process with all its threads, per call. The server and all clients share the cores.",
    "The message is an answer of 1 KiB as JSON; the peer's item is the same JSON, read. No conversation has a lifetime.",
    "Long and short conversation are in the same partition. The short one is made anew before every block of appends.",
    "Many at once: conversations begin with one message and grow with the run, the peer's too, which has its own process.",
    "SQLiteSession sets WAL mode itself, but has no option for durability: PRAGMA synchronous=FULL is set on each of its",
    "connections. So every commit is on the disk when it returns, as every append of ours in files is.",
]
NO_DISK = "The directory is in memory: nothing is learnt about a disk. Choose another with --directory."


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    lengths: CallLengths
    crowd: Crowd

    def with_rounds(self, rounds: int) -> "Sizes":
        return Sizes(lengths=replace(self.lengths, rounds=rounds), crowd=replace(self.crowd, rounds=rounds))


USUALLY = Sizes(
    lengths=CallLengths(many=100_000, partition=1000, rounds=15, calls=200, append_block=10, read_block=20),
    crowd=Crowd(conversations=100, each={"memory": 40, "files": 20, "Redis": 40}, rounds=15),
)
QUICKLY = Sizes(
    lengths=CallLengths(many=2000, partition=60, rounds=2, calls=20, append_block=10, read_block=10),
    crowd=Crowd(conversations=100, each={"memory": 2, "files": 2, "Redis": 2}, rounds=2),
)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.conversations", "What conversations cost.", few="rounds and messages")
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, help="where files are kept meanwhile (default: the system's)"
    )
    parser.add_argument("--without-peers", action="store_true", help="leave openai-agents out")
    parser.add_argument("--peers-dir", metavar="DIR", type=Path, default=default_folder(), help="where it is installed")
    return parser.parse_args(argv)


def file_system_of(directory: str, mounts: str) -> str:
    """Return on which file system a directory is, from the text of ``/proc/mounts``."""
    place = Path(directory).resolve()
    found, depth = "unknown", -1
    for line in mounts.splitlines():
        device, point, kind, *_ = line.split(" ")
        mounted = Path(point.replace("\\040", " "))
        # Of several at the same place, the last one covers the others.
        if place.is_relative_to(mounted) and len(mounted.parts) >= depth:
            found, depth = f"{kind} ({device} at {mounted})", len(mounted.parts)
    return found


class _Run:
    """One run: what is to be measured, and what was found."""

    def __init__(self, options: argparse.Namespace, sizes: Sizes, server: Server, directory: str) -> None:
        self._options = options
        self._sizes = sizes
        self._server = server
        self._directory = directory
        self._peer: PeerProcess | None = None
        self.rows: list[Row] = []
        self.versions = {"server": server.version}
        self.lost: list[str] = []

    async def measure(self) -> None:
        options, sizes = self._options, self._sizes
        ours = backends(self._directory, self._server.url)
        async with AsyncExitStack() as stack:
            if not options.without_peers:
                self._peer = await self._start_peer(stack)
            with progress(len(ours) * (sizes.lengths.steps + sizes.crowd.steps)) as tick:
                for backend in ours:
                    await self._measure_lengths(backend, tick)
                for backend in ours:
                    await self._measure_crowd(backend, tick)

    async def _measure_lengths(self, backend: Backend, tick: Callable[[], object]) -> None:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(backend.open("lengths"))
            bare: int | None = None
            if backend.durable:
                bare = os.open(Path(self._directory, "bare"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                stack.callback(os.close, bare)
            self.rows += await measure_lengths(backend.name, store, self._sizes.lengths, tick, bare)

    async def _measure_crowd(self, backend: Backend, tick: Callable[[], object]) -> None:
        crowd, seed = self._sizes.crowd, self._options.seed
        async with backend.open("crowd") as store:
            self.rows += await measure_crowd(backend.name, store, self._peer, crowd, seed=seed, tick=tick, lose=self._lose)

    async def _start_peer(self, stack: AsyncExitStack) -> PeerProcess | None:
        peer, folder = CONVERSATIONS, self._options.peers_dir
        print(f"{peer.name}: looking for its environment in {folder}", file=sys.stderr)
        try:
            process = await PeerProcess.start(
                peer,
                python_of(peer, folder),
                loop="asyncio",
                port=self._server.port,
                connections=CONNECTIONS,
                directory=self._directory,
            )
            stack.push_async_callback(process.stop)
            await process.fill(self._sizes.crowd.conversations, text_of(make_message()))
        except CannotInstallError as error:
            self.lost.append(f"{peer.name} (cannot be installed: {error})")
            return None
        except PeerFailedError as error:
            self._lose(error)
            return None
        self.versions[f"peer {peer.name}"] = " ".join(f"{name} {version}" for name, version in process.versions.items())
        return process

    def _lose(self, error: PeerFailedError) -> None:
        self._peer = None
        self.lost.append(f"{error.peer.name} (failed: {error})")


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    binary = find_binary()
    if binary is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    sizes = QUICKLY if options.quick else USUALLY
    if options.rounds:
        sizes = sizes.with_rounds(options.rounds)
    allow_files(FILES)
    load = load_average()
    with Server(binary) as server, tempfile.TemporaryDirectory(prefix="gs-bench-", dir=options.directory) as directory:
        file_system = file_system_of(directory, MOUNTS.read_text(encoding="utf-8")) if MOUNTS.exists() else "unknown"
        run = _Run(options, sizes, server, directory)
        asyncio.run(run.measure())
    report = Report(
        machine={
            **machine("msgspec", "anyio", "redis", "hiredis"),
            **run.versions,
            "files": f"{file_system}, fsync on",
            "load before": load,
        },
        settings={
            **asdict(sizes.lengths),
            **{f"crowd_{name}": setting for name, setting in asdict(sizes.crowd).items()},
            "seed": options.seed,
            "quick": options.quick,
            "peers": not options.without_peers,
        },
        rows=run.rows,
        findings={"peers that could not be measured": run.lost},
        notes=NOTES
        + [NO_DISK] * (file_system.partition(" ")[0] in IN_MEMORY)
        + [QUICK] * options.quick
        + [WITHOUT_PEERS] * options.without_peers,
    )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
