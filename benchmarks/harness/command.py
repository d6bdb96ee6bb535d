"""What the benchmarks' command lines share."""

import argparse
import resource

__all__ = ["QUICK", "WITHOUT_PEERS", "allow_files", "make_parser", "positive"]

QUICK = "A quick run: too short to judge by."
"""The note of a run with ``--quick``."""
WITHOUT_PEERS = "Measured without the peers: what is held against them has no ratio."
"""The note of a run with ``--without-peers``."""


def make_parser(
    module: str,
    description: str,
    *,
    few: str,
    rounds: str | None = "how often each contestant has its turn",
    seed: bool = True,
) -> argparse.ArgumentParser:
    """Return a parser with the options that the benchmarks have in common.

    Args:
        module: What follows ``python -m``.
        description: What it measures.
        few: What there is less of with ``--quick``.
        rounds: What ``--rounds`` says; None for a benchmark without it.
        seed: Whether there is ``--seed``.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too; '-' for stdout, instead of the table")
    parser.add_argument("--quick", action="store_true", help=f"few {few}: to see that it runs")
    if rounds is not None:
        parser.add_argument("--rounds", type=positive, help=rounds)
    if seed:
        parser.add_argument("--seed", type=int, default=1, help="of the order of the calls (default: %(default)s)")
    return parser


def allow_files(wanted: int) -> None:
    """Let this process, and those that it starts, open so many files, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
