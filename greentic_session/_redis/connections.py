"""The connections of one client: those that take calls, and those that end with what they have."""

import asyncio
from collections.abc import Collection

from .connection import SharedConnection

__all__ = ["Connections"]


class Connections:
    """The connections of one client.

    Attributes:
        current: Those that take calls, the oldest first.
        retired: Those that end when the calls under way have been answered or given up.
    """

    def __init__(self) -> None:
        self.current: list[SharedConnection] = []
        self.retired: set[SharedConnection] = set()
        self._emptied: asyncio.Event | None = None

    def all(self) -> tuple[SharedConnection, ...]:
        """Return the connections of both kinds, the retired ones first: their calls are older."""
        return (*self.retired, *self.current)

    def retire_all(self) -> None:
        """Let no connection take any more calls."""
        self.keep((), at_once=False)

    def keep(self, nodes: Collection[str], *, at_once: bool) -> None:
        """Retire those that lead to other nodes than these; or end them, with what is under way."""
        connections, self.current = self.current, []
        for connection in connections:
            if connection.node in nodes:
                self.current.append(connection)
            else:
                self.retired.add(connection)
                connection.retire()
        if at_once:
            for connection in tuple(self.retired):
                if connection.node not in nodes:
                    connection.abort()

    def retire_late(self, connection: SharedConnection, now: float) -> None:
        """Retire one if an answer is late on it; one that is retired ends if it is done by now."""
        if connection in self.current and connection.is_late(now):
            self.current.remove(connection)
            self.retired.add(connection)
        if connection in self.retired:
            connection.retire()

    def lose(self, connection: SharedConnection) -> bool:
        """Forget one that has ended; say whether it took calls."""
        was_current = connection in self.current
        if was_current:
            self.current.remove(connection)
        self.retired.discard(connection)
        if not self.retired and self._emptied is not None:
            self._emptied.set()
        return was_current

    def deadlines(self) -> list[float]:
        """Return when the calls under way end, of those for which somebody has to look."""
        found = [call.deadline for connection in self.current for call in connection.pending]
        return found + [
            call.deadline for connection in self.retired for call in connection.pending if not call.answer.done()
        ]

    async def ended(self) -> None:
        """Return when all that are retired have ended."""
        if self.retired:
            self._emptied = self._emptied or asyncio.Event()
            await self._emptied.wait()

    def abort(self) -> None:
        """End those that are retired, now."""
        for connection in tuple(self.retired):
            connection.abort()
