"""Long conversations: the same calls on a long and on a short conversation of a partition.

One task makes all calls.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.messages import PARTITION, make_message, text_of
from benchmarks.harness.report import Row, Target
from benchmarks.harness.results import time_rows
from benchmarks.harness.samples import Samples, median_ratio, times_us
from benchmarks.harness.sizes import Sizes, usual
from greentic_session.conversation import Conversation, ConversationStore, Message

from .stores import append_many, fill_partition

__all__ = ["Lengths", "measure_lengths", "with_ratios"]

_MAX_APPEND_RATIO = 1.2
_MAX_READ_RATIO = 2.0
_LONG, _SHORT, _TWENTY = "the long one", "the short one", "one of twenty"
_BARE = "bare write and fsync, in no thread"
_FEW = 10
_LAST = 20
_PAGE = 50


class Lengths(Sizes):
    """Sizes of this measurement.

    Attributes:
        many: Number of messages of the long conversation before the measured appends.
        partition: Number of conversations of the partition.
        rounds: Number of rounds that count.
        calls: Calls of a contestant in a round.
        append_block: Number of appends in a turn. The short conversation grows by as many, and is
            made anew before the next turn.
        read_block: Number of reads in a turn.
    """

    many: int = usual(100_000, quick=2000)
    partition: int = usual(1000, quick=60)
    rounds: int = usual(15, quick=2)
    calls: int = usual(200, quick=20)
    append_block: int = 10
    read_block: int = usual(20, quick=10)

    @property
    def all_rounds(self) -> int:
        """Number of rounds of a backend, warming up included."""
        return 2 * (self.rounds + 1)


async def measure_lengths(
    name: str, store: ConversationStore[Message], sizes: Lengths, tick: Callable[[], object], bare: int | None = None
) -> list[Row]:
    """Return the rows of one backend.

    Args:
        name: Name of the backend.
        store: Empty store.
        sizes: Sizes of the measurement.
        tick: Called at the end of each round.
        bare: Descriptor of an empty file on the backend's disk: a bare write is measured beside the
            appends.
    """
    await fill_partition(store, sizes.partition - 3, _FEW)
    await append_many(store, _SHORT, _FEW)
    await append_many(store, _TWENTY, _LAST)
    await append_many(store, _LONG, sizes.many)
    take_turns = partial(interleave, order=range(sizes.calls), rounds=sizes.rounds, tick=tick)

    samples = await take_turns(_appending(store, sizes, bare), block=sizes.append_block)
    assert len(await store.messages(PARTITION, _SHORT)) <= _FEW + sizes.append_block
    appends = time_rows(f"append of 1 KiB, 1 task, {name}", samples)
    with_ratios(appends, samples, {_to(sizes.many): Target("ratio", "max", _MAX_APPEND_RATIO)})

    assert (
        len(await store.messages(PARTITION, _LONG, last=_LAST))
        == len((await store.load(PARTITION, _TWENTY)).messages)
        == _LAST
    )
    assert len(await store.list(PARTITION, limit=_PAGE)) == _PAGE
    samples = await take_turns(_reading(store, sizes), block=sizes.read_block)
    reads = time_rows(f"reading, 1 task, {name}", samples)
    with_ratios(reads, samples, {_last_of(sizes.many): Target("ratio", "max", _MAX_READ_RATIO)})
    return appends + reads


def _to(messages: int) -> str:
    return f"to one of {messages:,}"


def _last_of(messages: int) -> str:
    return f"messages(last={_LAST}), {_LAST} of {messages:,}"


def _appending(store: ConversationStore[Message], sizes: Lengths, bare: int | None) -> list[Contestant]:
    message = make_message()

    async def append(id: str) -> None:
        await store.append(PARTITION, id, message)

    async def renew_short(_: Sequence[Any]) -> None:
        await store.save(PARTITION, Conversation(id=_SHORT, messages=[message] * (_FEW - 1)), force=True)
        await append(_SHORT)

    async def append_to_long(_: Sequence[Any]) -> None:
        await append(_LONG)  # as for the short one, an append that is not timed comes first

    contestants = [
        _contestant(_to(_FEW), _SHORT, append, renew_short),
        _contestant(_to(sizes.many), _LONG, append, append_to_long),
    ]
    if bare is not None:
        text = text_of(message).encode()

        async def write(_: str) -> None:
            os.write(bare, text)
            os.fsync(bare)

        contestants.append(_contestant(_BARE, "", write))
    return contestants


def _reading(store: ConversationStore[Message], sizes: Lengths) -> list[Contestant]:
    async def last(id: str) -> None:
        await store.messages(PARTITION, id, last=_LAST)

    async def load(id: str) -> None:
        await store.load(PARTITION, id)

    async def list_page(_: str) -> None:
        await store.list(PARTITION, limit=_PAGE)

    return [
        _contestant(_last_of(_LAST), _TWENTY, last),
        _contestant(_last_of(sizes.many), _LONG, last),
        _contestant(f"load of {_LAST}", _TWENTY, load),
        _contestant(f"list of {_PAGE} out of {sizes.partition:,}", "", list_page),
    ]


async def _nothing(_: Sequence[Any]) -> None:
    pass


def _contestant(
    name: str,
    id: str,
    call: Callable[[str], Awaitable[object]],
    prepare: Callable[[Sequence[Any]], Awaitable[None]] = _nothing,
) -> Contestant:
    return Contestant(name=name, pick=lambda *_: id, run=closed_loop(call, 1), prepare=prepare)


def with_ratios(rows: Sequence[Row], samples: Samples, targets: Mapping[str, Target]) -> None:
    """Give each row that has a target its ratio to the first contestant of the samples."""
    base = times_us(next(iter(samples.values())))
    for row in rows:
        if row.contestant in targets:
            row.ratio = median_ratio(times_us(samples[row.contestant]), base)
            row.ratio_of = "x the time of the first"
            row.set_target(targets[row.contestant])
