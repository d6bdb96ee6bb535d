"""The operations, with one task to a thousand, on sessions of 512 bytes to 256 KiB; ours beside the others."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from benchmarks.harness.measuring import interleave
from benchmarks.harness.population import make_snapshot_for
from benchmarks.harness.report import Row
from benchmarks.harness.results import Aim, Cell, rows_of, size_text
from benchmarks.harness.server import empty
from benchmarks.peers.catalogue import AIOGRAM
from benchmarks.peers.process import PeerFailedError, PeerProcess

from .ours import PLAIN_SET
from .pool import BARE_GET, GET_DECODE, SAME_COMMANDS
from .sides import Side

__all__ = ["USUAL", "Stage", "measure_operations"]

USUAL = 4096
"""The bytes of a session's text, unless said otherwise."""
BIG = 65_536


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run: an operation, by so many tasks at once, on sessions of one size.

    Attributes:
        operation: One of `OPERATIONS`.
        tasks: How many call at once.
        size: The bytes of a session's text.
        users: How many have a session.
        block: How many calls a contestant makes before it is another's turn.
        blocks: How many of them there are in a round.
        rounds: How many rounds count.
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
        return f"{self.operation}, {self.tasks:,} task{'s' * (self.tasks > 1)}, {size_text(self.size)}"


def aims_of(stage: Stage) -> list[Aim]:
    """Return what our operation is held to in this stage."""
    operation, tasks = stage.operation, stage.tasks
    if operation == "update_session":
        limit = 2.5 if stage.size == USUAL and tasks == 100 else None
        return [Aim(beside=PLAIN_SET, limit=limit, of="time"), *_big_aims(stage)]
    if stage.size != USUAL:
        return _big_aims(stage)
    match operation:
        case "find_wait" if tasks in (100, 1000):
            return [Aim(beside=AIOGRAM.calls[operation], limit=5), Aim(beside=SAME_COMMANDS, limit=3.5)]
        case "find_wait" if tasks == 1:
            return [Aim(beside=BARE_GET, limit=1.2, of="time")]
        case "register_wait" if tasks in (100, 1000):
            return [Aim(beside=AIOGRAM.calls[operation], limit=4)]
        case "claim_wait + complete" if tasks == 100:
            return [Aim(beside=AIOGRAM.calls[operation], limit=6)]
        case "get_session" if tasks == 100:
            return [Aim(beside=GET_DECODE, limit=4)]
        case _:
            return []


def _big_aims(stage: Stage) -> list[Aim]:
    if stage.size != BIG:
        return []
    return [Aim(beside=GET_DECODE if stage.operation == "get_session" else SAME_COMMANDS, limit=0.9)]


class _Field:
    """The sides, and what is stored: one population at a time."""

    def __init__(self, sides: Sequence[Side], client: Redis, lose: Callable[[PeerFailedError], None]) -> None:
        self.sides = list(sides)
        self._client = client
        self._lose = lose
        self._stored: tuple[int, int] | None = None

    def drop(self, error: PeerFailedError) -> None:
        """Go on without a peer that failed."""
        self.sides = [side for side in self.sides if not (isinstance(side, PeerProcess) and side.peer is error.peer)]
        self._lose(error)

    async def fill(self, users: int, size: int) -> None:
        if self._stored == (users, size):
            return
        self._stored = None
        await empty(self._client)
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
    lose: Callable[[PeerFailedError], None],
) -> tuple[list[Row], list[Cell]]:
    """Return the rows of all stages, and the figures behind them.

    Args:
        stages: What to measure.
        sides: Ours first.
        client: For emptying the server.
        seed: Of the order of the calls.
        tick: Called at the end of each round.
        lose: Told of a peer that failed; the run goes on without it.
    """
    field = _Field(sides, client, lose)
    rows: list[Row] = []
    cells: list[Cell] = []
    for stage in stages:
        await field.fill(stage.users, stage.size)
        found: list[Cell] | None = None
        while found is None:
            try:
                found = await _measure(stage, field.sides, seed, tick)
            except PeerFailedError as error:
                field.drop(error)
        rows += rows_of(stage.measurement, found, aims_of(stage))
        cells += found
    return rows, cells


async def _measure(stage: Stage, sides: Sequence[Side], seed: int, tick: Callable[[], object]) -> list[Cell]:
    users = list(range(stage.users))
    random.Random(seed).shuffle(users)
    calls = stage.block * stage.blocks
    order = (users * -(-calls // stage.users))[:calls]
    lineup = [contestant for side in sides for contestant in side.contestants(stage.operation, stage.tasks)]
    samples = await interleave(lineup, order, rounds=stage.rounds, block=stage.block, tick=tick)
    return [
        Cell(operation=stage.operation, contestant=name, tasks=stage.tasks, size=stage.size, rounds=rounds)
        for name, rounds in samples.items()
    ]
