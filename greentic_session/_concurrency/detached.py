"""Work that nobody waits for: giving back what a cancelled call may hold."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from greentic_session.errors import GreenticError

__all__ = ["Detached"]


class Detached:
    """Tasks of their own for work that its caller has left, on asyncio.

    What they fail at ends by itself some time.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself keeps no strong reference to a task

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        """Start a task that bounds its own time; its GreenticErrors are dropped."""

        async def run() -> None:
            with suppress(GreenticError):
                await work()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
