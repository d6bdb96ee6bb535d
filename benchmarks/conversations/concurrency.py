"""Concurrent appends: a task for each conversation appends to it, one message a call."""

import random
from collections.abc import Callable

from benchmarks.harness.measuring import Contestant, interleave, task_per_argument
from benchmarks.harness.messages import MESSAGE_BYTES, PARTITION, make_message
from benchmarks.harness.report import Row
from benchmarks.harness.results import Comparison, Result, compare
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.peers.catalogue import CONVERSATIONS
from benchmarks.peers.process import PeerFailedError, PeerProcess
from greentic_session.conversation import ConversationStore, Message

__all__ = ["Concurrency", "measure_concurrency"]

_MIN_RATIO = 3.0
_MIN_RATIOS = {"memory": None, "SQLite": 7.0, "Redis": _MIN_RATIO}
"""By backend: target for our speed divided by the peer's."""
_OURS = "append"


class Concurrency(Sizes):
    """Sizes of this measurement.

    Attributes:
        conversations: Number of conversations, and of tasks.
        appends: Number of appends to each conversation in a round.
        rounds: Number of rounds that count.
    """

    conversations: int = 100
    appends: int = usual(40, quick=2)
    rounds: int = usual(15, quick=2)

    @property
    def all_rounds(self) -> int:
        """Number of rounds of a backend, warming up included."""
        return self.rounds + 1


async def measure_concurrency(
    name: str,
    store: ConversationStore[Message],
    peer: PeerProcess | None,
    sizes: Concurrency,
    *,
    seed: int,
    tick: Callable[[], object],
    drop: Callable[[PeerFailedError], None],
) -> list[Row]:
    """Return the rows of one backend.

    Args:
        name: Name of the backend.
        store: Empty store.
        peer: Peer that does the same; each of its conversations has one message.
        sizes: Sizes of the measurement.
        seed: Seed of the order in which the tasks begin.
        tick: Called at the end of each round.
        drop: Called for a peer that failed; the run goes on without it.
    """
    message = make_message()
    ids = [f"conversation-{number}" for number in range(sizes.conversations)]
    for id in ids:
        await store.create(PARTITION, id=id)
        await store.append(PARTITION, id, message)

    async def append(id: str) -> None:
        await store.append(PARTITION, id, message)

    order = list(range(sizes.conversations))
    random.Random(seed).shuffle(order)
    contestants = [Contestant(name=_OURS, pick=lambda number, _: ids[number], run=task_per_argument(append))]
    if peer is not None:
        contestants += peer.contestants(name, None)
    appends = sizes.appends
    calls, block = order * appends, sizes.conversations * appends
    try:
        samples = await interleave(contestants, calls, rounds=sizes.rounds, block=block, tick=tick)
    except PeerFailedError as error:
        drop(error)
        samples = await interleave(contestants[:1], calls, rounds=sizes.rounds, block=block, tick=tick)
    counts = [summary.message_count for summary in await store.list(PARTITION)]
    assert len(counts) == sizes.conversations
    assert min(counts) >= 1 + appends * sizes.all_rounds
    results = [
        Result(operation=name, contestant=contestant, tasks=sizes.conversations, size=MESSAGE_BYTES, rounds=rounds)
        for contestant, rounds in samples.items()
    ]
    measurement = f"append of 1 KiB, {sizes.conversations:,} tasks with a conversation each, {name}"
    return compare(measurement, results, [Comparison(beside=CONVERSATIONS.calls[name], limit=_MIN_RATIOS[name])])
