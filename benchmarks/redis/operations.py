"""Operations under load: 1 to 1,000 tasks, sessions of 512 bytes to 256 KiB, ours beside others."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from benchmarks.harness.measuring import interleave
from benchmarks.harness.population import USUAL_BYTES, make_snapshot_for
from benchmarks.harness.report import Row
from benchmarks.harness.results import Comparison, Result, compare, size_text, task_text
from benchmarks.harness.server import flush
from benchmarks.peers.catalogue import AIOGRAM
from benchmarks.peers.process import PeerFailedError, PeerProcess

from .ours import PLAIN_SET
from .pool import BARE_GET, GET_DECODE, SAME_COMMANDS
from .sides import Side

__all__ = ["Stage", "measure_operations"]

_BIG_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One operation under one load.

    Attributes:
        operation: Operation of our store.
        tasks: Number of tasks that call at once.
        size: Bytes of a session's text.
        users: Number of users, with a session each.
        block: Number of calls in a contestant's turn.
        blocks: Number of turns in a round.
        rounds: Number of rounds that count.
    """

    operation: str
    tasks: int
    size: int
    users: int
    block: int
    blocks: int
    rounds: int

    @property
    def measurement(self) -> str:
        return f"{self.operation}, {task_text(self.tasks)}, {size_text(self.size)}"


def _comparisons(stage: Stage) -> list[Comparison]:
    """Return the comparisons of our operation in this stage, with their targets."""
    operation, tasks = stage.operation, stage.tasks
    if operation == "update_session":
        limit = 2.5 if stage.size == USUAL_BYTES and tasks == 100 else None
        return [Comparison(beside=PLAIN_SET, limit=limit, of="time"), *_comparisons_of_big(stage)]
    if stage.size != USUAL_BYTES:
        return _comparisons_of_big(stage)
    match operation:
        case "find_wait" if tasks in (100, 1000):
            return [Comparison(beside=AIOGRAM.calls[operation], limit=5), Comparison(beside=SAME_COMMANDS, limit=3.5)]
        case "find_wait" if tasks == 1:
            return [Comparison(beside=BARE_GET, limit=1.2, of="time")]
        case "register_wait" if tasks in (100, 1000):
            return [Comparison(beside=AIOGRAM.calls[operation], limit=4)]
        case "claim_wait + complete" if tasks == 100:
            return [Comparison(beside=AIOGRAM.calls[operation], limit=6)]
        case "claim_wait + park" if tasks == 100:
            return [Comparison(beside=AIOGRAM.calls[operation], limit=4)]
        case "get_session" if tasks == 100:
            return [Comparison(beside=GET_DECODE, limit=4)]
        case _:
            return []


def _comparisons_of_big(stage: Stage) -> list[Comparison]:
    if stage.size != _BIG_BYTES or stage.operation == "claim_wait + park":  # the pool cannot replay that one
        return []
    return [Comparison(beside=GET_DECODE if stage.operation == "get_session" else SAME_COMMANDS, limit=0.9)]


class _Field:
    """Field of contestants: the sides, and the population that they have stored."""

    def __init__(self, sides: Sequence[Side], client: Redis, drop: Callable[[PeerFailedError], None]) -> None:
        self.sides = list(sides)
        self._client = client
        self._drop = drop
        self._stored: tuple[int, int] | None = None

    def drop(self, error: PeerFailedError) -> None:
        """Go on without a peer that failed."""
        self.sides = [side for side in self.sides if not (isinstance(side, PeerProcess) and side.peer is error.peer)]
        self._drop(error)

    async def fill(self, users: int, size: int) -> None:
        """Store sessions of this size for so many users, unless they are stored already."""
        if self._stored == (users, size):
            return
        self._stored = None
        await flush(self._client)
        snapshot = make_snapshot_for(size)
        for side in tuple(self.sides):
            try:
                await side.fill(users, snapshot)
            except PeerFailedError as error:
                self.drop(error)
        self._stored = (users, size)


async def measure_operations(
    stages: Sequence[Stage],
    sides: Sequence[Side],
    client: Redis,
    *,
    seed: int,
    tick: Callable[[], object],
    drop: Callable[[PeerFailedError], None],
) -> tuple[list[Row], list[Result]]:
    """Measure all stages; return the rows and the results behind them.

    Args:
        stages: Operations and loads.
        sides: Sides, ours first.
        client: Client that empties the server.
        seed: Seed of the order of the calls.
        tick: Called at the end of each round.
        drop: Called for a peer that failed; the run goes on without it.
    """
    field = _Field(sides, client, drop)
    rows: list[Row] = []
    results: list[Result] = []
    for stage in stages:
        await field.fill(stage.users, stage.size)
        measured: list[Result] | None = None
        while measured is None:
            try:
                measured = await _measure(stage, field.sides, seed, tick)
            except PeerFailedError as error:
                field.drop(error)
        rows += compare(stage.measurement, measured, _comparisons(stage))
        results += measured
    return rows, results


async def _measure(stage: Stage, sides: Sequence[Side], seed: int, tick: Callable[[], object]) -> list[Result]:
    users = list(range(stage.users))
    random.Random(seed).shuffle(users)
    calls = stage.block * stage.blocks
    order = (users * -(-calls // stage.users))[:calls]
    lineup = [contestant for side in sides for contestant in side.contestants(stage.operation, stage.tasks)]
    samples = await interleave(lineup, order, rounds=stage.rounds, block=stage.block, tick=tick)
    return [
        Result(operation=stage.operation, contestant=name, tasks=stage.tasks, size=stage.size, rounds=rounds)
        for name, rounds in samples.items()
    ]
