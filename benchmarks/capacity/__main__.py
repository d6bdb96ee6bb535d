"""Benchmark of what one core of Redis carries: ``python -m benchmarks.capacity``.

The bytes of a wait in Redis, beside the Rust crate's layout and aiogram's; and, where valgrind is
installed, the instructions of server and client for a call. The server's processor time for a call
is in the table of ``python -m benchmarks``.
"""

import argparse
import sys

from benchmarks.harness.command import Outcome, command_on_server, make_parser
from benchmarks.harness.progress import progress
from benchmarks.harness.server import Server
from benchmarks.harness.sizes import Sizes, usual

from .calls import OPERATIONS
from .instructions import HOW_TO_GET_VALGRIND, count_instructions, has_valgrind
from .memory import SNAPSHOT_BYTES, measure_memory

__all__ = ["main", "parse_arguments"]

_NOTES = [
    "Bytes: the growth of used_memory, divided by the number of waits; each is another user's, and has a lifetime.",
    "Instructions: counted by callgrind, the difference of two runs; they do not drift with the machine.",
]


class _Sizes(Sizes):
    """Sizes of a run: waits in Redis, and calls whose instructions are counted."""

    waits: int = usual(20_000, quick=1000)
    calls: int = usual(4000, quick=200)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    about = "Benchmark of what one core of Redis carries."
    parser = make_parser("benchmarks.capacity", about, few="waits, calls and operations", rounds=None, seed=False)
    parser.add_argument("--without-instructions", action="store_true", help="measure the bytes only")
    return parser.parse_args(argv)


async def _measure(server: Server, sizes: _Sizes, options: argparse.Namespace) -> Outcome:
    rows = await measure_memory(server.url, sizes.waits)
    counts = has_valgrind() and not options.without_instructions
    if counts:
        operations = OPERATIONS[:1] if options.quick else OPERATIONS
        with progress(4 * len(operations)) as tick:
            rows += count_instructions(server.binary, operations, sizes.calls, tick)
    return Outcome(
        rows=rows,
        settings={**sizes.as_settings(), "snapshots": SNAPSHOT_BYTES},
        notes=[*_NOTES, *[HOW_TO_GET_VALGRIND] * (not has_valgrind())],
    )


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
