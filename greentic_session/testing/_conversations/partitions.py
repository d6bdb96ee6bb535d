"""A partition as a whole: list, purge; lifetimes; closing and cancelling."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from greentic_session.conversation import Conversation, ConversationStore, ConversationSummary, Message
from greentic_session.conversation.header import Lifetime
from greentic_session.errors import ConflictError, NotFoundError, UnavailableError
from greentic_session.expiry import NEVER
from greentic_session.testing._sessions.samples import DAY, Time

from .samples import OPS, PARTITIONS, MakeConversationStore, StandingClock, said, texts, uses_of

__all__ = ["ConversationPartitionsContract"]


async def ids(store: ConversationStore[Any], **arguments: Any) -> list[str]:
    """Return the ids of a list."""
    return [summary.id for summary in await store.list(OPS, **arguments)]


async def assert_absent(store: ConversationStore[Any], id: str = "c") -> None:
    """Check that an expired conversation is absent from every operation."""
    for call in (
        store.load(OPS, id),
        store.messages(OPS, id),
        store.append(OPS, id, *said("x")),
        store.update_state(OPS, id, cwd="/x"),
        store.list(OPS, after=id),
        store.delete(OPS, id),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert id not in await ids(store)


async def compact(store: ConversationStore[Any], id: str) -> None:
    """Put a summary before the messages; without reading these, which would be a use, too."""
    partition = (OPS.env, OPS.tenant_id, OPS.effective_team)
    tail = await store.backend.messages(partition, id, 0, Lifetime())
    await store.compact(OPS, id, 0, said("s"), version=f"{tail.total}.{tail.birth}")


class ConversationPartitionsContract:
    """Partitions: list and purge, lifetimes, lifecycle, cancellation."""

    async def test_an_empty_partition(self, store: ConversationStore[Message]) -> None:
        assert await store.list(OPS) == []
        assert await store.list(OPS, limit=5) == []
        assert await store.purge(OPS) == 0

    async def test_list_is_by_recency(self, make_store: MakeConversationStore) -> None:
        clock = StandingClock()
        async with make_store(clock=clock) as store:
            for id in ("b", "a", "ä", "B", "😀", "\uffff"):
                await store.create(OPS, id=id)
            clock.now += 1000
            await store.create(OPS, id="newest")
            await store.create(PARTITIONS[1], id="elsewhere")
            clock.now -= 500_000
            await store.create(OPS, id="of a clock that went back")
            same = sorted(["b", "a", "ä", "B", "😀", "\uffff"])
            assert await ids(store) == ["newest", *same, "of a clock that went back"]
            clock.now += 2_000_000
            await store.append(OPS, "ä", *said("x"))
            clock.now += 1
            await store.update_state(OPS, "B", add_events=1)
            clock.now += 1
            await store.save(OPS, await store.load(OPS, "b"))
            moved = ["b", "B", "ä"]
            stayed = ["newest", *(id for id in same if id not in moved), "of a clock that went back"]
            assert await ids(store) == [*moved, *stayed]

    async def test_summaries(self, store: ConversationStore[Message]) -> None:
        conversation = await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("a", "b"))
        loaded = await store.load(OPS, "c")
        assert await store.list(OPS) == [loaded.summary()]
        assert loaded.summary() == ConversationSummary("c", conversation.created_at, loaded.updated_at, 2)

    async def test_pages(self, make_store: MakeConversationStore) -> None:
        clock = StandingClock()
        async with make_store(clock=clock) as store:
            for index in range(25):
                clock.now += index % 3  # some at the same moment
                await store.create(OPS, id=f"c{index:02}")
            whole = await store.list(OPS)
            assert len(whole) == 25
            assert [(-s.updated_at.timestamp(), s.id) for s in whole] == sorted(
                (-s.updated_at.timestamp(), s.id) for s in whole
            )
            for limit in (1, 2, 7, 25, 26, 2**63 - 1):
                for by_summary in (True, False):
                    seen: list[ConversationSummary] = []
                    while page := await store.list(
                        OPS, limit=limit, after=None if not seen else seen[-1] if by_summary else seen[-1].id
                    ):
                        assert len(page) <= limit
                        seen += page
                    assert seen == whole
            assert await store.list(OPS, limit=0) == []
            assert await store.list(OPS, limit=0, after="c03") == []
            assert await store.list(OPS, after=whole[20]) == whole[21:]
            assert await store.list(OPS, after=whole[-1]) == []

    async def test_pages_of_what_changes_meanwhile(self, make_store: MakeConversationStore) -> None:
        clock = StandingClock()
        async with make_store(clock=clock) as store:
            for index in range(6):
                clock.now += 1
                await store.create(OPS, id=f"c{index}")
            first = await store.list(OPS, limit=3)
            assert [summary.id for summary in first] == ["c5", "c4", "c3"]
            clock.now += 1
            await store.append(OPS, "c3", *said("x"))
            # The summary knows where it stood; the id stands at the front now.
            assert await ids(store, after=first[-1]) == ["c2", "c1", "c0"]
            assert await ids(store, after="c3", limit=2) == ["c5", "c4"]
            await store.delete(OPS, "c3")
            assert await ids(store, after=first[-1]) == ["c2", "c1", "c0"]
            with pytest.raises(NotFoundError):
                await store.list(OPS, after="c3")
            clock.now += 1
            await store.append(OPS, "c1", *said("x"))
            assert await ids(store, after=first[-1]) == ["c2", "c0"]

    async def test_purge(self, store: ConversationStore[Message]) -> None:
        for index in range(300):
            await store.create(OPS, id=f"c{index}")
        await store.append(OPS, "c0", *said("a"))
        for partition in PARTITIONS[1:]:
            await store.create(partition, id="c0")
        assert await store.purge(OPS.with_user("alice")) == 300
        assert await store.list(OPS) == []
        assert await store.purge(OPS) == 0
        for partition in PARTITIONS[1:]:
            assert len(await store.list(partition)) == 1
        await store.create(OPS, id="c0")
        assert await texts(store, id="c0") == []

    # -- lifetimes

    async def test_an_expired_conversation_is_absent_everywhere(self, make_store: MakeConversationStore, time: Time) -> None:
        async with make_store(ttl=timedelta(seconds=time.moment)) as store:
            held = await store.create(OPS, id="c")
            await time.wait_out(time.moment)
            await assert_absent(store)
            with pytest.raises(ConflictError):
                await store.save(OPS, held)
            assert await store.purge(OPS) == 0

    async def test_an_expired_id_is_free(self, make_store: MakeConversationStore, time: Time) -> None:
        async with make_store(ttl=time.brief) as store:
            await store.create(OPS, id="c", metadata={"a": "b"})
            await store.append(OPS, "c", *said("a", "b"))
            await time.wait_out(time.brief)
            again = await store.create(OPS, id="c")
            assert await store.load(OPS, "c") == again
            assert await texts(store) == []

    async def test_a_lifetime_begins_with_the_creation(self, make_store: MakeConversationStore, time: Time) -> None:
        async with make_store(ttl=time.brief) as store:
            saved = Conversation[Message].new("saved")
            await store.create(OPS, id="created")
            await store.save(OPS, saved)
            await time.wait_out(time.brief / 2)
            for id in ("created", "saved"):
                await store.append(OPS, id, *said("x"))
                await compact(store, id)
                await store.pop(OPS, id)
                await store.clear(OPS, id)
                await store.append(OPS, id, *said("x"))
                await store.update_state(OPS, id, add_events=1)
                await store.save(OPS, await store.load(OPS, id))
                await store.save(OPS, await store.load(OPS, id), force=True)
            await time.wait_out(time.brief / 2)
            await assert_absent(store, "created")
            await assert_absent(store, "saved")

    async def test_a_sliding_lifetime_begins_with_every_use(self, make_store: MakeConversationStore, time: Time) -> None:
        async with make_store(ttl=time.brief, sliding=True) as store:
            uses: dict[str, Callable[[], Awaitable[object]]] = {
                "append": lambda: store.append(OPS, "append", *said("x")),
                "nothing": lambda: store.append(OPS, "nothing"),
                "messages": lambda: store.messages(OPS, "messages"),
                "load": lambda: store.load(OPS, "load"),
                "update": lambda: store.update_state(OPS, "update", add_events=1),
                "pop": lambda: store.pop(OPS, "pop"),
                "clear": lambda: store.clear(OPS, "clear"),
                "compact": lambda: compact(store, "compact"),
            }
            for id in (*uses, "save", "unused"):
                await store.create(OPS, id=id)
            await store.append(OPS, "messages", *said("x"))
            await store.append(OPS, "pop", *said("x", "y", "z"))
            saved = await store.load(OPS, "save")
            for _ in range(2):
                await time.wait_out(time.brief * 0.6)
                for use in uses.values():
                    await use()
                await store.save(OPS, saved)
            assert await store.list(OPS) != []  # looks at them all, and is no use of any
            assert set(await ids(store)) == {*uses, "save"}
            assert await texts(store, id="messages") == ["x"]
            assert await texts(store, id="pop") == ["x"]
            assert await texts(store, id="compact") == ["s", "s"]
            await time.wait_out(time.brief)
            await assert_absent(store, "append")
            await assert_absent(store, "load")
            assert await store.list(OPS) == []

    async def test_without_a_ttl_nothing_expires(self, make_store: MakeConversationStore, time: Time) -> None:
        with pytest.warns(UserWarning, match="longer than ten years"):
            for_ages = make_store(ttl=2**52 / 1000)
        for made in (make_store(ttl=None), make_store(ttl=NEVER), make_store(ttl=DAY), for_ages):
            async with made as store:
                await store.create(OPS, id="c")
                await store.append(OPS, "c", *said("x"))
                await time.wait_out(time.moment)
                assert await texts(store) == ["x"]

    # -- the store as a whole

    async def test_health(self, store: ConversationStore[Message]) -> None:
        await store.health()

    async def test_a_closed_store_is_unavailable(self, make_store: MakeConversationStore) -> None:
        store = make_store()
        held = await store.create(OPS, id="c")
        await store.aclose()
        await store.aclose()
        for call in (
            store.create(OPS),
            store.save(OPS, held),
            store.delete(OPS, "c"),
            *uses_of(store),
            store.list(OPS),
            store.purge(OPS),
            store.health(),
        ):
            with pytest.raises(UnavailableError, match="closed"):
                await call

    async def test_a_store_is_a_context_manager(self, make_store: MakeConversationStore) -> None:
        async with make_store() as store:
            await store.create(OPS, id="c")
        with pytest.raises(UnavailableError):
            await store.load(OPS, "c")

    async def test_a_cancelled_call_leaves_the_store_usable(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        expected = 0
        for _ in range(20):
            with anyio.move_on_after(0):
                await store.append(OPS, "c", *said("x", "y"))
                await store.save(OPS, await store.load(OPS, "c"))
            found = await texts(store)
            assert len(found) in (expected, expected + 2)
            expected = len(found)
            assert [summary.message_count for summary in await store.list(OPS)] == [expected]
