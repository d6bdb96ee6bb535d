"""Command ``python -m benchmarks``: the benchmark of the Redis store."""

import sys

from .redis.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
