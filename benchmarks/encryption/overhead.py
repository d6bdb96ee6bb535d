"""Overhead of encryption: the same calls on a plain and on an encrypted store."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.harness.measuring import Contestant, closed_loop, in_sequence, interleave
from benchmarks.harness.messages import PARTITION, make_message
from benchmarks.harness.population import SNAPSHOT, prepare_wait
from benchmarks.harness.report import Row, Target
from benchmarks.harness.results import time_rows
from benchmarks.harness.store import CALLS
from greentic_session import SessionStore
from greentic_session.conversation import ConversationStore, Message

__all__ = ["Overhead", "measure_conversations", "measure_sessions"]

_MAX_OVERHEAD_US = 30.0
"""Target for the processor time that encryption adds to a call of one task."""
_LAST = 20


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Measurement of an overhead.

    Attributes:
        order: Numbers of the calls of a round.
        rounds: Number of rounds that count.
        block: Number of calls in a turn.
        tasks: Number of tasks that call at once.
    """

    order: Sequence[int]
    rounds: int
    block: int
    tasks: int = 1

    async def measure(
        self, measurement: str, args: Sequence[Any], plain: Any, encrypted: Any, *, with_target: bool = True
    ) -> list[Row]:
        """Return three rows: plain, encrypted, and the difference of processor time.

        Args:
            measurement: Name of the measurement.
            args: Argument of each call.
            plain: Call on the plain store.
            encrypted: Call on the encrypted store.
            with_target: Whether the overhead has a target; with several tasks it has none.
        """
        pick = lambda n, _: args[n]
        run = in_sequence if self.tasks == 1 else partial(closed_loop, tasks=self.tasks)
        lineup = [
            Contestant(name="plain", pick=pick, run=run(plain)),
            Contestant(name="encrypted", pick=pick, run=run(encrypted)),
        ]
        samples = await interleave(lineup, self.order, rounds=self.rounds, block=self.block)
        pairs = zip(samples["plain"], samples["encrypted"], strict=True)
        overhead = Row(
            measurement=measurement,
            contestant="overhead, processor time",
            value=statistics.median(after.cpu_us_per_call - before.cpu_us_per_call for before, after in pairs),
            unit="us",
            target=Target("value", "max", _MAX_OVERHEAD_US) if self.tasks == 1 and with_target else None,
        )
        return [*time_rows(measurement, samples), overhead]


async def measure_sessions(backend: str, plain: SessionStore, encrypted: SessionStore, overhead: Overhead) -> list[Row]:
    """Return the overhead of each call of two session stores of the same kind."""
    waits = [prepare_wait(n, SNAPSHOT) for n in range(len(overhead.order))]
    for store in (plain, encrypted):
        for wait in waits:
            await CALLS["register_wait"](store, wait)
    first = waits[0]
    assert (await plain.get_session(first.key)) == (await encrypted.get_session(first.key)) == first.data
    rows: list[Row] = []
    for name, call in CALLS.items():
        calls = partial(call, plain), partial(call, encrypted)
        rows += await overhead.measure(f"{name} of 4 KiB, {backend}", waits, *calls)
    return rows


async def measure_conversations(
    plain: ConversationStore[Message], encrypted: ConversationStore[Message], overhead: Overhead
) -> list[Row]:
    """Return the overhead of an append and of a read of two conversation stores in memory."""
    message = make_message()
    ids = [f"conversation-{n}" for n in range(len(overhead.order))]

    def append(store: ConversationStore[Message]) -> Callable[[str], Awaitable[object]]:
        return lambda conversation: store.append(PARTITION, conversation, message)

    def last(store: ConversationStore[Message]) -> Callable[[str], Awaitable[object]]:
        return lambda conversation: store.messages(PARTITION, conversation, last=_LAST)

    for store in (plain, encrypted):
        for id in ids:
            await store.create(PARTITION, id=id)
            await store.append(PARTITION, id, *[message] * _LAST)
    rows = await overhead.measure("append of 1 KiB, memory", ids, append(plain), append(encrypted))
    measurement = f"the last {_LAST} messages of 1 KiB, memory"
    # Decrypting twenty texts has no target: the target is for one.
    return rows + await overhead.measure(measurement, ids, last(plain), last(encrypted), with_target=False)
