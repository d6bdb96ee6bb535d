"""Command ``python -m benchmarks``: the benchmark of the Redis store.

With ``--only sqlite``, that of the SQLite store; with ``--only replies``, that of replies; with
``--only adapters``, that of the adapters for frameworks.
"""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from .adapters import __main__ as adapters
from .redis import __main__ as redis
from .replies import __main__ as replies
from .sqlite import __main__ as sqlite

__all__ = ["main", "parse_arguments"]

_ALONE = {"sqlite": sqlite, "replies": replies, "adapters": adapters}
"""Benchmarks that ``--only`` names alone, by their names."""


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    benchmark, rest = _choose(argv)
    parsed: argparse.Namespace = benchmark.parse_arguments(rest)
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark that the options choose, and return the exit code."""
    benchmark, rest = _choose(argv)
    code: int = benchmark.main(rest)
    return code


def _choose(argv: Sequence[str] | None) -> tuple[ModuleType, list[str]]:
    """Return a benchmark, and the arguments for it."""
    given = sys.argv[1:] if argv is None else list(argv)
    chooser = argparse.ArgumentParser(prog="python -m benchmarks", add_help=False, allow_abbrev=False)
    chooser.add_argument("--only", nargs="+", default=[])
    chosen, rest = chooser.parse_known_args(given)
    alone = [name for name in chosen.only if name in _ALONE]
    if not alone:
        return redis, given
    if len(chosen.only) > 1:
        chooser.error(f"--only {alone[0]} stands alone")
    return _ALONE[alone[0]], rest


if __name__ == "__main__":
    sys.exit(main())
