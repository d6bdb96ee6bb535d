"""How much is measured, and in which parts."""

from collections.abc import Collection
from dataclasses import dataclass

from .operations import USUAL, Stage
from .steps import JSON_SIZES

__all__ = ["PARTS", "Scale", "stages_of", "steps_of"]

OPERATION_OF = {
    "find": "find_wait",
    "get": "get_session",
    "register": "register_wait",
    "update": "update_session",
    "claim": "claim_wait + complete",
}
PARTS = (*OPERATION_OF, "sizes", "waits", "steps", "json")
"""What ``--only`` chooses from."""

MOST_CLAIMING = 100
"""How many tasks claim at once: with more, each would have a call or two."""

LEAST = 100
SETTLING = 40
"""Calls of each task in a block, if they are not too many altogether."""

SWEPT = ("find", "register")
"""The operations that are drawn over tasks and sizes."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much.

    Attributes:
        users: How many have a session, of the usual size.
        sized_users: The least number that have one of a larger size: together they are not to fill the memory.
        rounds: How often each contestant has its turn in each measurement.
        sized_rounds: The same for other sizes than the usual one.
        tasks: How many tasks call at once, for the charts.
        table_tasks: The same for operations that are in the table only.
        sizes: The bytes of a session's text, besides the usual ones.
        table_sizes: The same for operations that are in the table only.
        calls: Calls of a contestant in a round, about; more where there are many tasks.
        steady: Calls before it is another's turn, where many tasks call; see `block_of`.
        each: Calls of each task in a block at least, on average.
        waits_calls: Calls of a contestant in a round where a user has many waits.
        step_calls: Calls of a step of find_wait in a round.
        json_calls: Sessions to JSON and back in a round.
    """

    users: int = 2000
    sized_users: int = 200
    rounds: int = 7
    sized_rounds: int = 5
    tasks: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    table_tasks: tuple[int, ...] = (1, 100, 1000)
    sizes: tuple[int, ...] = (512, 16_384, 65_536, 262_144)
    table_sizes: tuple[int, ...] = (512, 65_536)
    calls: int = 1000
    steady: int = 4000
    each: int = 8
    waits_calls: int = 40
    step_calls: int = 4000
    json_calls: int = 1000

    def users_of(self, size: int) -> int:
        """Return how many users have a session of this size."""
        return max(min(self.users, self.users * USUAL // size), self.sized_users)

    def block_of(self, tasks: int, size: int) -> int:
        """Return how many calls a contestant makes before it is another's turn.

        Where many tasks call, a block begins with all of them sending at once and the server waiting, then the other way
        round; only after some turns are both at work all the time, as in a service. A block that is too short measures that
        beginning, and the faster a contestant, the more of it.
        """
        steady = min(SETTLING * tasks, max(self.steady * 2 * USUAL // max(size, 2 * USUAL), self.steady // 8))
        return max(LEAST, steady, self.each * tasks)

    @classmethod
    def quick(cls) -> "Scale":
        """Return one to see that everything runs."""
        return cls(
            users=100,
            sized_users=100,
            rounds=2,
            sized_rounds=2,
            tasks=(1, 10, 100, 1000),
            table_tasks=(1, 100),
            sizes=(512, 65_536),
            calls=100,
            steady=400,
            each=1,
            waits_calls=3,
            step_calls=200,
            json_calls=50,
        )


def stages_of(parts: Collection[str], scale: Scale) -> list[Stage]:
    """Return the runs of the operations, those of the usual size first."""
    stages = [
        _stage(part, tasks, USUAL, scale)
        for part in OPERATION_OF
        if part in parts
        for tasks in (scale.tasks if part in SWEPT else scale.table_tasks)
        if part != "claim" or tasks <= MOST_CLAIMING
    ]
    if "sizes" in parts:
        stages += [
            _stage(part, 100, size, scale)
            for size in scale.sizes
            for part in OPERATION_OF
            if part in SWEPT or size in scale.table_sizes
        ]
    return stages


def _stage(part: str, tasks: int, size: int, scale: Scale) -> Stage:
    users = scale.users_of(size)
    block = scale.block_of(tasks, size)
    if part == "claim":
        block = min(block, users)  # a wait can be claimed once: no user twice in a block
    return Stage(
        operation=OPERATION_OF[part],
        tasks=tasks,
        size=size,
        users=users,
        block=block,
        blocks=max(1, scale.calls // block),
        rounds=scale.rounds if size == USUAL else scale.sized_rounds,
    )


def steps_of(parts: Collection[str], scale: Scale) -> int:
    """Return how many rounds there are, warming up included: the length of the progress bar."""
    stages = sum(stage.rounds + 1 for stage in stages_of(parts, scale))
    others = ("waits" in parts) + ("steps" in parts) + len(JSON_SIZES) * ("json" in parts)
    return stages + others * (scale.rounds + 1)
