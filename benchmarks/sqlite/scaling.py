"""Many waits in one file: bytes for each, and the cost of a call beside a file with a thousand."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.population import make_ctx, make_data, make_key, make_scope
from benchmarks.harness.report import Row, Target
from benchmarks.harness.results import time_rows
from benchmarks.harness.samples import median_ratio, times_us
from benchmarks.harness.texts import ChangingTexts
from greentic_session import SessionStore, create_session_store

__all__ = ["measure_scaling"]

_FEW = 1000
_SNAPSHOT_BYTES = 512
_FILLING_TASKS = 500
_MAX_RATIOS = {"find_wait": 1.5, "register_wait": 1.7}
_STRIDE = 7919
"""A prime: the calls of a round are for users all over the file."""


class _Population:
    """A store with so many waits."""

    def __init__(self, path: Path, waits: int) -> None:
        self.path = path
        self.waits = waits
        self.store: SessionStore = create_session_store(f"sqlite:///{path}")
        self._texts = ChangingTexts(_SNAPSHOT_BYTES)

    async def fill(self) -> None:
        await closed_loop(self.register, _FILLING_TASKS)(range(self.waits))

    async def register(self, user: int) -> None:
        ctx = make_ctx(user)
        data = make_data(ctx, self._texts.next())
        await self.store.register_wait(ctx, f"user-{user}", make_scope(user), make_key(user), data)

    async def find(self, user: int) -> None:
        assert await self.store.find_wait(make_ctx(user), f"user-{user}", make_scope(user)) is not None

    def contestant(self, operation: str) -> Contestant:
        call = self.find if operation == "find_wait" else self.register
        return Contestant(
            name=f"{self.waits:,} waits", pick=lambda n, turn: (n + turn) * _STRIDE % self.waits, run=closed_loop(call, 1)
        )

    def bytes_per_wait(self) -> float:
        return sum(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*")) / self.waits


async def measure_scaling(directory: str, *, waits: int, calls: int, rounds: int, tick: Callable[[], object]) -> list[Row]:
    """Return the rows of a file with few waits and one with many.

    Args:
        directory: Directory of the files.
        waits: Number of waits of the second, each of another user.
        calls: Calls of a contestant in a round.
        rounds: Number of rounds that count.
        tick: Called after each round.
    """
    populations = [_Population(Path(directory, f"waits-{number}.sqlite"), number) for number in (_FEW, waits)]
    rows: list[Row] = []
    try:
        for population in populations:
            await population.fill()
        for operation, limit in _MAX_RATIOS.items():
            contestants = [population.contestant(operation) for population in populations]
            samples = await interleave(contestants, range(calls), rounds=rounds, block=calls, tick=tick)
            few, many = measured = time_rows(f"{operation}, 1 task, {_SNAPSHOT_BYTES} B", samples)
            many.ratio = median_ratio(times_us(samples[many.contestant]), times_us(samples[few.contestant]))
            many.ratio_of = "x the time of the first"
            many.set_target(Target("ratio", "max", limit))
            rows += measured
    finally:
        for population in populations:
            await population.store.aclose()
    for population in populations:
        rows.append(
            Row(
                measurement=f"bytes of a wait with {_SNAPSHOT_BYTES} B",
                contestant=f"{population.waits:,} waits",
                value=population.bytes_per_wait(),
                unit="B",
            )
        )
    return rows
