"""What it costs that a conversation is long.

One task, and the same calls on a long and on a short one of the same partition.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.measuring import Contestant, Samples, closed_loop, interleave, median_of, median_ratio, times
from benchmarks.harness.report import Row, Target
from greentic_session.conversation import Conversation, ConversationStore, Message

from .backends import PARTITION, append_many, fill_partition, make_message, text_of

__all__ = ["APPEND_TARGET", "LAST_TARGET", "CallLengths", "beside", "measure_lengths"]

APPEND_TARGET = 1.2
LAST_TARGET = 2.0
LONG, SHORT, TWENTY = "the long one", "the short one", "one of twenty"
BARE = "bare write and fsync, in no thread"
FEW = 10
LAST = 20
PAGE = 50


@dataclass(frozen=True, kw_only=True)
class CallLengths:
    """How much.

    Attributes:
        many: The messages of the long conversation, before what is measured is added.
        partition: How many conversations the partition has, the long one among them.
        rounds: How often each has its turn.
        calls: Calls of each in a round.
        append_block: Appends of each before it is another's turn: so many are added to the short
            conversation, too, until it is made anew.
        read_block: Calls of each before it is another's turn.
    """

    many: int
    partition: int
    rounds: int
    calls: int
    append_block: int
    read_block: int

    @property
    def steps(self) -> int:
        """How many rounds one backend has, warming up included."""
        return 2 * (self.rounds + 1)


async def measure_lengths(
    name: str, store: ConversationStore[Message], lengths: CallLengths, tick: Callable[[], object], bare: int | None = None
) -> list[Row]:
    """Return the rows of one backend.

    Args:
        name: The backend's, for the table.
        store: An empty one.
        lengths: How much.
        tick: Called at the end of each round.
        bare: An empty file where the backend keeps its own: what the disk takes is measured beside
            it.
    """
    await fill_partition(store, lengths.partition - 3, FEW)
    await append_many(store, SHORT, FEW)
    await append_many(store, TWENTY, LAST)
    await append_many(store, LONG, lengths.many)
    return [*await _measure_append(name, store, lengths, tick, bare), *await _measure_reading(name, store, lengths, tick)]


async def _measure_append(
    name: str, store: ConversationStore[Message], lengths: CallLengths, tick: Callable[[], object], bare: int | None
) -> list[Row]:
    message = make_message()
    few, many = f"to one of {FEW}", f"to one of {lengths.many:,}"

    async def append(id: str) -> None:
        await store.append(PARTITION, id, message)

    async def make_short(_: Sequence[Any]) -> None:
        await store.save(PARTITION, Conversation(id=SHORT, messages=[message] * (FEW - 1)), force=True)
        await append(SHORT)

    async def touch_long(_: Sequence[Any]) -> None:
        await append(LONG)  # as with the short one, an append comes before those that count

    contestants = [
        _contestant(few, SHORT, append, make_short),
        _contestant(many, LONG, append, touch_long),
    ]
    if bare is not None:
        text = text_of(message).encode()

        async def write(_: str) -> None:
            os.write(bare, text)
            os.fsync(bare)

        contestants.append(_contestant(BARE, "", write))
    samples = await _take_turns(contestants, lengths, lengths.append_block, tick)
    assert len(await store.messages(PARTITION, SHORT)) <= FEW + lengths.append_block
    return beside(f"append of 1 KiB, 1 task, {name}", samples, {many: Target("ratio", "max", APPEND_TARGET)})


async def _measure_reading(
    name: str, store: ConversationStore[Message], lengths: CallLengths, tick: Callable[[], object]
) -> list[Row]:
    few, many = f"messages(last={LAST}), {LAST} of {LAST}", f"messages(last={LAST}), {LAST} of {lengths.many:,}"

    async def last(id: str) -> None:
        await store.messages(PARTITION, id, last=LAST)

    async def load(id: str) -> None:
        await store.load(PARTITION, id)

    async def page(_: str) -> None:
        await store.list(PARTITION, limit=PAGE)

    assert (
        len(await store.messages(PARTITION, LONG, last=LAST)) == len((await store.load(PARTITION, TWENTY)).messages) == LAST
    )
    assert len(await store.list(PARTITION, limit=PAGE)) == PAGE
    contestants = [
        _contestant(few, TWENTY, last),
        _contestant(many, LONG, last),
        _contestant(f"load of {LAST}", TWENTY, load),
        _contestant(f"list of {PAGE} out of {lengths.partition:,}", "", page),
    ]
    samples = await _take_turns(contestants, lengths, lengths.read_block, tick)
    return beside(f"reading, 1 task, {name}", samples, {many: Target("ratio", "max", LAST_TARGET)})


def _contestant(
    name: str,
    id: str,
    call: Callable[[str], Awaitable[object]],
    prepare: Callable[[Sequence[Any]], Awaitable[None]] | None = None,
) -> Contestant:
    run = closed_loop(call, 1)
    if prepare is None:
        return Contestant(name=name, pick=lambda *_: id, run=run)
    return Contestant(name=name, pick=lambda *_: id, run=run, prepare=prepare)


async def _take_turns(
    contestants: Sequence[Contestant], lengths: CallLengths, block: int, tick: Callable[[], object]
) -> Samples:
    return await interleave(contestants, range(lengths.calls), rounds=lengths.rounds, block=block, tick=tick)


def beside(measurement: str, samples: Samples, targets: dict[str, Target]) -> list[Row]:
    """Return a row for each contestant.

    Its time, and if it has a target, how many times that of the first one that is.
    """
    rows: list[Row] = []
    base = next(iter(samples.values()))
    for name, rounds in samples.items():
        target = targets.get(name)
        rows.append(
            Row(
                measurement=measurement,
                contestant=name,
                value=median_of(rounds, lambda spent: spent.us),
                unit="us",
                p50=median_of(rounds, lambda spent: spent.percentile(50)),
                p99=median_of(rounds, lambda spent: spent.percentile(99)),
                cpu=median_of(rounds, lambda spent: spent.cpu_us),
                ratio=None if target is None else median_ratio(times(rounds), times(base)),
                ratio_of=None if target is None else "x the time of the first",
                target=target,
            )
        )
    return rows
