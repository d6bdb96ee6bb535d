"""Benchmark of the SQLite store: ``python -m benchmarks --only sqlite``; see ``--help``.

Parts: sessions with 1 to 1,000 tasks beside langgraph's AsyncSqliteSaver, openai-agents'
SQLiteSession and a bare INSERT, then with a sync that takes 1 ms longer (`operations`, `shim`);
and, with ``--waits``, many waits in one file (`scaling`). Everything is in a directory that is
removed at the end.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.harness.command import (
    Outcome,
    add_choice_option,
    add_directory_option,
    allow_open_files,
    make_parser,
    positive,
    publish,
)
from benchmarks.harness.files import open_directory
from benchmarks.harness.machine import load_average
from benchmarks.harness.population import USUAL_BYTES
from benchmarks.harness.progress import progress
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.peers.catalogue import OURS_ON_SQLITE, SQLITE_PEERS
from benchmarks.peers.command import add_peer_options
from benchmarks.peers.process import PeerFailedError, PeerProcess
from benchmarks.peers.run import Run

from .operations import Stage, measure_operations, stages_of
from .scaling import measure_scaling
from .shim import make_shim

__all__ = ["main", "parse_arguments"]

_PARTS = ("operations", "delayed")
_SCALING_MEASUREMENTS = 2
_OPEN_FILES = 20_000
"""Enough for a peer: each of its sessions opens the file once for each of its threads."""
_NOTES = [
    "All figures are medians over the rounds; a ratio is the median of the rounds' ratios.",
    "Every contestant has a process and a file of its own, WAL, and synchronous=FULL: a commit is on the disk.",
    "The text of 4 KiB changes with every call: SQLite skips the pages of a value that did not.",
    "AsyncSqliteSaver puts the one checkpoint of a thread again; SQLiteSession is cleared (not timed) before add_items,",
    "and has one item when it is read. Of the conversations (append) all grow with the run.",
    "CPU us: of the contestant's process with all its threads, per call.",
]
_NO_GCC = "Not measured with a sync that takes 1 ms longer: that needs gcc."


class _Sizes(Sizes):
    """Sizes of a run: users, tasks, and about how many calls a contestant makes in a round."""

    users: int = usual(1000, quick=100)
    tasks: tuple[int, ...] = usual((1, 100, 1000), quick=(1, 100))
    calls: int = usual(300, quick=20)
    rounds: int = usual(7, quick=1)
    scaling_calls: int = usual(500, quick=20)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks --only sqlite", "Benchmark of the SQLite store.", few="rounds and calls")
    add_choice_option(parser, "--parts", _PARTS)
    parser.add_argument("--waits", metavar="N", type=positive, help="measure one file with so many waits, too: 1000000")
    add_directory_option(parser)
    add_peer_options(parser)
    return parser.parse_args(argv)


class _Run(Run[_Sizes]):
    """Run of the parts that the options choose; notes are for the report."""

    def __init__(self, options: argparse.Namespace, sizes: _Sizes, directory: str) -> None:
        super().__init__(options, sizes)
        self._directory = directory
        self.notes: list[str] = []

    async def measure(self) -> None:
        parts, sizes = self.options.parts, self.sizes
        stages = stages_of(sizes.tasks, sizes.users, sizes.calls, sizes.rounds)
        stages = [stage for stage in stages if ("delayed" if stage.delayed else "operations") in parts]
        rounds = len(stages) * (sizes.rounds + 1)
        rounds += (self.options.waits is not None) * _SCALING_MEASUREMENTS * (sizes.rounds + 1)
        with progress(rounds) as tick:
            await self._measure_stages([stage for stage in stages if not stage.delayed], "usual", {}, tick)
            delayed = [stage for stage in stages if stage.delayed]
            shim = make_shim(self._directory) if delayed else None
            if shim is not None:
                await self._measure_stages(delayed, "delayed", {"LD_PRELOAD": str(shim)}, tick)
            elif delayed:
                self.notes.append(_NO_GCC)
            if self.options.waits is not None:
                self.rows += await measure_scaling(
                    self._directory, waits=self.options.waits, calls=sizes.scaling_calls, rounds=sizes.rounds, tick=tick
                )

    async def _measure_stages(
        self, stages: list[Stage], name: str, environment: Mapping[str, str], tick: Callable[[], object]
    ) -> None:
        if not stages:
            return
        directory = tempfile.mkdtemp(prefix=name, dir=self._directory)
        async with AsyncExitStack() as stack:
            ours = await PeerProcess.start(
                OURS_ON_SQLITE, Path(sys.executable), loop="asyncio", environment=environment, directory=directory
            )
            stack.push_async_callback(ours.stop)
            sides = [ours]
            for peer in SQLITE_PEERS:
                started = await self.lineup.start(stack, peer, loop="asyncio", environment=environment, directory=directory)
                sides += [started] if started else []
            for side in tuple(sides):
                try:
                    await side.fill(self.sizes.users, "." * USUAL_BYTES)
                except PeerFailedError as error:
                    if side is ours:
                        raise
                    sides.remove(side)
                    self.lineup.drop(error)
            self.rows += await measure_operations(stages, sides, seed=self.options.seed, tick=tick, drop=self.lineup.drop)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    sizes = _Sizes.chosen(options)
    allow_open_files(_OPEN_FILES)
    load = load_average()
    with open_directory(options) as files:
        run = _Run(options, sizes, files.directory)
        asyncio.run(run.measure())
    outcome = Outcome(
        rows=run.rows,
        settings={**sizes.as_settings(), "parts": list(options.parts), "waits": options.waits},
        notes=[*_NOTES, *run.notes, *files.notes],
        distributions=("msgspec", "anyio"),
        machine={
            "sqlite": sqlite3.sqlite_version,
            **run.lineup.versions,
            "files": files.file_system,
            "load before": load,
        },
        findings=run.lineup.findings(),
    )
    publish(options, outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
