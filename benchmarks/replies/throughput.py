"""Deliveries that claim and complete, beside plain claims that do, with 100 tasks at once."""

import random
from collections.abc import Callable, Sequence

from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.population import USUAL_BYTES, PreparedWait, make_snapshot_for, prepare_wait
from benchmarks.harness.report import Row
from benchmarks.harness.results import Comparison, Result, compare
from greentic_session import SessionStore

from .stores import Place

__all__ = ["measure_throughput"]

_TASKS = 100
_MIN_RATIO = 0.8
_PLAIN, _DELIVERY = "claim_wait + complete", "deliver + complete"


async def measure_throughput(place: Place, *, users: int, rounds: int, seed: int, tick: Callable[[], object]) -> list[Row]:
    """Return a row for each of the two ways to get a claim."""
    snapshot = make_snapshot_for(USUAL_BYTES)
    waits = [prepare_wait(user, snapshot) for user in range(users)]
    order = list(range(users))
    random.Random(seed).shuffle(order)
    async with place.store() as store:

        async def plain(wait: PreparedWait) -> None:
            claim = await store.claim_wait(wait.ctx, wait.user, wait.scope)
            assert claim is not None
            await claim.complete()

        async def delivered(wait: PreparedWait) -> None:
            delivery = await store.deliver(wait.ctx, wait.user, wait.scope, "yes")
            assert delivery.claim is not None
            await delivery.claim.complete()

        async def park(args: Sequence[PreparedWait]) -> None:
            await _park(store, args)

        lineup = [
            Contestant(name=name, pick=lambda n, _: waits[n], run=closed_loop(call, _TASKS), prepare=park)
            for name, call in ((_DELIVERY, delivered), (_PLAIN, plain))
        ]
        samples = await interleave(lineup, order, rounds=rounds, block=min(users, 10 * _TASKS), tick=tick)
    results = [
        Result(operation=name, contestant=name, tasks=_TASKS, size=USUAL_BYTES, rounds=taken)
        for name, taken in samples.items()
    ]
    return compare(f"{place.backend}: a claim, {_TASKS} tasks", results, [Comparison(beside=_PLAIN, limit=_MIN_RATIO)])


async def _park(store: SessionStore, waits: Sequence[PreparedWait]) -> None:
    for wait in waits:
        await store.register_wait(*wait, 3600)
