"""A queue by rank from which any item can be taken out: for what is due, and whose turn it is."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["OrderedQueue"]

T = TypeVar("T", bound=Hashable)


class OrderedQueue(Generic[T]):
    """Items by rank, the smallest first; of equal ones, the one that came first.

    Each call costs the logarithm of their number at most, and nothing stale is ever in it. Not
    thread-safe. Items are never compared: each has a number of its own.
    """

    __slots__ = ("_at", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._at: dict[T, int] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __contains__(self, item: T) -> bool:
        return item in self._at

    def first(self) -> tuple[float, T] | None:
        """Return the first item with its rank; None if there is none."""
        if not self._heap:
            return None
        rank, _, item = self._heap[0]
        return rank, item

    def until(self, rank: float) -> Iterator[tuple[float, T]]:
        """Yield what has this rank at most, with its rank, in no order but the first one first.

        It costs what it yields. Nothing may be put in or taken out meanwhile.
        """
        heap, to_see = self._heap, [0]
        while to_see:
            at = to_see.pop()
            if at < len(heap) and heap[at][0] <= rank:
                yield heap[at][0], heap[at][2]
                to_see += (2 * at + 2, 2 * at + 1)

    def put(self, item: T, rank: float) -> None:
        """Add an item, or give it another rank; with the same rank it keeps its place."""
        at = self._at.get(item)
        if at is not None:
            if self._heap[at][0] == rank:
                return
            self.discard(item)
        self._serial += 1
        self._heap.append((rank, self._serial, item))
        self._at[item] = len(self._heap) - 1
        self._up(len(self._heap) - 1)

    def discard(self, item: T) -> None:
        """Take an item out, if it is there."""
        at = self._at.pop(item, None)
        if at is None:
            return
        last = self._heap.pop()
        if at < len(self._heap):
            self._heap[at] = last
            self._at[last[2]] = at
            self._up(at)
            self._down(self._at[last[2]])

    def clear(self) -> None:
        """Take everything out."""
        self._heap.clear()
        self._at.clear()

    def _up(self, at: int) -> None:
        heap, moving = self._heap, self._heap[at]
        while at > 0:
            parent = (at - 1) >> 1
            if heap[parent] <= moving:
                break
            heap[at] = heap[parent]
            self._at[heap[at][2]] = at
            at = parent
        heap[at] = moving
        self._at[moving[2]] = at

    def _down(self, at: int) -> None:
        heap, moving = self._heap, self._heap[at]
        while (child := 2 * at + 1) < len(heap):
            if child + 1 < len(heap) and heap[child + 1] < heap[child]:
                child += 1
            if moving <= heap[child]:
                break
            heap[at] = heap[child]
            self._at[heap[at][2]] = at
            at = child
        heap[at] = moving
        self._at[moving[2]] = at
