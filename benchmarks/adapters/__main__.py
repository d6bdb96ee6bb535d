"""Benchmark of the adapters: ``python -m benchmarks --only adapters``; ``--help`` lists options.

Each adapter beside the Redis and SQLite stores that its framework brings: the same calls, of as
many tasks as there are users. Every contestant has a process of its own in the environment of its
framework. Files are in a directory that is removed at the end.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack

from benchmarks.harness.command import Outcome, add_choice_option, add_directory_option, command_on_server, make_parser
from benchmarks.harness.files import open_directory
from benchmarks.harness.measuring import interleave
from benchmarks.harness.population import USUAL_BYTES
from benchmarks.harness.progress import progress
from benchmarks.harness.results import Comparison, Result, compare, size_text, task_text
from benchmarks.harness.server import Server
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.peers.command import add_peer_options
from benchmarks.peers.process import PeerFailedError
from benchmarks.peers.run import Run

from .catalogue import PAIRS, Pair

__all__ = ["main", "parse_arguments"]

_CONNECTIONS = 1000
"""Connections of a framework's client: more than it has tasks."""
_OPEN_FILES = 20_000
_MIN_RATIO = 2.0
_NOTES = [
    "All figures are medians over the rounds; a ratio is the median of the rounds' ratios.",
    "Contestants of a pair have processes of their own, in one environment, and files or namespaces of their own.",
    "SQLite: WAL and synchronous=FULL on both sides: a commit is on the disk. Histories and transcripts grow with the run.",
    "langgraph's AsyncRedisSaver needs modules of Redis: beside ours on a plain server is AsyncValkeySaver.",
    "AsyncValkeySaver and AsyncSqliteSaver write whatever comes; ours refuses a run that was taken over, in every subgraph.",
    "aiogram brings no store on SQLite; google-adk none on Redis; pydantic-ai and Starlette bring none.",
    "google-adk's services lose events where writers meet (database is locked), so theirs take turns; ours do not.",
    "CPU us: of the contestant's process with all its threads, per call.",
]


class _Sizes(Sizes):
    """Sizes of a run: tasks, each with a user of its own, and its calls in a round."""

    tasks: int = 100
    calls: int = usual(5, quick=1)
    rounds: int = usual(7, quick=1)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks --only adapters", "Benchmark of the adapters.", few="rounds and calls")
    frameworks = sorted({pair.framework for pair in PAIRS})
    add_choice_option(parser, "--frameworks", frameworks)
    add_directory_option(parser)
    add_peer_options(parser)
    return parser.parse_args(argv)


class _Run(Run[_Sizes]):
    """Run of the adapters that the options choose."""

    async def measure(self, port: int, directory: str) -> None:
        pairs = [pair for pair in PAIRS if pair.framework in self.options.frameworks]
        with progress(sum(len(pair.ours.calls) for pair in pairs) * (self.sizes.rounds + 1)) as tick:
            for pair in pairs:
                try:
                    await self._measure_pair(pair, port, directory, tick)
                except PeerFailedError as error:
                    self.lineup.drop(error)

    async def _measure_pair(self, pair: Pair, port: int, directory: str, tick: Callable[[], object]) -> None:
        sizes = self.sizes
        async with AsyncExitStack() as stack:
            sides = [
                await self.lineup.start(
                    stack,
                    side,
                    loop="asyncio",
                    side=name,
                    store=pair.store,
                    backend=pair.backend,
                    port=port,
                    connections=_CONNECTIONS,
                    directory=tempfile.mkdtemp(prefix=name, dir=directory),
                )
                for name, side in (("ours", pair.ours), ("theirs", pair.theirs))
            ]
            ours, theirs = sides
            if ours is None or theirs is None:
                return
            for side in (ours, theirs):
                await side.fill(sizes.tasks, "." * USUAL_BYTES)
            users = list(range(sizes.tasks))
            random.Random(self.options.seed).shuffle(users)
            for operation in pair.ours.calls:
                contestants = ours.contestants(operation, None) + theirs.contestants(operation, None)
                order = users * sizes.calls
                samples = await interleave(contestants, order, rounds=sizes.rounds, block=len(order), tick=tick)
                results = [
                    Result(operation=operation, contestant=name, tasks=sizes.tasks, size=USUAL_BYTES, rounds=rounds)
                    for name, rounds in samples.items()
                ]
                title = (
                    f"{pair.framework} on {pair.backend}, {operation}, {task_text(sizes.tasks)}, {size_text(USUAL_BYTES)}"
                )
                beside = pair.theirs.calls[operation]
                self.rows += compare(title, results, [Comparison(beside=beside, limit=_MIN_RATIO)])


async def _measure(server: Server, sizes: _Sizes, options: argparse.Namespace) -> Outcome:
    run = _Run(options, sizes)
    with open_directory(options) as files:
        await run.measure(server.port, files.directory)
    return Outcome(
        rows=run.rows,
        settings={**sizes.as_settings(), "frameworks": list(options.frameworks)},
        notes=_NOTES + files.notes,
        machine={**run.lineup.versions, "files": files.file_system},
        findings=run.lineup.findings(),
    )


main = command_on_server(parse_arguments, _Sizes, _measure, open_files=_OPEN_FILES)

if __name__ == "__main__":
    sys.exit(main())
