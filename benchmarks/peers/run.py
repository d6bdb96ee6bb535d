"""Run of a benchmark beside peers: what it measures by, and what it has found."""

import argparse
from typing import Generic, TypeVar

from benchmarks.harness.report import Row
from benchmarks.harness.sizes import Sizes

from .command import Lineup

__all__ = ["Run"]

S = TypeVar("S", bound=Sizes)


class Run(Generic[S]):
    """Base of a run beside peers; a subclass measures.

    Attributes:
        options: Options of the command.
        sizes: Sizes of the run.
        lineup: Peers that take part.
        rows: Rows of the table, as far as they are measured.
    """

    def __init__(self, options: argparse.Namespace, sizes: S) -> None:
        self.options = options
        self.sizes = sizes
        self.lineup = Lineup(options)
        self.rows: list[Row] = []
