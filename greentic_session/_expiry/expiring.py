"""Base of the backends in memory: lifetimes of entries, and removal of expired ones."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from greentic_session._base.lifecycle import Closable

from .sweeper import IdleSweeper
from .wheel import ExpiryWheel

__all__ = ["NEVER_ENDS", "Expiring", "Timer"]

Timer = Callable[[], float]
"""Tells the time in seconds, from any start, never going back: what lifetimes are measured by.

Where lifetimes outlive the process it starts at the Unix epoch. The time of day, which dates
conversations, is a `Clock`: microseconds since the Unix epoch.
"""

NEVER_ENDS: Final = float("inf")

_SWEPT_PER_WRITE: Final = 16
"""A write adds one entry at most and frees up to this many: expired ones cannot pile up."""
_SWEPT_PER_STEP: Final = 1000
_LONGEST_SLEEP: Final = 3600.0
_PAUSE: Final = 0.001


class _Entry(Protocol):
    """An entry of a backend in memory.

    It has its end, by the timer, and the bucket of the wheel that holds it until then.
    """

    end: float
    bucket: set[Any] | None


E = TypeVar("E", bound=_Entry)


class Expiring(Closable, ABC, Generic[E]):
    """A backend in memory, under one lock, whose entries expire.

    An entry has expired when its `end` is not after `timer()`, which every operation compares.
    Removal only frees memory: later writes do it and, with the real timer, a daemon thread where
    there are none.
    """

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self._lock = threading.Lock()
        self._sweeping = False
        self._wheel: ExpiryWheel[E] = ExpiryWheel()
        self._sweeper = IdleSweeper(self) if timer is time.monotonic else None

    @abstractmethod
    def _drop(self, entry: E | None) -> bool:
        """Remove an entry, if it is (still) there, and its place in the wheel; say whether it was.

        With the lock held.
        """

    def _set_lifetime(self, entry: E, ttl_ms: int | None, now: float) -> None:
        """Let an entry end so many milliseconds from `now`; None: never.

        With the lock held.
        """
        self._set_end(entry, NEVER_ENDS if ttl_ms is None else now + ttl_ms / 1000, now)

    def _set_end(self, entry: E, end: float, now: float) -> None:
        """Let an entry end at a moment; free some that have ended. With the lock held.

        An entry that gets a longer life stays in its bucket, and gets another when that is due: to
        prolong a life costs next to nothing, however often it is done.
        """
        wheel = self._wheel
        soonest = wheel.next_due
        if entry.bucket is not None and entry.end <= end < NEVER_ENDS:
            entry.end = end
            if soonest <= now and not self._sweeping:
                self._sweep(now, _SWEPT_PER_WRITE)
            return
        if entry.bucket is not None:
            entry.bucket.discard(entry)
            entry.bucket = None
        entry.end = end
        if end != NEVER_ENDS:
            entry.bucket = wheel.add(entry, now, end)
            if self._sweeper and wheel.next_due < soonest:
                self._sweeper.wake()
        if soonest <= now and not self._sweeping:
            self._sweep(now, _SWEPT_PER_WRITE)

    def _sweep(self, now: float, most: int) -> None:
        self._sweeping = True  # to free one entry may set the end of another
        try:
            for _ in range(most):
                entry = self._wheel.take_due(now)
                if entry is None:
                    return
                if entry.end > now:  # it was prolonged
                    entry.bucket = self._wheel.add(entry, now, entry.end)
                else:
                    self._drop(entry)
        finally:
            self._sweeping = False

    def sweep(self) -> float:
        """Remove some expired entries; return the seconds until the next sweep.

        Takes the lock itself: for the idle sweeper.
        """
        with self._lock:
            now = self.timer()
            self._sweep(now, _SWEPT_PER_STEP)
            return min(max(self._wheel.next_due - now, _PAUSE), _LONGEST_SLEEP)

    def _stop_expiring(self) -> None:
        """Forget all lifetimes, and let the daemon thread end."""
        self._wheel.clear()
        if self._sweeper:
            self._sweeper.stop()
