"""Many conversations at once: a task for each appends to its own, one message a call."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness.measuring import Contestant, interleave, own_loops
from benchmarks.harness.report import Row
from benchmarks.harness.results import Aim, Cell, rows_of
from benchmarks.peers.catalogue import CONVERSATIONS
from benchmarks.peers.process import PeerFailedError, PeerProcess
from greentic_session.conversation import ConversationStore, Message

from .backends import MESSAGE_BYTES, PARTITION, make_message

__all__ = ["TARGET", "Crowd", "measure_crowd"]

TARGET = 3.0
AIMS = {"memory": None, "files": TARGET, "Redis": TARGET}
"""By backend, so many times the peer's speed; None where nothing is asked for."""
OURS = "append"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How much.

    Attributes:
        conversations: How many, and how many tasks.
        each: By backend, the appends to each of them in a round.
        rounds: How often each contestant has its turn.
    """

    conversations: int
    each: dict[str, int]
    rounds: int

    @property
    def steps(self) -> int:
        return self.rounds + 1


async def measure_crowd(
    name: str,
    store: ConversationStore[Message],
    peer: PeerProcess | None,
    crowd: Crowd,
    *,
    seed: int,
    tick: Callable[[], object],
    lose: Callable[[PeerFailedError], None],
) -> list[Row]:
    """Return the rows of one backend.

    Args:
        name: The backend's.
        store: An empty one.
        peer: Who appends the same beside it; its conversations have one message each.
        crowd: How much.
        seed: Of the order in which the tasks begin.
        tick: Called at the end of each round.
        lose: Told of the peer, if it fails; then the run goes on without it.
    """
    message = make_message()
    ids = [f"conversation-{number}" for number in range(crowd.conversations)]
    for id in ids:
        await store.create(PARTITION, id=id)
        await store.append(PARTITION, id, message)

    async def append(id: str) -> None:
        await store.append(PARTITION, id, message)

    order = list(range(crowd.conversations))
    random.Random(seed).shuffle(order)
    contestants = [Contestant(name=OURS, pick=lambda number, _: ids[number], run=own_loops(append))]
    if peer is not None:
        contestants += peer.contestants(name, None)
    calls, block = order * crowd.each[name], crowd.conversations * crowd.each[name]
    try:
        samples = await interleave(contestants, calls, rounds=crowd.rounds, block=block, tick=tick)
    except PeerFailedError as error:
        lose(error)
        samples = await interleave(contestants[:1], calls, rounds=crowd.rounds, block=block, tick=tick)
    found = [summary.message_count for summary in await store.list(PARTITION)]
    assert len(found) == crowd.conversations
    assert min(found) >= 1 + crowd.each[name] * (crowd.rounds + 1)
    cells = [
        Cell(operation=name, contestant=who, tasks=crowd.conversations, size=MESSAGE_BYTES, rounds=rounds)
        for who, rounds in samples.items()
    ]
    measurement = f"append of 1 KiB, {crowd.conversations:,} tasks with a conversation each, {name}"
    return rows_of(measurement, cells, [Aim(beside=CONVERSATIONS.calls[name], limit=AIMS[name])])
