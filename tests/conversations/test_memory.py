"""The in-memory conversation store: the contract on asyncio and on trio."""

import gc
import weakref
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from races.conversations import check_many_threads
from races.threads import wait_until, wait_until_ended
from races.turns import counted_turns
from runs.machines import machine_tests
from time_passing import OnATimer, each_test_of, run_on_trio
from timers import Timer

from greentic_session import UnavailableError
from greentic_session.conversation import Conversation, InMemoryConversationStore, Message
from greentic_session.conversation.backends.memory.recency import Recency
from greentic_session.conversation.header import Stored
from greentic_session.conversation.packing import pack
from greentic_session.testing import ConversationStoreContract, conversation_store_machine
from greentic_session.testing._conversations.samples import OPS, said

TIMER = Timer()
Machine = conversation_store_machine(partial(InMemoryConversationStore, timer=TIMER), TIMER.advance)
TestMachine, TestMachineAtLength = machine_tests(Machine, 40, 600)


class TestContract(OnATimer, ConversationStoreContract):
    make = InMemoryConversationStore


@each_test_of(TestContract)
def test_contract_on_trio(name: str) -> None:
    run_on_trio(TestContract(), name, InMemoryConversationStore)


def held(store: InMemoryConversationStore[Any]) -> int:
    """Check the store's indices; return the number of its conversations, expired ones included."""
    memory = store._memory
    filed = {id(entry) for bucket in memory._wheel._buckets.values() for entry in bucket}
    count = 0
    for partition, stored in memory.partitions.items():
        assert stored.entries, "an empty partition was left behind"
        assert sorted(stored.recency._order) == sorted((entry.updated_at, entry.id) for entry in stored.entries.values())
        for name, entry in stored.entries.items():
            assert (entry.partition, entry.id) == (partition, name)
            assert (entry.bucket is None) == (entry.end == float("inf"))
            assert entry.bucket is None or id(entry) in filed
        count += len(stored.entries)
        filed -= {id(entry) for entry in stored.entries.values()}
    assert filed == set()
    return count


@pytest.mark.asyncio
async def test_what_expired_is_freed_by_the_writes_that_follow() -> None:
    timer = Timer()
    store = InMemoryConversationStore(ttl=60, timer=timer)
    for index in range(1000):
        await store.create(OPS, id=f"c{index}")
    assert held(store) == 1000
    timer.advance(62)
    for _ in range(100):
        await store.create(OPS)
    assert held(store) == 100
    timer.advance(62)
    await store.create(OPS.with_team(None), id="c")
    assert held(store) <= 85


def test_an_idle_store_frees_what_expires() -> None:
    store = InMemoryConversationStore(ttl=0.2)

    async def fill() -> None:
        for index in range(3000):
            await store.create(OPS, id=f"c{index}")

    anyio.run(fill)
    wait_until(lambda: not store._memory.partitions)
    anyio.run(store.aclose)
    wait_until_ended(store._memory._sweeper)


def test_the_idle_sweeper_does_not_keep_a_forgotten_store_alive() -> None:
    store = InMemoryConversationStore(ttl=3600)
    anyio.run(partial(store.create, OPS))
    forgotten = weakref.ref(store._memory)
    del store

    def is_gone() -> bool:
        gc.collect()
        return forgotten() is None

    wait_until(is_gone)


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("rounds", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_many_threads_lose_and_reorder_nothing(rounds: int) -> None:
    store = InMemoryConversationStore()
    assert held(store) == 0
    assert check_many_threads(store, rounds) == held(store)


@pytest.mark.asyncio
async def test_nothing_is_written_into_a_closed_store() -> None:
    """A writer in another thread may have passed the first check when the store is closed."""
    store = InMemoryConversationStore()
    conversation = await store.create(OPS, id="c")
    backend, life = store._memory, store._life
    await store.aclose()
    partition = (OPS.env, OPS.tenant_id, OPS.effective_team)
    for call in (
        backend.put(partition, "c", pack(conversation, ""), (), Stored.ANYTHING, life),
        backend.append(partition, "c", [b"1"], 1, life),
        backend.load(partition, "c", life),
    ):
        with pytest.raises(UnavailableError):
            await call
    assert backend.partitions == {}


@pytest.mark.asyncio
async def test_a_long_transcript_lets_others_run() -> None:
    store = InMemoryConversationStore()
    await store.create(OPS, id="c")
    await store.append(OPS, "c", *said("x") * 5000)
    async with counted_turns() as turns:
        assert len(await store.messages(OPS, "c")) == 5000
    assert turns.count >= 4


def test_recency() -> None:
    recency = Recency()
    for moment, name in [(5, "b"), (5, "a"), (7, "z"), (5, "c"), (1, "x"), (1, "y")]:
        recency.add(moment, name)
    assert list(recency.after(None, "")) == ["z", "a", "b", "c", "x", "y"]
    assert list(recency.after(5, "b")) == ["c", "x", "y"]
    assert list(recency.after(5, "bb")) == ["c", "x", "y"]
    assert list(recency.after(5, "d")) == ["x", "y"]
    assert list(recency.after(6, "a")) == ["a", "b", "c", "x", "y"]
    assert list(recency.after(0, "a")) == []
    recency.discard(5, "a")
    assert list(recency.after(9, "")) == ["z", "b", "c", "x", "y"]


def test_what_a_conversation_shows_of_itself() -> None:
    conversation = Conversation[Message].new("c")
    conversation.messages = said("secret")
    conversation.system_message = "secret"
    assert "secret" not in repr(conversation)
    assert "messages=<1>" in repr(conversation)
    assert conversation.__rich_repr__() == [("hidden", repr(conversation))]
    assert conversation != "c"
    with pytest.raises(TypeError, match="unhashable"):
        hash(conversation)
