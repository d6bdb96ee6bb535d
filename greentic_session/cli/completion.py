"""``completion``: what a shell needs to complete commands and options."""

import argparse
from typing import Final

from greentic_session.errors import UnavailableError

from .arguments import parser_of
from .command import Command, Exit
from .console import Console

__all__ = ["COMPLETION", "PROGRAM", "SHELLS"]

PROGRAM: Final = "greentic-session"
"""What is completed."""
SHELLS: Final = ("bash", "zsh", "fish")
"""What completes it."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell; README tells where its script goes")


def _run(args: argparse.Namespace, console: Console) -> int:
    try:
        import shtab  # noqa: PLC0415  # of the extra
    except ImportError:
        raise UnavailableError("completion needs an extra: python -m pip install 'greentic-session[cli]'") from None
    console.write(shtab.complete(parser_of(args.commands, PROGRAM), shell=args.shell))
    return Exit.FINE


COMPLETION: Final = Command(
    "completion",
    "write the script by which bash, zsh or fish completes this command line",
    _configure,
    _run,
    writes_json=False,
)
"""See its help."""
