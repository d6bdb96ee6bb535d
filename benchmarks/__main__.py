"""Command ``python -m benchmarks``: the benchmark of the Redis store.

With ``--only sqlite``, that of the SQLite store.
"""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from .redis import __main__ as redis
from .sqlite import __main__ as sqlite

__all__ = ["main", "parse_arguments"]

_SQLITE = "sqlite"


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
    if _SQLITE not in chosen.only:
        return redis, given
    if chosen.only != [_SQLITE]:
        chooser.error(f"--only {_SQLITE} needs no Redis, and stands alone")
    return sqlite, rest


if __name__ == "__main__":
    sys.exit(main())
