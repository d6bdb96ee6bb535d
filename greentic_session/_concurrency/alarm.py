"""Alarms: work that begins at a moment to come, in a task of its own, unless it is called off.

Most are called off, so one costs next to nothing until its moment: asyncio's event loop keeps it
among its own timers, and on trio one task looks after all of them.
"""

import asyncio
import contextvars
import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

__all__ = ["Alarm", "set_alarm"]

Work: TypeAlias = Callable[[], Coroutine[Any, Any, object]]
"""What an alarm begins. It raises nothing but a cancellation."""

_MIN_STALE: Final = 64


class Alarm(ABC):
    """Work that begins at its moment."""

    __slots__ = ()

    @abstractmethod
    def call_off(self) -> None:
        """Let the work not begin; what has begun goes on. Idempotent."""

    @property
    @abstractmethod
    def is_at_work(self) -> bool:
        """Whether the work has begun, and has not ended."""

    @abstractmethod
    async def ended(self) -> None:
        """Wait until work that has begun has ended."""


class _AsyncioAlarm(Alarm):
    __slots__ = ("_handle", "_loop", "_task", "_work")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float, work: Work) -> None:
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[object] | None = None
        self._handle = loop.call_at(when, self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._work())

    def call_off(self) -> None:
        self._handle.cancel()

    @property
    def is_at_work(self) -> bool:
        return self._task is not None and not self._task.done()

    async def ended(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])


class _TrioAlarm(Alarm):
    __slots__ = ("_context", "_ended", "_keeper", "_state", "_work")

    def __init__(self, keeper: "_TrioKeeper", work: Work) -> None:
        self._keeper = keeper
        self._work = work
        self._context = contextvars.copy_context()
        self._state = "set"
        self._ended: Any = None

    @property
    def is_set(self) -> bool:
        return self._state == "set"

    def begin(self, trio: Any) -> None:
        self._state, self._ended = "at work", trio.Event()
        trio.lowlevel.spawn_system_task(self._run, context=self._context)

    async def _run(self) -> None:
        try:
            await self._work()
        finally:
            self._state = "ended"
            self._ended.set()

    def call_off(self) -> None:
        if self.is_set:
            self._state = "called off"
            self._keeper.count_called_off()

    @property
    def is_at_work(self) -> bool:
        return self._state == "at work"

    async def ended(self) -> None:
        if self._ended is not None:
            await self._ended.wait()


class _TrioKeeper:
    """The task that looks after all alarms of a trio run."""

    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._alarms: list[tuple[float, int, _TrioAlarm]] = []
        self._serial = 0
        self._called_off = 0
        self._earlier = trio.Event()
        trio.lowlevel.spawn_system_task(self._keep, context=contextvars.Context())

    def set_alarm(self, when: float, work: Work) -> _TrioAlarm:
        alarm = _TrioAlarm(self, work)
        self._serial += 1
        heapq.heappush(self._alarms, (when, self._serial, alarm))
        if self._alarms[0][2] is alarm:
            self._earlier.set()
        return alarm

    def count_called_off(self) -> None:
        """Forget what was called off, once it is more than what was not."""
        self._called_off += 1
        if self._called_off > _MIN_STALE and 2 * self._called_off > len(self._alarms):
            self._alarms = [one for one in self._alarms if one[2].is_set]
            heapq.heapify(self._alarms)
            self._called_off = 0

    async def _keep(self) -> None:
        trio, when = self._trio, math.inf
        while True:
            self._earlier = trio.Event()
            while self._alarms and (not self._alarms[0][2].is_set or self._alarms[0][0] <= trio.current_time()):
                alarm = heapq.heappop(self._alarms)[2]
                if alarm.is_set:
                    alarm.begin(trio)
                else:
                    self._called_off -= 1
            when = self._alarms[0][0] if self._alarms else math.inf
            with trio.move_on_at(when):
                await self._earlier.wait()


def set_alarm(when: float, work: Work) -> Alarm:
    """Let work begin at a moment, by the clock of the running event loop, from a task of it."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _trio_keeper().set_alarm(when, work)
    return _AsyncioAlarm(loop, when, work)


_trio_keepers: list[Any] = []
"""The variable that holds the keeper of a trio run, once trio has run."""


def _trio_keeper() -> _TrioKeeper:
    import trio  # noqa: PLC0415  # optional, and there where trio runs

    if not _trio_keepers:
        _trio_keepers.append(trio.lowlevel.RunVar("greentic_session_alarms"))
    keeper: _TrioKeeper | None = _trio_keepers[0].get(None)
    if keeper is None:
        keeper = _TrioKeeper(trio)
        _trio_keepers[0].set(keeper)
    return keeper
