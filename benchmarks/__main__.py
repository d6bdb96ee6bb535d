"""Command ``python -m benchmarks``: the benchmark of the Redis store."""

import sys

from .redis.__main__ import main, parse_arguments

__all__ = ["main", "parse_arguments"]

if __name__ == "__main__":
    sys.exit(main())
