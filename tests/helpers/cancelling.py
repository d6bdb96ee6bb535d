"""Cancelling a coroutine at one of its await points, exactly there: no clock decides."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

__all__ = ["CancelledAt"]


class CancelledAt:
    """Awaits something, and cancels the task that awaits it at its n-th await point.

    Args:
        work: What is awaited.
        point: Which await point, from 1. If there are fewer, nothing is cancelled.
        late: Cancel when what is waited for there has arrived and the task has not seen it yet;
            else, as soon as it waits.
    """

    def __init__(self, work: Awaitable[object], point: int, *, late: bool) -> None:
        self._work = work
        self._point = point
        self._late = late
        self.cancelled = False
        """Whether the task was cancelled. It must then end so."""

    def __await__(self) -> Generator[Any, None, object]:
        steps = self._work.__await__()
        passed = 0
        error: BaseException | None = None
        while True:
            try:
                waited = next(steps) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            passed += 1
            if passed == self._point:
                task = asyncio.current_task()
                assert task is not None
                self.cancelled = True
                if self._late and waited is not None:
                    waited.add_done_callback(lambda _, task=task: task.cancel())  # it goes before the task's own
                else:
                    task.cancel()
            try:
                yield waited
            except BaseException as thrown:  # noqa: BLE001  # to be raised where it belongs: inside
                error = thrown
