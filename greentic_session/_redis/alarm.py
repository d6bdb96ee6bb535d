"""A timer for many deadlines: one call of the event loop, instead of one for each."""

import asyncio
import math
from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """A timer that rings once, at the earliest of the times for which it was set.

    Attributes:
        at: When it rings, by the loop's clock; infinite if it is not set.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self.at = math.inf
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        """Let it ring at another time than before."""
        if self._timer is not None:
            self._timer.cancel()
        self.at, self._timer = at, loop.call_at(at, self._rings)

    def _rings(self) -> None:
        self.at, self._timer = math.inf, None
        self._ring()
