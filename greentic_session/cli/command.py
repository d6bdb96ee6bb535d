"""Interface of a command, and the exit codes."""

import argparse
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from .console import Console

__all__ = ["EXIT_CODES", "Command", "Exit"]


class Exit(IntEnum):
    """The exit codes."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    ABSENT = 3
    INTERRUPTED = 130


EXIT_CODES: Final = (
    (Exit.FINE, "it is done"),
    (Exit.FAILED, "the store failed, or (doctor) its indices disagree"),
    (Exit.USAGE, "an argument is wrong, or nobody is there to be asked"),
    (Exit.ABSENT, "no live session has this key"),
    (Exit.INTERRUPTED, "interrupted, or not confirmed"),
)
"""Each with its meaning, for people."""


class Command(msgspec.Struct, frozen=True):
    """One command.

    Attributes:
        name: What is typed.
        help: What it does, in one line.
        configure: Adds its own arguments to a parser.
        run: Does it, and returns the exit code.
        asks: Whether it asks, unless ``--yes`` is given.
        writes_json: Whether it knows ``--json``.
        writes_tables: Whether it knows ``--wide``.
        reads_environment: Whether the environment may name its store; else only ``--store`` does.
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Console], int]
    asks: bool = False
    writes_json: bool = True
    writes_tables: bool = False
    reads_environment: bool = True
