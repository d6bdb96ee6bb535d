"""The command line: ``python -m greentic_session`` is ``greentic-session``."""

import sys

from greentic_session.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
