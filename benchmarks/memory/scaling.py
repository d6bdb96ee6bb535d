"""Scaling: time of `find_wait` among a thousand and a million waits, beside a bare dict."""

import random
import statistics
from collections.abc import Sequence

from benchmarks.harness.measuring import Contestant, interleave
from benchmarks.harness.population import fill, make_ctx, make_scope, new_string
from benchmarks.harness.report import Row, Target
from benchmarks.harness.samples import median_of, median_ratio
from greentic_session import InMemorySessionStore, ReplyScope, TenantCtx

__all__ = ["WAITS_PER_USER", "measure_scaling"]

WAITS_PER_USER = 10
_MAX_SLOWDOWN_RATIO = 1.5


class _Pair:
    """Store and bare dict with the same number of entries, read by the same random numbers.

    Arguments are built just before their block, equal to what is stored: a new context, user and
    scope for the store, a new string for the dict. Their hashes are not yet computed.
    """

    def __init__(self, waits: int) -> None:
        self.waits = waits
        self.users = max(1, waits // WAITS_PER_USER)
        self.store_name = f"find_wait, {waits:,} waits"
        self.dict_name = f"bare dict, {waits:,} items"
        self._store = InMemorySessionStore()
        self._dict: dict[str, object] = {}

    async def contestants(self) -> list[Contestant]:
        await fill(self._store, waits=self.waits, users=self.users)
        self._dict.update((make_scope(n).conversation, object()) for n in range(self.waits))
        lookup = self._pick_lookup(self.waits - 1, 0)
        assert await self._store.find_wait(*lookup) is not None
        assert lookup[2].conversation in self._dict
        return [
            Contestant(name=self.store_name, pick=self._pick_lookup, run=self._find),
            Contestant(name=self.dict_name, pick=self._pick_key, run=self._read_dict),
        ]

    def _pick_lookup(self, number: int, _turn: int) -> tuple[TenantCtx, str, ReplyScope]:
        wait = number % self.waits
        ctx = make_ctx(wait % self.users)
        return ctx, str(ctx.user_id), make_scope(wait)

    def _pick_key(self, number: int, _turn: int) -> str:
        return new_string(make_scope(number % self.waits).conversation)

    async def _find(self, lookups: Sequence[tuple[TenantCtx, str, ReplyScope]]) -> None:
        find = self._store.find_wait
        for ctx, user, scope in lookups:
            await find(ctx, user, scope)

    async def _read_dict(self, keys: Sequence[str]) -> None:
        table = self._dict
        for key in keys:
            table[key]  # the read is the work


async def measure_scaling(*, few: int, many: int, lookups: int, rounds: int, block: int, seed: int) -> list[Row]:
    """Return the slowdown of `find_wait` from `few` to `many` waits, divided by that of a dict."""
    numbers = random.Random(seed)
    order = [numbers.randrange(many) for _ in range(lookups)]
    small, large = _Pair(few), _Pair(many)
    lineup = await small.contestants() + await large.contestants()
    samples = await interleave(lineup, order, rounds=rounds, block=block)
    rows = [
        Row(
            measurement=f"find among {few:,} and {many:,}",
            contestant=name,
            value=median_of(sample, lambda each: each.us_per_call),
            unit="us",
        )
        for name, sample in samples.items()
    ]
    ours, bare = (
        [
            after.us_per_call / before.us_per_call
            for before, after in zip(samples[name_of_small], samples[name_of_large], strict=True)
        ]
        for name_of_small, name_of_large in ((small.store_name, large.store_name), (small.dict_name, large.dict_name))
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
            target=Target("ratio", "max", _MAX_SLOWDOWN_RATIO),
        ),
        Row(measurement=measurement, contestant="bare dict", value=statistics.median(bare), unit="x"),
    ]
    return rows
