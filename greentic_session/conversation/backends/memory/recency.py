"""Ids by the time of their last change, for a list that pages through them."""

from bisect import bisect_left, insort
from collections.abc import Iterator

__all__ = ["Recency"]


class Recency:
    """Ids with moments; iterated newest first, equal moments ascending by id. Not thread-safe.

    Held in one sorted list, oldest first: what changes comes to its end and mostly leaves from near
    it, so that little has to be moved, and a page is found by bisection.
    """

    __slots__ = ("_order",)

    def __init__(self) -> None:
        self._order: list[tuple[int, str]] = []

    def add(self, moment: int, id: str) -> None:
        """File an id that is not there."""
        insort(self._order, (moment, id))

    def discard(self, moment: int, id: str) -> None:
        """Take out an id that was filed at `moment`."""
        del self._order[bisect_left(self._order, (moment, id))]

    def after(self, moment: int | None, id: str) -> Iterator[str]:
        """Yield the ids that follow an id at a moment, whether that is there or not; None.

        From the beginning.
        """
        order = self._order
        if moment is None:
            end = len(order)
        else:
            # First the rest of those of the same moment, which are in order; then, group by group,
            # those before.
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
