"""What stands side by side in the Redis benchmark, and how: some operations, each on the same users and snapshots."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from benchmarks.harness.measuring import Contestant, closed_loop
from benchmarks.harness.population import make_ctx, make_data, make_key, make_scope
from greentic_session import ReplyScope, SessionData, TenantCtx

__all__ = ["OPERATIONS", "Call", "Parked", "Side", "make_parked"]

OPERATIONS = ("find_wait", "get_session", "register_wait", "update_session", "claim_wait + complete")
"""The operations that are measured with many tasks; every name is that of our contestant too."""

PREPARING_TASKS = 50


class Parked(NamedTuple):
    """A wait: what is registered, and what looks it up."""

    ctx: TenantCtx
    user: str
    scope: ReplyScope
    key: str
    data: SessionData


def make_parked(user: int, snapshot: str) -> Parked:
    """Return the wait of a user; every time of objects of its own, as an answer that comes in would make them."""
    ctx = make_ctx(user)
    return Parked(ctx, f"user-{user}", make_scope(user), make_key(user), make_data(ctx, snapshot))


@dataclass(frozen=True, kw_only=True)
class Call:
    """One way of doing an operation in this process.

    Attributes:
        name: The contestant's name in the table.
        make: Does it for what `pick` returned.
        pick: Returns its arguments for a user; not timed.
        prepare: Brings about what the call needs and uses up; not timed.
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
    """Somebody who keeps the sessions of users in the server."""

    @abstractmethod
    async def fill(self, users: int, snapshot: str) -> None:
        """Store a session with this snapshot for each user, in an empty server."""

    @abstractmethod
    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        """Return the ways of doing an operation; none where it has nothing that compares."""
