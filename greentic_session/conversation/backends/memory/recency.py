"""Index of ids by the time of their last change, for lists in pages."""

from bisect import bisect_left, insort
from collections.abc import Iterator

__all__ = ["Recency"]


class Recency:
    """Ids with moments; iterated newest first, equal moments ascending by id. Not thread-safe.

    The index is one sorted list, oldest first: a changed id moves to its end, usually from near it,
    so few items move; a page is found by bisection.
    """

    __slots__ = ("_order",)

    def __init__(self) -> None:
        self._order: list[tuple[int, str]] = []

    def add(self, moment: int, id: str) -> None:
        """Add an id that is not in the index."""
        insort(self._order, (moment, id))

    def discard(self, moment: int, id: str) -> None:
        """Remove an id that was added with `moment`."""
        del self._order[bisect_left(self._order, (moment, id))]

    def after(self, moment: int | None, id: str) -> Iterator[str]:
        """Yield the ids behind an id with a moment, which may be missing; None: all ids."""
        order = self._order
        if moment is None:
            end = len(order)
        else:
            # First the ids of the same moment, in order; then those of each earlier moment.
            end = bisect_left(order, (moment, ""))
            for position in range(bisect_left(order, (moment, id)), len(order)):
                there, other = order[position]
                if there != moment:
                    break
                if other != id:
                    yield other
        while end:
            start = bisect_left(order, (order[end - 1][0], ""), 0, end)
            for position in range(start, end):
                yield order[position][1]
            end = start
