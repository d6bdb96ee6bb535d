"""Queues of the calls that wait for a connection.

First come, first served, and each may leave at any time.
"""

from asyncio import AbstractEventLoop
from collections import OrderedDict, deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from .connection import Call, SharedConnection

__all__ = ["MAX_FAILURES_PER_TURN", "CallQueue", "CallQueues"]

MAX_FAILURES_PER_TURN = 128
"""Limit of the calls that fail in one turn of the event loop."""

_MAX_STALE_DEADLINES = 64
"""Limit of the deadlines of calls that have left, beside as many as there are calls."""


class CallQueue:
    """Calls in the order in which they came.

    To join, to leave from any place, and to be served take a number of steps that does not grow
    with the line, but for the deadlines: those are in a heap.
    """

    def __init__(self) -> None:
        self._calls: OrderedDict[int, Call] = OrderedDict()
        self._deadlines: list[tuple[float, int]] = []
        self._joined = 0

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call: Call) -> bool:
        return self._calls.get(call.place) is call

    def join(self, call: Call) -> None:
        """Add a call at the end."""
        call.place = self._joined = self._joined + 1
        self._calls[call.place] = call
        heappush(self._deadlines, (call.deadline, call.place))

    def leave(self, call: Call) -> None:
        """Take a call out; of one that is not there take no notice."""
        if call in self:
            del self._calls[call.place]
            if len(self._deadlines) > 2 * len(self._calls) + _MAX_STALE_DEADLINES:
                self._deadlines = [(each.deadline, place) for place, each in self._calls.items()]
                heapify(self._deadlines)

    def first(self) -> Call | None:
        """Return the first call whose caller still waits; calls before it are removed."""
        while self._calls:
            call = next(iter(self._calls.values()))
            if not call.has_left():
                return call
            self.leave(call)
        return None

    def empty(self) -> list[Call]:
        """Take out all calls, and return them."""
        calls = [*self._calls.values()]
        self._calls, self._deadlines = OrderedDict(), []
        return calls

    def late(self, now: float, most: int) -> list[Call]:
        """Return up to so many late calls, the latest first; each once."""
        found: list[Call] = []
        while len(found) < most and (deadline := self.earliest()) is not None and deadline <= now:
            found.append(self._calls[heappop(self._deadlines)[1]])
        return found

    def earliest(self) -> float | None:
        """Return the earliest deadline; None if there is none."""
        while self._deadlines and self._deadlines[0][1] not in self._calls:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None


class CallQueues:
    """The line of short calls, and that of long ones.

    Args:
        apart: Whether there are two; else all are in one.
    """

    def __init__(self, *, apart: bool) -> None:
        short = CallQueue()
        self._queues = (short, CallQueue() if apart else short)
        self._failing: deque[tuple[Call, Exception]] = deque()

    def of(self, call: Call) -> CallQueue:
        """Return the line in which a call waits, or would."""
        return self._queues[call.long]

    @property
    def long_waits(self) -> bool:
        """Whether long calls wait in a line of their own."""
        short, long = self._queues
        return long is not short and bool(long)

    def serve(self, find: Callable[[Call], SharedConnection | None]) -> None:
        """Send the calls for which there is a connection."""
        for line in self._queues:
            while (call := line.first()) is not None and (connection := find(call)) is not None:
                line.leave(call)
                connection.send(call)
                if call.turn is not None and not call.turn.done():
                    call.turn.set_result(None)

    def any_first(self, holds: Callable[[Call], bool]) -> bool:
        """Say whether something holds for a call that is the first of its line."""
        return any(call is not None and holds(call) for call in [line.first() for line in self._queues])

    def turn_all_away(self, error: Exception, loop: AbstractEventLoop | None) -> None:
        """Let all who wait share a failure, a few in each turn of the event loop."""
        for line in self._queues:
            self._failing.extend((call, error) for call in line.empty())
        self._tell(loop)

    def turn_late_away(self, now: float, most: int, error: Callable[[], Exception]) -> int:
        """Fail up to so many who are late; return how many those were."""
        count = 0
        for line in self._queues:
            for call in line.late(now, most - count):
                count += 1
                line.leave(call)
                call.turn_away(error())
        return count

    def deadlines(self) -> list[float]:
        """Return the earliest deadline of each line that has one."""
        return [deadline for line in self._queues if (deadline := line.earliest()) is not None]

    def _tell(self, loop: AbstractEventLoop | None) -> None:
        told = 0
        while self._failing and told < MAX_FAILURES_PER_TURN:
            call, error = self._failing.popleft()
            told += call.turn_away(error)
        if self._failing and loop is not None and not loop.is_closed():
            loop.call_soon(self._tell, loop)
