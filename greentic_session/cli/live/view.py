"""State of a fleet at a moment, and its history of the last minutes."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from greentic_session.admin import Tally

__all__ = ["MINUTES", "History", "View"]

MINUTES: Final = 5
"""Length of the history in seconds."""
_SPAN_S: Final = MINUTES * 60.0


class View(Struct, frozen=True):
    """State of a fleet, as it is shown.

    Attributes:
        store: Which store, in words.
        total: What was counted last, together; None before the first count has ended.
        tenants: The same by env and tenant, those with most to do first.
        flows: The same by flow.
        ready: How many waits are ready now; None where nobody can tell.
        is_capped: Whether there may be more.
        oldest_ms: For how long the first of them has been ready; None without any.
        rate: How many replies a second were accepted lately; None where nobody can tell.
        ready_line: How many were ready in the last minutes; None before anybody looked.
        rate_line: How many replies a second were accepted then.
        counted_s: How many seconds ago that count ended; None before the first.
        took_s: How many seconds it took.
        looked: How many sessions the count that is under way has looked at; None between counts.
        trouble: Why the store does not answer; empty while it does.
    """

    store: str
    total: Tally | None = None
    tenants: Sequence[tuple[str, Tally]] = ()
    flows: Sequence[tuple[str, Tally]] = ()
    ready: int | None = None
    is_capped: bool = False
    oldest_ms: int | None = None
    rate: float | None = None
    ready_line: Sequence[float | None] = ()
    rate_line: Sequence[float | None] = ()
    counted_s: float | None = None
    took_s: float = 0.0
    looked: int | None = None
    trouble: str = ""


class History:
    """Values of the last minutes."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque()

    def add(self, moment: float, value: float) -> None:
        """Note a value, at a moment in seconds; forget what is too old."""
        self._values.append((moment, value))
        while self._values[0][0] <= moment - _SPAN_S:
            self._values.popleft()

    def line(self, now: float, points: int) -> list[float | None]:
        """Return so many points, the last one for now: the highest value of each.

        None where there is no value.
        """
        highest: list[float | None] = [None] * points
        for moment, value in self._values:
            at = points - 1 - int((now - moment) * points / _SPAN_S)
            if 0 <= at < points:
                highest[at] = max(value, highest[at] or 0.0)
        return highest
