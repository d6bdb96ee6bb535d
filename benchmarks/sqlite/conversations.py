"""Conversations in a database beside those in files: appends, reads, lists, and two processes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.messages import PARTITION
from benchmarks.harness.report import Row
from benchmarks.harness.results import Result, compare
from benchmarks.harness.samples import Sample
from benchmarks.harness.texts import ChangingTexts
from benchmarks.peers.catalogue import OUR_CONVERSATIONS
from benchmarks.peers.process import PeerProcess
from greentic_session.conversation import Conversation, ConversationStore, Message, create_conversation_store

__all__ = ["Conversations", "measure_conversations"]

_MESSAGE_BYTES = 1024
_BATCH_MESSAGES = 1000
_FILLING_TASKS = 50
_TASKS = 100
_FEW = 10
_LAST = 20
_PAGE = 50
_LONG, _SHORT = "the long one", "the short one"
_PROCESSES = 2
_SETTLING_CALLS = 20
"""Calls of each task in a turn, unless that makes too many: its start counts little then."""
_MAX_BLOCKS = 8
_BLOCKS_OF_ONE_TASK = 20

_Store = ConversationStore[Message]
_Call = Callable[[_Store, str], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """Sizes of this measurement.

    Attributes:
        many: Number of messages of the long conversation.
        partition: Number of conversations of the partition.
        calls: Calls of a contestant in a round.
        rounds: Number of rounds that count.
    """

    many: int
    partition: int
    calls: int
    rounds: int


async def measure_conversations(
    directory: str, sizes: Conversations, *, tick: Callable[[], object], python: Path = Path(sys.executable)
) -> list[Row]:
    """Return the rows; a ratio is the speed of the database divided by that of the files.

    Args:
        directory: Where database and files are made.
        sizes: Sizes of the measurement.
        tick: Called at the end of each round.
        python: The interpreter of the processes.
    """
    urls = {"SQLite": f"sqlite:///{directory}/conversations.sqlite", "files": Path(directory, "files").as_uri()}
    texts = ChangingTexts(_MESSAGE_BYTES)

    async def append(store: _Store, id: str) -> None:
        await store.append(PARTITION, id, Message.assistant(texts.next()))

    async def read_last(store: _Store, id: str) -> None:
        await store.messages(PARTITION, id, last=_LAST)

    async def list_page(store: _Store, _: str) -> None:
        await store.list(PARTITION, limit=_PAGE)

    measurements: list[tuple[str, _Call, Sequence[str], int]] = [
        (f"append of 1 KiB to one of {_FEW}", append, [_SHORT], 1),
        (f"append of 1 KiB to one of {sizes.many:,}", append, [_LONG], 1),
        (f"append of 1 KiB, {_TASKS} tasks", append, [f"conversation-{n}" for n in range(_TASKS)], _TASKS),
        (f"messages(last={_LAST}) of {sizes.many:,}", read_last, [_LONG], 1),
        (f"messages(last={_LAST}), {_TASKS} tasks", read_last, [f"conversation-{n}" for n in range(_TASKS)], _TASKS),
        (f"list of {_PAGE} out of {sizes.partition:,}", list_page, [_SHORT], 1),
    ]
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        stores = {name: await stack.enter_async_context(create_conversation_store(url)) for name, url in urls.items()}
        for store in stores.values():
            await _fill(store, sizes, texts)
        for measurement, call, ids, tasks in measurements:
            contestants = [_contestant(name, store, call, ids, tasks) for name, store in stores.items()]
            # Files are slow to list.
            fewer = replace(sizes, calls=max(sizes.calls // 10, 1)) if call is list_page else sizes
            rows += await _measure(f"{measurement}, SQLite beside files", contestants, tasks, fewer, tick)
    async with AsyncExitStack() as stack:
        contestants = []
        for name, url in urls.items():
            processes = []
            for _ in range(_PROCESSES):
                process = await PeerProcess.start(OUR_CONVERSATIONS, python, loop="asyncio", url=url)
                stack.push_async_callback(process.stop)
                await process.fill(_TASKS, "." * _MESSAGE_BYTES)
                processes.append(process)
            contestants.append(_together(name, processes))
        measurement = f"append of 1 KiB, {_PROCESSES} processes of {_TASKS} tasks, SQLite beside files"
        rows += await _measure(measurement, contestants, _TASKS * _PROCESSES, sizes, tick)
    return rows


async def _measure(
    measurement: str, contestants: Sequence[Contestant], tasks: int, sizes: Conversations, tick: Callable[[], object]
) -> list[Row]:
    calls = sizes.calls if tasks == 1 else max(sizes.calls, min(_SETTLING_CALLS * tasks, sizes.calls * _MAX_BLOCKS))
    block = calls if tasks > 1 else max(calls // _BLOCKS_OF_ONE_TASK, 1)
    samples = await interleave(contestants, range(calls), rounds=sizes.rounds, block=block, tick=tick)
    results = [
        Result(operation=measurement, contestant=name, tasks=tasks, size=_MESSAGE_BYTES, rounds=rounds)
        for name, rounds in samples.items()
    ]
    return compare(measurement, results)


def _contestant(name: str, store: _Store, call: _Call, ids: Sequence[str], tasks: int) -> Contestant:
    return Contestant(name=name, pick=lambda n, _: ids[n % len(ids)], run=closed_loop(partial(call, store), tasks))


def _together(name: str, processes: Sequence[PeerProcess]) -> Contestant:
    """Return a contestant of several processes that share the calls, and begin together."""
    parts = [process.contestants("append", _TASKS)[0] for process in processes]

    async def run(args: Sequence[Any]) -> Sample:
        shares = [args[start :: len(parts)] for start in range(len(parts))]
        samples = await asyncio.gather(*[part.run(share) for part, share in zip(parts, shares, strict=True)])
        together = Sample()
        for sample in samples:
            assert sample is not None
            together.add(sample)
        together.wall_ns = max(sample.wall_ns for sample in samples if sample is not None)
        return together

    return Contestant(name=name, pick=lambda n, _: n % _TASKS, run=run)


async def _fill(store: _Store, sizes: Conversations, texts: ChangingTexts) -> None:
    async def create(number: int) -> None:
        messages = [Message.assistant(texts.next()) for _ in range(_LAST)]
        await store.save(PARTITION, Conversation(id=f"conversation-{number}", messages=messages))

    await closed_loop(create, _FILLING_TASKS)(range(sizes.partition - 2))
    for id, count in ((_SHORT, _FEW), (_LONG, sizes.many)):
        await store.create(PARTITION, id=id)
        for start in range(0, count, _BATCH_MESSAGES):
            batch = [Message.assistant(texts.next()) for _ in range(min(_BATCH_MESSAGES, count - start))]
            await store.append(PARTITION, id, *batch)
