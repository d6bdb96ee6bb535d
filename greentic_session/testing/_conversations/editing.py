"""Changes of transcripts other than an append: pop, clear, compact; and reading whole turns."""

from itertools import chain
from typing import Any

import pytest

from greentic_session.conversation import ConversationStore, Message, Messages, ToolResultBlock, ToolUseBlock
from greentic_session.conversation.header import Lifetime
from greentic_session.errors import ConflictError, CorruptSessionError, InvalidInputError

from .samples import OPS, MakeConversationStore, append_beside, said, texts

__all__ = ["EditingContract"]


def called(*ids: str) -> Message:
    """Return a message of a model that calls tools."""
    return Message("assistant", tuple(ToolUseBlock(id, "look_up", {}) for id in ids))


def answered(*ids: str) -> Message:
    """Return the answers of tools."""
    return Message("tool", tuple(ToolResultBlock(id, "found") for id in ids))


TALK = [
    *said("Where is my parcel?"),
    called("t1", "t2"),
    answered("t1"),
    answered("t2"),
    Message.assistant("On its way."),
    *said("And the other one?"),
    called("t3"),
    *said("Hurry!"),
    answered("t3"),
    Message.assistant("Lost."),
]
WHOLE = [0, 1, 1, 1, 4, 5, 6, 6, 6, 9, 10]
"""How many of the last 0, 1, 2, ... messages of the talk begin with no answer without its call."""


async def begin(store: ConversationStore[Any], *words: str, id: str = "c") -> Messages[Any]:
    """Create a conversation of some words, and read it."""
    await store.create(OPS, id=id, model="m", metadata={"a": "b"})
    await store.append(OPS, id, *said(*words))
    return await store.messages(OPS, id)


