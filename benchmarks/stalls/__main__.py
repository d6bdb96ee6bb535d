"""Benchmark of stalls: ``python -m benchmarks.stalls``; ``--help`` lists the options.

First it stops the server while many callers wait, until each has timed out, and again until each is
cancelled (`callers`). Then several tasks read long sessions without a pause, and it times the calls
of another one for a short session (`short_reads`).
"""

import argparse
import sys

from benchmarks.harness.command import Outcome, command_on_server, make_parser, positive
from benchmarks.harness.report import Row, Target
from benchmarks.harness.server import Server
from benchmarks.harness.sizes import Sizes, usual

from .callers import cancel_callers, time_out_callers
from .short_reads import MAX_BYTES, fill, time_short_reads

__all__ = ["ROWS", "main", "parse_arguments"]

_MAX_BLOCK = Target("value", "max", 50.0)
"""In milliseconds."""
_MAX_ERROR_DELAY = Target("value", "max", 0.5)
"""In seconds."""
ROWS = {
    "callers that time out": ("longest block, CPU", "longest block", "latest error"),
    "callers that are cancelled": ("longest block, CPU", "longest block", "takes"),
    "a short read beside long ones": ("median", "99 %", "longest"),
    "the same, where nobody has read them before": ("the first",),
}
"""Rows of the table: contestants by measurement."""

_NOTES = [
    "Longest block: of the event loop; by the processor time of its thread, and by the clock, which includes other load",
    "of the machine. Python's cyclic garbage collector is off meanwhile: it stops the loop in any program.",
    "Latest error: how long after the timeout of its call.",
]


class _Sizes(Sizes):
    """Sizes of a run.

    Attributes:
        callers: Number of callers that wait at once.
        timeout: Timeout of their calls in seconds, within which all of them begin.
        reads: Number of short reads that are timed.
        long_bytes: Bytes of the long sessions.
    """

    callers: int = usual(50_000, quick=1000)
    timeout: float = usual(10.0, quick=1.0)
    reads: int = usual(200, quick=20)
    long_bytes: int = usual(MAX_BYTES, quick=2**19)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.stalls", "Benchmark of callers whose server is held up.", few="callers", rounds=None, seed=False
    )
    parser.add_argument("--callers", type=positive, help="number of callers that wait at once")
    return parser.parse_args(argv)


async def _measure(server: Server, sizes: _Sizes, _: argparse.Namespace) -> Outcome:
    late, latest_error = await time_out_callers(server, sizes.callers, sizes.timeout)
    cancelled, seconds = await cancel_callers(server, sizes.callers, sizes.timeout)
    await fill(server.url, sizes.long_bytes)
    times_ms = await time_short_reads(server.url, sizes.reads, read_before=True)
    first_ms = await time_short_reads(server.url, 1, read_before=False)
    count = len(times_ms)
    figures: list[list[tuple[float, str, Target | None]]] = [
        [(late.cpu_ms, "ms", _MAX_BLOCK), (late.wall_ms, "ms", None), (latest_error, "s", _MAX_ERROR_DELAY)],
        [(cancelled.cpu_ms, "ms", _MAX_BLOCK), (cancelled.wall_ms, "ms", None), (seconds, "s", None)],
        [(times_ms[index], "ms", None) for index in (count // 2, count * 99 // 100, -1)],
        [(first_ms[0], "ms", None)],
    ]
    rows = [
        Row(measurement=name, contestant=contestant, value=value, unit=unit, target=target)
        for (name, contestants), found in zip(ROWS.items(), figures, strict=True)
        for contestant, (value, unit, target) in zip(contestants, found, strict=True)
    ]
    return Outcome(rows=rows, settings=sizes.as_settings(), notes=_NOTES)


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
