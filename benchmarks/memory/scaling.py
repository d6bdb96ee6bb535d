"""A million waits: what each takes, and what looking one up costs beside a bare dict of the same size."""

import random
import statistics
from collections.abc import Sequence

from benchmarks.harness.measuring import Contestant, interleave, median_of, median_ratio
from benchmarks.harness.population import fill, fresh, make_ctx, make_scope
from benchmarks.harness.report import Row, Target
from greentic_session import InMemorySessionStore, ReplyScope, TenantCtx

__all__ = ["WAITS_A_USER", "measure_scaling"]

WAITS_A_USER = 10
SLOWDOWN_TARGET = 1.5


class _Pair:
    """A store and a bare dict that hold the same number of things, found by the same random numbers.

    The dict is given ``fresh(conversation)``, the store a fresh context, user and scope: whatever is looked up is built
    just before its block, equal to what is stored, another object, its hash not yet computed; for both alike.
    """

    def __init__(self, waits: int) -> None:
        self.waits = waits
        self.users = max(1, waits // WAITS_A_USER)
        self.store_name = f"find_wait, {waits:,} waits"
        self.dict_name = f"bare dict, {waits:,} items"
        self._store = InMemorySessionStore()
        self._dict: dict[str, object] = {}

    async def contestants(self) -> list[Contestant]:
        await fill(self._store, waits=self.waits, users=self.users)
        self._dict.update((make_scope(n).conversation, object()) for n in range(self.waits))
        place = self._place(self.waits - 1, 0)
        assert await self._store.find_wait(*place) is not None
        assert place[2].conversation in self._dict
        return [
            Contestant(name=self.store_name, pick=self._place, run=self._find),
            Contestant(name=self.dict_name, pick=self._key, run=self._look_up),
        ]

    def _place(self, number: int, _turn: int) -> tuple[TenantCtx, str, ReplyScope]:
        wait = number % self.waits
        ctx = make_ctx(wait % self.users)
        return ctx, str(ctx.user_id), make_scope(wait)

    def _key(self, number: int, _turn: int) -> str:
        return fresh(make_scope(number % self.waits).conversation)

    async def _find(self, places: Sequence[tuple[TenantCtx, str, ReplyScope]]) -> None:
        find = self._store.find_wait
        for ctx, user, scope in places:
            await find(ctx, user, scope)

    async def _look_up(self, keys: Sequence[str]) -> None:
        table = self._dict
        for key in keys:
            table[key]  # the look-up is the work


async def measure_scaling(*, few: int, many: int, lookups: int, rounds: int, block: int, seed: int) -> list[Row]:
    """Return how `find_wait` slows from `few` to `many` waits, divided by how a bare dict does."""
    numbers = random.Random(seed)
    order = [numbers.randrange(many) for _ in range(lookups)]
    small, large = _Pair(few), _Pair(many)
    lineup = await small.contestants() + await large.contestants()
    samples = await interleave(lineup, order, rounds=rounds, block=block)
    rows = [
        Row(
            measurement=f"find among {few:,} and {many:,}",
            contestant=name,
            value=median_of(spent, lambda each: each.us),
            unit="us",
        )
        for name, spent in samples.items()
    ]
    ours, bare = (
        [late.us / early.us for early, late in zip(samples[before], samples[after], strict=True)]
        for before, after in ((small.store_name, large.store_name), (small.dict_name, large.dict_name))
    )
    measurement = f"slowdown from {few:,} to {many:,}"
    rows += [
        Row(
            measurement=measurement,
            contestant="find_wait",
            value=statistics.median(ours),
            unit="x",
            ratio=median_ratio(ours, bare),
            ratio_of="x the dict's slowdown",
            target=Target("ratio", "max", SLOWDOWN_TARGET),
        ),
        Row(measurement=measurement, contestant="bare dict", value=statistics.median(bare), unit="x"),
    ]
    return rows