class EditingContract:
    """Transcripts that shrink: pop, clear, compact."""

    async def test_pop(self, store: ConversationStore[Message]) -> None:
        await begin(store, *"abcde")
        assert await store.pop(OPS, "c") == said("e")
        assert await store.pop(OPS, "c", 2) == said("c", "d")
        assert await store.append(OPS, "c", *said("x")) == 3
        assert await texts(store) == ["a", "b", "x"]
        assert await store.pop(OPS, "c", 2**63 - 1) == said("a", "b", "x")
        assert await store.pop(OPS, "c", 3) == []
        assert await store.append(OPS, "c", *said("y")) == 1
        assert await texts(store) == ["y"]

    async def test_a_long_pop(self, store: ConversationStore[Message]) -> None:
        many = [str(number) for number in range(1500)]
        await begin(store, *many)
        assert [message.text for message in await store.pop(OPS, "c", 1200)] == many[300:]
        assert await texts(store) == many[:300]

    async def test_clear(self, store: ConversationStore[Message]) -> None:
        await begin(store, *(str(number) for number in range(300)))
        await store.update_state(OPS, "c", custom={"k": 1}, add_events=2)
        await store.clear(OPS, "c")
        assert await texts(store) == []
        await store.clear(OPS, "c")
        loaded = await store.load(OPS, "c")
        assert (loaded.messages, loaded.model, loaded.metadata) == ([], "m", {"a": "b"})
        assert (loaded.state.custom, loaded.state.event_count) == ({"k": 1}, 2)
        assert await store.append(OPS, "c", *said("x")) == 1
        assert await texts(store) == ["x"]
        assert [summary.message_count for summary in await store.list(OPS)] == [1]

    async def test_compact(self, store: ConversationStore[Message]) -> None:
        read = await begin(store, *"abcdef")
        assert (read.first, read.total) == (0, 6)
        assert await store.compact(OPS, "c", 4, said("a to d"), version=read.version) == 3
        assert await texts(store) == ["a to d", "e", "f"]
        assert await texts(store, last=2) == ["e", "f"]
        assert await store.append(OPS, "c", *said("g")) == 4
        loaded = await store.load(OPS, "c")
        assert ([message.text for message in loaded.messages], loaded.model) == (["a to d", "e", "f", "g"], "m")
        assert [summary.message_count for summary in await store.list(OPS)] == [4]

    async def test_any_prefix_gives_way_to_any_number(self, store: ConversationStore[Message]) -> None:
        for upto in (0, 1, 3):
            for number in (0, 1, 2, 1100):
                id = f"{upto} {number}"
                read = await begin(store, *"abc", id=id)
                new = [str(position) for position in range(number)]
                assert await store.compact(OPS, id, upto, tuple(said(*new)), version=read.version) == number + 3 - upto
                expected = new + list("abc")[upto:]
                assert await texts(store, id=id) == expected
                await store.append(OPS, id, *said("d"))
                assert await texts(store, id=id, last=2) == [*expected, "d"][-2:]

    async def test_what_was_appended_since_stays(self, store: ConversationStore[Message]) -> None:
        read = await begin(store, *"abc")
        await store.append(OPS, "c", *said("d"))
        await store.update_state(OPS, "c", add_events=1)
        assert await store.compact(OPS, "c", 3, said("s"), version=read.version) == 2
        assert await texts(store) == ["s", "d"]

    async def test_a_tail_can_be_the_reason_too(self, store: ConversationStore[Message]) -> None:
        await begin(store, *"abcdef")
        tail = await store.messages(OPS, "c", last=2)
        assert (tail, tail.first, tail.total) == (said("e", "f"), 4, 6)
        await store.compact(OPS, "c", tail.first, said("s"), version=tail.version)
        assert await texts(store) == ["s", "e", "f"]

    async def test_what_was_not_read_is_never_replaced(self, store: ConversationStore[Message]) -> None:
        read = await begin(store, *"abc")
        await store.append(OPS, "c", *said("d"))
        with pytest.raises(InvalidInputError, match="upto must be from 0 to 3"):
            await store.compact(OPS, "c", 4, [], version=read.version)
        assert await texts(store) == ["a", "b", "c", "d"]

    async def test_another_prefix_is_not_replaced(self, store: ConversationStore[Message]) -> None:
        """Even if it is as long, and the clock stands still."""

        async def save() -> None:
            await store.save(OPS, await store.load(OPS, "c"))

        async def compact() -> None:
            now = await store.messages(OPS, "c")
            await store.compact(OPS, "c", 1, said("x"), version=now.version)

        async def pop() -> None:
            await store.append(OPS, "c", *await store.pop(OPS, "c"))

        async def clear() -> None:
            await store.clear(OPS, "c")
            await store.append(OPS, "c", *said(*"abc"))

        async def delete() -> None:
            await store.delete(OPS, "c")
            await begin(store, *"abc")

        read = await begin(store, *"abc")
        for change in (save, compact, pop, clear, delete):
            await change()
            before = await texts(store)
            with pytest.raises(ConflictError) as caught:
                await store.compact(OPS, "c", 2, said("s"), version=read.version)
            assert caught.value.conversation_id == "c"
            assert await texts(store) == before
            read = await store.messages(OPS, "c")
        other = await begin(store, *"abc", id="d")
        with pytest.raises(ConflictError):
            await store.compact(OPS, "c", 2, said("s"), version=other.version)
        await store.compact(OPS, "c", 2, said("s"), version=read.version)

    async def test_every_edit_is_a_change(self, make_store: MakeConversationStore) -> None:
        async with make_store(clock=lambda: 1_700_000_000_000_000) as store:
            read = await begin(store, *"abc")
            for edit in (
                store.compact(OPS, "c", 1, said("s"), version=read.version),
                store.pop(OPS, "c"),
                store.clear(OPS, "c"),
            ):
                held = await store.load(OPS, "c")
                await edit
                with pytest.raises(ConflictError):
                    await store.save(OPS, held)
                assert (await store.load(OPS, "c")).updated_at > held.updated_at

    async def test_pops_and_appends_at_once_lose_nothing(self, store: ConversationStore[Message]) -> None:
        await begin(store)
        popped: list[str] = []

        async def pop() -> None:
            for _ in range(10):
                popped.extend([message.text for message in await store.pop(OPS, "c", 2)])

        words = await append_beside(store, 15, pop, pop, pop)
        left = await texts(store)
        assert sorted(popped + left) == sorted(chain(*words))

    async def test_compactions_and_appends_at_once_lose_nothing(self, store: ConversationStore[Message]) -> None:
        """Each replaces all that it has read by one message that names it; one of two wins."""
        await begin(store)

        async def compact() -> None:
            for _ in range(10):
                read = await store.messages(OPS, "c")
                summary = " ".join(message.text for message in read)
                try:
                    await store.compact(OPS, "c", len(read), said(summary), version=read.version)
                except ConflictError:
                    pass

        words = await append_beside(store, 15, compact, compact, compact)
        found = " ".join(await texts(store)).split()
        assert sorted(found) == sorted(chain(*words))
        for own in words:
            assert [text for text in found if text in own] == own

    async def test_a_message_that_does_not_decode_is_not_popped(self, store: ConversationStore[Message]) -> None:
        await begin(store, "a")
        partition = (OPS.env, OPS.tenant_id, OPS.effective_team)
        await store.backend.append(partition, "c", [b'{"role":"nobody"}'], 1, Lifetime())
        await store.append(OPS, "c", *said("b"))
        assert await store.pop(OPS, "c") == said("b")
        with pytest.raises(CorruptSessionError) as caught:
            await store.pop(OPS, "c", 2)
        assert caught.value.position == 1
        left_out = await store.messages(OPS, "c", skip_corrupt=True)
        assert left_out == said("a")
        with pytest.raises(InvalidInputError, match="left out as corrupt"):
            await store.compact(OPS, "c", 1, said("s"), version=left_out.version)
        read = await store.messages(OPS, "c", last=0)
        assert await store.compact(OPS, "c", 2, said("s"), version=read.version) == 1
        assert await texts(store) == ["s"]

    async def test_whole_turns(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *TALK)
        for last, kept in enumerate(WHOLE):
            found = await store.messages(OPS, "c", last=last, whole_turns=True)
            assert found == TALK[len(TALK) - kept :], last
            assert (found.first, found.total) == (len(TALK) - kept, len(TALK))
            assert len(await store.messages(OPS, "c", last=last)) == last

    async def test_whole_turns_of_messages_of_another_type(self, make_store: MakeConversationStore) -> None:
        async with make_store(message_type=dict[str, Any]) as store:
            await store.create(OPS, id="c")
            call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
            talk = [call, {"role": "tool", "tool_call_id": "1", "content": "x"}, {"role": "user", "content": "y"}]
            await store.append(OPS, "c", *talk)
            assert await store.messages(OPS, "c", last=2, whole_turns=True) == talk[2:]
            assert await store.messages(OPS, "c", last=3, whole_turns=True) == talk
