"""Expiry wheel: the next entries to expire, at a cost that does not grow with what is stored.

Entries stand in buckets by the time they end, and leave theirs exactly when they go or get another
lifetime, so nothing stale ever piles up. A bucket is as wide as a 64th to a 128th of what its
entries had left when they came: an entry is freed late by that at the most, and there are a few
thousand buckets at the very most, whatever is stored.
"""

import heapq
import math
from typing import Generic, TypeVar

__all__ = ["ExpiryWheel"]

E = TypeVar("E")

_NARROWEST = 2.0**-6
"""Seconds; below it there would be as many buckets as entries."""
_BITS = 7


class ExpiryWheel(Generic[E]):
    """Entries by the time they end.

    Times are in seconds, on any clock that does not go back. Not thread-safe.
    """

    __slots__ = ("_buckets", "_order", "next_due")

    def __init__(self) -> None:
        self.next_due: float = math.inf
        """When there will be something to take; infinity if nothing is filed."""
        self._buckets: dict[float, set[E]] = {}
        self._order: list[float] = []

    def add(self, entry: E, now: float, end: float) -> set[E]:
        """Add an entry that ends at `end`; return its bucket, for an earlier removal."""
        width = max(math.ldexp(1.0, math.frexp(end - now)[1] - _BITS), _NARROWEST)
        due = math.ceil(end / width) * width
        bucket = self._buckets.get(due)
        if bucket is None:
            # An emptied bucket stays until it is due: at any time the possible ones are few.
            bucket = self._buckets[due] = set()
            heapq.heappush(self._order, due)
            self.next_due = self._order[0]
        bucket.add(entry)
        return bucket

    def take_due(self, now: float) -> E | None:
        """Take out one entry that has ended, unless it was prolonged; None if there is none."""
        while self.next_due <= now:
            bucket = self._buckets[self.next_due]
            if bucket:
                return bucket.pop()
            del self._buckets[heapq.heappop(self._order)]
            self.next_due = self._order[0] if self._order else math.inf
        return None

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._order.clear()
        self.next_due = math.inf
