"""Sides of a comparison in Redis: the same operations for the same users and snapshots."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.harness.measuring import Contestant, closed_loop

__all__ = ["PREPARING_TASKS", "Call", "Side"]

PREPARING_TASKS = 50
"""Tasks that call at once where nothing is timed."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One way of doing an operation in this process.

    Attributes:
        name: Name of the contestant in the table.
        make: Makes the call with the argument that `pick` returned.
        pick: Returns the argument for a user; not timed.
        prepare: Stores what the call needs and removes; not timed.
    """

    name: str
    make: Callable[[Any], Awaitable[object]]
    pick: Callable[[int], Any]
    prepare: Callable[[Any], Awaitable[object]] | None = None

    def contestant(self, tasks: int) -> Contestant:
        pick, prepare = self.pick, self.prepare

        async def prepare_all(args: Sequence[Any]) -> None:
            if prepare is not None:
                await closed_loop(prepare, PREPARING_TASKS)(args)

        return Contestant(
            name=self.name, pick=lambda user, _: pick(user), run=closed_loop(self.make, tasks), prepare=prepare_all
        )


class Side(Protocol):
    """Library that keeps the sessions of users in the server."""

    @abstractmethod
    async def fill(self, users: int, snapshot: str) -> None:
        """Store a session with this snapshot for each user, in an empty server."""

    @abstractmethod
    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        """Return the ways of doing an operation; none if nothing of the library compares."""
