"""Plan of a run: its parts, and the number of users, tasks, calls and rounds."""

from collections.abc import Collection

from benchmarks.harness.population import USUAL_BYTES
from benchmarks.harness.sizes import Sizes, usual

from . import session_json
from .operations import Stage

__all__ = ["PARTS", "Scale", "count_rounds", "stages_of"]

_OPERATIONS = {
    "find": "find_wait",
    "get": "get_session",
    "register": "register_wait",
    "update": "update_session",
    "claim": "claim_wait + complete",
    "turn": "claim_wait + park",
}
PARTS = (*_OPERATIONS, "sizes", "waits", "steps", "json")
"""Parts that ``--only`` chooses from."""
_CLAIMING = ("claim", "turn")
_CHARTED = ("find", "register")
"""Parts that are drawn over all numbers of tasks and all sizes."""

_MAX_CLAIMING_TASKS = 100
"""With more tasks each would make a call or two: a wait can be claimed once."""
_SIZES_TASKS = 100
_MIN_BLOCK_CALLS = 100
_SETTLING_CALLS = 40
"""Calls of each task in a block, unless that makes too many."""


class Scale(Sizes):
    """Scale of a run.

    Attributes:
        users: Number of users with sessions of the usual size.
        min_users: Least number of users with larger sessions, which must fit into memory.
        rounds: Rounds of each measurement.
        sized_rounds: Rounds of each measurement with another size than the usual one.
        tasks: Numbers of tasks that call at once, for operations that are charted.
        table_tasks: The same for the other operations.
        sizes: Bytes of a session's text beside the usual size, for operations that are charted.
        table_sizes: The same for the other operations.
        calls: Calls of a contestant in a round, about; more where there are many tasks.
        steady_calls: Calls in a block where many tasks call; see `block_of`.
        min_calls_per_task: Least number of calls of each task in a block, on average.
        waits_calls: Calls of a contestant in a round of the part ``waits``.
        step_calls: Calls of a step in a round of the part ``steps``.
        json_calls: Calls in a round of the part ``json``.
    """

    users: int = usual(2000, quick=100)
    min_users: int = usual(200, quick=100)
    rounds: int = usual(7, quick=2)
    sized_rounds: int = usual(5, quick=2)
    tasks: tuple[int, ...] = usual((1, 3, 10, 30, 100, 300, 1000), quick=(1, 10, 100, 1000))
    table_tasks: tuple[int, ...] = usual((1, 100, 1000), quick=(1, 100))
    sizes: tuple[int, ...] = usual((512, 16_384, 65_536, 262_144), quick=(512, 65_536))
    table_sizes: tuple[int, ...] = (512, 65_536)
    calls: int = usual(1000, quick=100)
    steady_calls: int = usual(4000, quick=400)
    min_calls_per_task: int = usual(8, quick=1)
    waits_calls: int = usual(40, quick=3)
    step_calls: int = usual(4000, quick=200)
    json_calls: int = usual(1000, quick=50)

    def users_of(self, size: int) -> int:
        """Return the number of users with sessions of this size."""
        return max(min(self.users, self.users * USUAL_BYTES // size), self.min_users)

    def block_of(self, tasks: int, size: int) -> int:
        """Return the number of calls in a turn.

        At the start of a block all tasks send at once and the server is idle; then they wait and it
        works. Only after some calls of each task both work all the time, as in a service. In a
        block that is too short this start counts most, and most for the fastest contestant.
        """
        usual = max(self.steady_calls * 2 * USUAL_BYTES // max(size, 2 * USUAL_BYTES), self.steady_calls // 8)
        return max(_MIN_BLOCK_CALLS, min(_SETTLING_CALLS * tasks, usual), self.min_calls_per_task * tasks)


def stages_of(parts: Collection[str], scale: Scale) -> list[Stage]:
    """Return the stages of the operations, those of the usual size first."""
    stages = [
        _stage(part, tasks, USUAL_BYTES, scale)
        for part in _OPERATIONS
        if part in parts
        for tasks in (scale.tasks if part in _CHARTED else scale.table_tasks)
        if part not in _CLAIMING or tasks <= _MAX_CLAIMING_TASKS
    ]
    if "sizes" in parts:
        stages += [
            _stage(part, _SIZES_TASKS, size, scale)
            for size in scale.sizes
            for part in _OPERATIONS
            if part in _CHARTED or size in scale.table_sizes
        ]
    return stages


def _stage(part: str, tasks: int, size: int, scale: Scale) -> Stage:
    users = scale.users_of(size)
    block = scale.block_of(tasks, size)
    if part in _CLAIMING:
        block = min(block, users)  # a wait can be claimed once: no user twice in a block
    return Stage(
        operation=_OPERATIONS[part],
        tasks=tasks,
        size=size,
        users=users,
        block=block,
        blocks=max(1, scale.calls // block),
        rounds=scale.rounds if size == USUAL_BYTES else scale.sized_rounds,
    )


def count_rounds(parts: Collection[str], scale: Scale) -> int:
    """Return the number of all rounds, warming up included: the length of the progress bar."""
    staged = sum(stage.rounds + 1 for stage in stages_of(parts, scale))
    others = ("waits" in parts) + ("steps" in parts) + len(session_json.SIZES) * ("json" in parts)
    return staged + others * (scale.rounds + 1)
