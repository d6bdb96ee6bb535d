"""One operation on its way through a worker, and what becomes of it when its caller leaves."""

import sqlite3
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from greentic_session._concurrency.signal import Signal

__all__ = ["Job", "Lookup", "Select", "Undo", "Work"]

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
"""What an operation does within a transaction. It may run again where that was undone."""
Undo: TypeAlias = Callable[[sqlite3.Connection, Any], object]
"""Takes back what an operation with this result did."""
Select: TypeAlias = Callable[[sqlite3.Connection, Sequence[Any]], Mapping[Any, Any]]
"""Reads what is stored under some keys, in as few statements as it can; what is absent it leaves
out. It is the same object for all lookups of a kind."""


class Job:
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

    __slots__ = ("abandoned", "begun", "done", "error", "result", "signal", "undo", "work")

    result: Any
    error: Exception | None

    def __init__(self, work: Work, undo: Undo | None, signal: Signal | None) -> None:
        self.work = work
        self.undo = undo
        self.signal = signal
        self.abandoned = self.begun = self.done = False
        self.result = self.error = None

    def fail(self, error: Exception) -> None:
        """Take note of a failure."""
        self.result, self.error = None, error

    def outcome(self) -> Any:
        """Return the result, or raise the error."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback refers to this object: a cycle
        return self.result

    def undoing(self) -> "Job | None":
        """Return the job that takes this one's effect back; None where there is nothing to undo."""
        undo, self.undo = self.undo, None
        if undo is None or self.error is not None:
            return None
        result = self.result
        return Job(lambda connection: undo(connection, result), None, None)


class Lookup(Job):
    """A read of what is stored under one key, together with others of its kind.

    Attributes:
        select: Reads what all of its kind ask for.
        key: What this one asks for.
        make: Makes the result of what is stored there; of None where nothing is.
    """

    __slots__ = ("key", "make", "select")

    def __init__(self, select: Select, key: Hashable, make: Callable[[Any], Any], signal: Signal | None) -> None:
        super().__init__(_nothing, None, signal)
        self.select = select
        self.key = key
        self.make = make


def _nothing(_: sqlite3.Connection) -> None:
    """Do nothing: lookups are done together."""
