"""Operations with 1 to 1,000 tasks: our store, langgraph's, openai-agents', and a bare INSERT.

All contestants are processes, have a file of their own, and write it with ``synchronous=FULL``.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.harness.measuring import Contestant, interleave
from benchmarks.harness.population import USUAL_BYTES
from benchmarks.harness.report import Row
from benchmarks.harness.results import Comparison, Result, compare, size_text, task_text
from benchmarks.peers.catalogue import OURS_ON_SQLITE, SQLITE_PEERS
from benchmarks.peers.process import PeerFailedError, PeerProcess

__all__ = ["Stage", "measure_operations", "stages_of"]

_LANGGRAPH, _OPENAI = SQLITE_PEERS
_BARE = OURS_ON_SQLITE.calls["insert"]
_MAX_BARE_RATIO = 1.3
_MIN_DELAYED_RATIO = 20.0
_CHARGED_TASKS = 100
"""The number of tasks for which there are targets."""
_SETTLING_CALLS = 20
_MAX_BLOCKS = 8
_MIN_RATIOS = {
    ("register_wait", _LANGGRAPH.name): 5.0,
    ("register_wait", _OPENAI.name): 7.0,
    ("find_wait", _LANGGRAPH.name): 10.0,
    ("find_wait", _OPENAI.name): 5.0,
    ("append", _OPENAI.name): 7.0,
}
"""By operation and peer, the target for our speed divided by that of the peer."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One operation under one load.

    Attributes:
        operation: Name of the operation.
        tasks: Number of tasks that call at once.
        users: Number of users, or of conversations.
        block: Number of calls in a turn.
        rounds: Number of rounds that count, of one block each.
        delayed: Whether a sync takes 1 ms longer.
    """

    operation: str
    tasks: int
    users: int
    block: int
    rounds: int
    delayed: bool = False

    @property
    def measurement(self) -> str:
        """The name of the measurement."""
        end = ", sync 1 ms longer" if self.delayed else ""
        return f"{self.operation}, {task_text(self.tasks)}, {size_text(USUAL_BYTES)}{end}"

    def comparisons(self) -> list[Comparison]:
        """Return what ours is compared with, and the targets."""
        if self.delayed:
            return [
                Comparison(beside=peer.calls[self.operation], limit=_MIN_DELAYED_RATIO)
                for peer in SQLITE_PEERS
                if self.operation in peer.calls
            ]
        if self.tasks == _CHARGED_TASKS:
            return [
                Comparison(beside=peer.calls[self.operation], limit=_MIN_RATIOS[self.operation, peer.name])
                for peer in SQLITE_PEERS
                if self.operation in peer.calls
            ]
        if self.tasks == 1 and self.operation == "register_wait":
            return [Comparison(beside=_BARE, limit=_MAX_BARE_RATIO, of="time")]
        return []


def stages_of(tasks: Sequence[int], users: int, calls: int, rounds: int) -> list[Stage]:
    """Return the stages of a run.

    Args:
        tasks: Numbers of tasks that call at once.
        users: Number of users, and of conversations.
        calls: Calls of one task in a round; of many tasks more, so that all of them work most of
            the time, and the start of a round counts little.
        rounds: Number of rounds that count.
    """

    def stage(operation: str, count: int) -> Stage:
        block = max(calls, min(_SETTLING_CALLS * count, calls * _MAX_BLOCKS), 4 * count)
        return Stage(operation=operation, tasks=count, users=users, block=block, rounds=rounds)

    stages = [stage(operation, count) for operation in ("register_wait", "find_wait") for count in tasks]
    charged = stage("append", _CHARGED_TASKS)
    return [
        *stages,
        replace(charged, users=_CHARGED_TASKS),
        replace(charged, operation="register_wait", block=max(calls, 4 * _CHARGED_TASKS), delayed=True),
    ]


async def measure_operations(
    stages: Sequence[Stage],
    sides: Sequence[PeerProcess],
    *,
    seed: int,
    tick: Callable[[], object],
    drop: Callable[[PeerFailedError], None],
) -> list[Row]:
    """Measure stages; return the rows.

    Args:
        stages: Operations and loads.
        sides: Filled processes, ours first.
        seed: Seed of the order of the calls.
        tick: Called at the end of each round.
        drop: Called for a peer that failed; the run goes on without it.
    """
    rows: list[Row] = []
    left = list(sides)
    for stage in stages:
        measured: list[Result] | None = None
        while measured is None:
            try:
                measured = await _measure(stage, left, seed, tick)
            except PeerFailedError as error:
                if error.peer is OURS_ON_SQLITE:
                    raise
                left = [side for side in left if side.peer is not error.peer]
                drop(error)
        rows += compare(stage.measurement, measured, stage.comparisons())
    return rows


async def _measure(stage: Stage, sides: Sequence[PeerProcess], seed: int, tick: Callable[[], object]) -> list[Result]:
    users = list(range(stage.users))
    random.Random(seed).shuffle(users)
    order = (users * -(-stage.block // stage.users))[: stage.block]
    lineup = [contestant for side in sides for contestant in side.contestants(stage.operation, stage.tasks)]
    if stage.operation == "register_wait" and not stage.delayed:
        lineup += _bare(sides[0], stage)
    samples = await interleave(lineup, order, rounds=stage.rounds, block=stage.block, tick=tick)
    return [
        Result(operation=stage.operation, contestant=name, tasks=stage.tasks, size=USUAL_BYTES, rounds=rounds)
        for name, rounds in samples.items()
    ]


def _bare(ours: PeerProcess, stage: Stage) -> list[Contestant]:
    return ours.contestants("insert", stage.tasks) if stage.tasks == 1 else []
