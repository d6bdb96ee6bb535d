"""One operation on its way through a worker, and what becomes of it when its caller leaves."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeAlias

from greentic_session._concurrency.outcome import Outcome
from greentic_session._concurrency.signal import Signal

__all__ = ["Job", "Undo", "Work"]

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
"""What an operation does within a transaction. It may run again where that was undone."""
Undo: TypeAlias = Callable[[sqlite3.Connection, Any], object]
"""Takes back what an operation with this result did."""


class Job(Outcome):
    """One operation.

    Attributes:
        work: What it does.
        undo: Takes its effect back, where the caller has left and must not hold it.
        signal: Wakes the caller; None where nobody waits.
        abandoned: Whether the caller has left.
        begun: Whether a worker has begun `work`.
        done: Whether it is committed, or has failed.
        result: What `work` returned.
        error: What it failed by.
    """

    __slots__ = ("abandoned", "begun", "done", "signal", "undo", "work")

    def __init__(self, work: Work, undo: Undo | None, signal: Signal | None) -> None:
        self.work = work
        self.undo = undo
        self.signal = signal
        self.abandoned = False
        self.begun = False
        self.done = False
        self.result = None
        self.error = None

    def fail(self, error: Exception) -> None:
        """Take note of a failure."""
        self.result, self.error = None, error

    def undoing(self) -> "Job | None":
        """Return the job that takes this one's effect back; None where there is nothing to undo."""
        undo, self.undo = self.undo, None
        if undo is None or self.error is not None:
            return None
        result = self.result
        return Job(lambda connection: undo(connection, result), None, None)
