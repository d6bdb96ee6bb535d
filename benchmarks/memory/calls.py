"""Calls of the in-memory store, beside aiogram's on the same payload.

Calls follow a shuffled order of the users. `contestants` and `aiogram_storage` make the calls.
"""

import random
import statistics
from collections.abc import Sequence

from benchmarks.harness.measuring import Contestant, interleave
from benchmarks.harness.population import make_full_scope, make_scope
from benchmarks.harness.report import Row, Target
from benchmarks.harness.samples import median_ratio, times_us
from greentic_session import ReplyScope

from .contestants import WAITS_LISTED, Listing, Reading, Writing, register, register_with_ttl
from .peer import Peer

__all__ = ["measure_calls"]

_FEW_USERS = 100
_FEW_USERS_ROUNDS_FACTOR = 4
_MIN_READ_RATIO = 1.0
_MIN_WRITE_RATIO = 0.2
_WITH_TARGET = {"get_session", "find_wait", "register_wait"}
"""Contestants with a target: none for waits with a TTL, which aiogram's MemoryStorage lacks."""


class _Measurements:
    """Measurements with the same order of calls; collects their rows."""

    def __init__(self, order: Sequence[int], rounds: int, block: int) -> None:
        self._order = order
        self._rounds = rounds
        self._block = block
        self.rows: list[Row] = []

    async def measure(
        self,
        measurement: str,
        ours: Sequence[Contestant],
        peer: Contestant | None = None,
        min_ratio: float | None = None,
    ) -> None:
        """Measure our contestants beside a peer's, and add a row for each."""
        lineup = [*ours, peer] if peer else ours
        samples = await interleave(lineup, self._order, rounds=self._rounds, block=self._block)
        for contestant in lineup:
            times = times_us(samples[contestant.name])
            beside = times_us(samples[peer.name]) if peer and contestant is not peer else None
            has_target = min_ratio is not None and contestant.name in _WITH_TARGET
            self.rows.append(
                Row(
                    measurement=measurement,
                    contestant=contestant.name,
                    value=statistics.median(times),
                    unit="us",
                    ratio=median_ratio(beside, times) if beside else None,
                    ratio_of="x aiogram's speed" if beside else None,
                    target=Target("ratio", "min", min_ratio) if has_target and min_ratio is not None else None,
                )
            )


def _other_correlation(scope: ReplyScope) -> ReplyScope:
    return ReplyScope(scope.conversation, correlation="c-1")


def _other_thread(scope: ReplyScope) -> ReplyScope:
    return ReplyScope(scope.conversation, "elsewhere")


async def measure_calls(*, peer: Peer | None, users: int, rounds: int, block: int, seed: int) -> list[Row]:
    """Return a row for each call, with its target if it has one."""
    order = list(range(users))
    random.Random(seed).shuffle(order)
    all_users = _Measurements(order, rounds, block)
    read, write_new, write_again = (peer.read, peer.write_new, peer.write_again) if peer else (None, None, None)

    reading = await Reading(users).fill()
    full = await Reading(users, make_full_scope).fill()
    await all_users.measure("read by key", [reading.get(), reading.get_with_ctx()], read, _MIN_READ_RATIO)
    finds = [
        reading.find("find_wait"),
        full.find("find_wait, scope of four parts"),
        reading.find_by_fallback("find_wait, by the fallback", _other_correlation),
        reading.find("find_wait, nothing there", _other_thread),
    ]
    await all_users.measure("find by scope", finds, read, _MIN_READ_RATIO)

    variants = (
        ("register_wait", register, make_scope),
        ("register_wait, with a TTL", register_with_ttl, make_scope),
        ("register_wait, scope of four parts", register, make_full_scope),
    )
    new = [Writing(name, users, register, make).new() for name, register, make in variants]
    await all_users.measure("park a new session", new, write_new, _MIN_WRITE_RATIO)
    again = [await Writing(name, users, register, make).again() for name, register, make in variants]
    await all_users.measure("park a session again", again, write_again, _MIN_WRITE_RATIO)
    # Data of so few users stays in the processor's caches, which favours aiogram's short code.
    few_users = _Measurements([n for n in order if n < _FEW_USERS], _FEW_USERS_ROUNDS_FACTOR * rounds, block)
    await few_users.measure(f"park again, {_FEW_USERS} users", again, write_again, _MIN_WRITE_RATIO)

    others = _Measurements(order, rounds, block)
    await others.measure("change a snapshot", [reading.update()])
    await others.measure("resume and finish", [reading.claim()])
    listing = await Listing(users).fill()
    await others.measure(f"list {WAITS_LISTED} waits of a user", [listing.contestant()])
    await others.measure("JSON there and back", [reading.to_and_from_json()])
    return [*all_users.rows, *few_users.rows, *others.rows]
