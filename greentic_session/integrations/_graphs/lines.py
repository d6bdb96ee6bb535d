"""Lines of tasks of one event loop: at each name one is at work, the others wait in their order."""

import asyncio
from collections import deque

__all__ = ["Lines"]


class Lines:
    """Lines by name; of a name at which nobody is there is nothing."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def begin(self, name: str) -> "asyncio.Future[None] | None":
        """Take a place at a name; return what to `wait` for if somebody is at work there."""
        line = self._waiting.get(name)
        if line is None:
            self._waiting[name] = deque()
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        return turn

    async def wait(self, name: str, turn: "asyncio.Future[None]") -> None:
        """Return when all that were there before have ended."""
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.end(name)  # it was this task's turn already
            raise

    def end(self, name: str) -> None:
        """Leave a name to who waits there next."""
        line = self._waiting[name]
        while line:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[name]
