"""Messages and state: append, messages, update_state, alone and at once."""

from itertools import chain
from typing import Any

import anyio
import msgspec
import pytest

from greentic_session.conversation import ConversationStore, Extra, Message, TextBlock, TokenUsage
from greentic_session.conversation.blocks import ImageBlock, OtherBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from greentic_session.conversation.header import Lifetime
from greentic_session.errors import ConflictError, CorruptSessionError, InvalidInputError

from .samples import OPS, MakeConversationStore, append_beside, said, texts

__all__ = ["TranscriptsContract"]


class Line(msgspec.Struct, frozen=True):
    """A message type of somebody's own."""

    who: str
    number: int


class Mark(msgspec.Struct, frozen=True, tag="mark"):
    """One of the two types in a union of message types."""

    at: int


class Note(msgspec.Struct, frozen=True, tag="note"):
    """The other type in the union."""

    text: str


EVERYTHING = [
    Message("system", (TextBlock("be brief"),)),
    Message("user", (TextBlock("look: "), ImageBlock("image/png", "iVBORw0KGgo="), TextBlock("\n\r\u2028\0😀"))),
    Message("assistant", (ThinkingBlock("hm", "c2ln"), ToolUseBlock("t1", "search", {"q": ["a", None, 1.5]}))),
    Message(
        "tool", (ToolResultBlock("t1", [{"type": "text", "text": "found"}]), ToolResultBlock("t2", "no", is_error=True))
    ),
    Message("signal", ()),
    Message(
        "user",
        (
            TextBlock("kept", extra=Extra({"cache_control": {"type": "ephemeral"}})),
            OtherBlock(Extra({"type": "document", "source": {"url": "x"}})),
            OtherBlock(Extra({"no type": 1})),
        ),
        extra=Extra({"name": "bob"}),
    ),
]


async def plant(store: ConversationStore[Any], *messages: bytes, id: str = "c") -> None:
    """Append texts of messages that the store itself would not write."""
    partition = (OPS.env, OPS.tenant_id, OPS.effective_team)
    await store.backend.append(partition, id, messages, 1, Lifetime())


class TranscriptsContract:
    """Transcripts: append, messages, update_state, typed messages."""

    async def test_append_and_read(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        assert await texts(store) == []
        assert await store.append(OPS, "c", *said("a")) == 1
        assert await store.append(OPS, "c", *said("b", "c", "d")) == 4
        assert await store.append(OPS, "c") == 4
        assert await texts(store) == ["a", "b", "c", "d"]
        loaded = await store.load(OPS, "c")
        assert loaded.messages == said("a", "b", "c", "d")
        assert [summary.message_count for summary in await store.list(OPS)] == [4]

    async def test_the_tail(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        assert await texts(store, last=3) == []
        await store.append(OPS, "c", *said(*"abcde"))
        for last in (0, 1, 2, 4, 5, 6, 2**63 - 1):
            assert await texts(store, last=last) == list("abcde")[max(5 - last, 0) :], last

    async def test_appending_to_what_was_saved(self, store: ConversationStore[Message]) -> None:
        conversation = await store.create(OPS, id="c")
        conversation.messages = said("a", "b", "c")
        await store.save(OPS, conversation)
        assert await store.append(OPS, "c", *said("d")) == 4
        assert await texts(store) == ["a", "b", "c", "d"]
        conversation = await store.load(OPS, "c")
        del conversation.messages[1:3]
        await store.save(OPS, conversation)
        assert await store.append(OPS, "c", *said("e")) == 3
        assert await texts(store) == ["a", "d", "e"]
        conversation = await store.load(OPS, "c")
        conversation.messages.clear()
        await store.save(OPS, conversation)
        assert await texts(store) == []
        assert await store.append(OPS, "c", *said("f")) == 1
        assert [summary.message_count for summary in await store.list(OPS)] == [1]

    async def test_every_kind_of_message_survives(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *EVERYTHING)
        assert await store.messages(OPS, "c") == EVERYTHING
        loaded = await store.load(OPS, "c")
        assert loaded.messages == EVERYTHING
        await store.save(OPS, loaded)
        assert await store.messages(OPS, "c") == EVERYTHING

    async def test_custom_values_and_metadata_are_removed_by_name(self, store: ConversationStore[Message]) -> None:
        """None is JSON's null: a value like any other."""
        await store.create(OPS, id="c", metadata={"a": "1", "b": "2"})
        await store.update_state(OPS, "c", custom={"a": None, "b": 1, "usage": 2})
        assert (await store.load(OPS, "c")).state.custom == {"a": None, "b": 1, "usage": 2}
        await store.update_state(
            OPS, "c", custom={"c": 3}, remove_custom=["a", "absent"], metadata={"c": "3"}, remove_metadata={"b"}
        )
        found = await store.load(OPS, "c")
        assert found.state.custom == {"b": 1, "usage": 2, "c": 3}
        assert found.metadata == {"a": "1", "c": "3"}
        await store.update_state(OPS, "c", remove_custom=("b", "usage", "c"), remove_metadata=["a", "c"])
        found = await store.load(OPS, "c")
        assert (found.state.custom, found.metadata) == ({}, {})
        refused: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"custom": {"a": 1}, "remove_custom": ["a"]}, InvalidInputError),
            ({"metadata": {"a": "1"}, "remove_metadata": ["a"]}, InvalidInputError),
            ({"remove_custom": "b"}, TypeError),
            ({"remove_metadata": [7]}, TypeError),
        ]
        for change, error in refused:
            with pytest.raises(error):
                await store.update_state(OPS, "c", **change)
        assert (await store.load(OPS, "c")).state.custom == {}

    async def test_many_and_long_messages(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        many = said(*(str(index) for index in range(2500)))
        assert await store.append(OPS, "c", *many) == 2500
        long = Message.user("ä\n" * 200_000)
        assert await store.append(OPS, "c", long) == 2501
        assert await store.messages(OPS, "c") == [*many, long]
        assert await texts(store, last=3) == ["2498", "2499", long.text]

    async def test_concurrent_appends_lose_and_reorder_nothing(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        counts: list[int] = []

        async def write(writer: int) -> None:
            for index in range(20):
                pair = said(f"{writer} {index} a", f"{writer} {index} b")
                counts.append(await store.append(OPS, "c", *pair))

        async with anyio.create_task_group() as tasks:
            for writer in range(8):
                tasks.start_soon(write, writer)
        assert sorted(counts) == list(range(2, 321, 2))
        found = [text.split() for text in await texts(store)]
        for writer in range(8):
            own = [(int(index), half) for who, index, half in found if who == str(writer)]
            assert own == [(index, half) for index in range(20) for half in "ab"]
        # What was appended together stands together.
        assert all(first[:2] == second[:2] for first, second in zip(found[::2], found[1::2], strict=True))

    async def test_update_state(self, store: ConversationStore[Message]) -> None:
        created = await store.create(OPS, id="c", metadata={"a": "1"}, model="m", cwd="/old")
        custom = {"x": [1], "y": {"z": None}}
        await store.update_state(
            OPS, "c", cwd="/new", add_usage=TokenUsage(1, 2, 3), add_events=4, custom=custom, metadata={"b": "2"}
        )
        custom["x"].append("changed afterwards")  # type: ignore[attr-defined]  # a list
        await store.append(OPS, "c", *said("hi"))
        await store.update_state(
            OPS, "c", add_usage=TokenUsage(10, 20, None, 40), custom={"y": None, "w": 0}, metadata={"a": "changed", "": ""}
        )
        loaded = await store.load(OPS, "c")
        assert loaded.state.cwd == "/new"
        assert loaded.state.token_usage == TokenUsage(11, 22, 3, 40)
        assert loaded.state.event_count == 4
        assert loaded.state.custom == {"x": [1], "y": None, "w": 0}
        assert loaded.metadata == {"a": "changed", "b": "2", "": ""}
        assert (loaded.model, loaded.messages) == ("m", said("hi"))
        assert loaded.created_at == created.created_at
        assert loaded.updated_at > created.updated_at
        await store.update_state(OPS, "c", cwd="")
        await store.update_state(OPS, "c", add_usage=TokenUsage(0, 0, None, None, 0))
        loaded = await store.load(OPS, "c")
        assert (loaded.state.cwd, loaded.state.token_usage) == ("", TokenUsage(11, 22, 3, 40, 0))

    async def test_a_counter_that_is_full(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        full = 2**53 - 1
        await store.update_state(OPS, "c", add_usage=TokenUsage(full - 1, 0, full), add_events=full)
        before = await store.load(OPS, "c")
        for usage, events in ((TokenUsage(2), 0), (TokenUsage(0, 0, 1), 0), (TokenUsage(1), 1)):
            with pytest.raises(InvalidInputError, match="would exceed"):
                await store.update_state(OPS, "c", cwd="/x", add_usage=usage, add_events=events, metadata={"a": "b"})
        assert await store.load(OPS, "c") == before
        await store.update_state(OPS, "c", add_usage=TokenUsage(1))
        assert (await store.load(OPS, "c")).state.token_usage == TokenUsage(full, 0, full)

    async def test_concurrent_updates_lose_nothing(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")

        async def work(worker: int) -> None:
            for index in range(10):
                await store.update_state(
                    OPS,
                    "c",
                    add_usage=TokenUsage(1, 2, reasoning_tokens=3),
                    add_events=1,
                    custom={f"{worker}-{index}": worker},
                    metadata={str(worker): str(index)},
                )
                await store.append(OPS, "c", *said("x"))

        async with anyio.create_task_group() as tasks:
            for worker in range(8):
                tasks.start_soon(work, worker)
        loaded = await store.load(OPS, "c")
        assert loaded.state.token_usage == TokenUsage(80, 160, reasoning_tokens=240)
        assert loaded.state.event_count == 80
        assert loaded.state.custom == {f"{worker}-{index}": worker for worker in range(8) for index in range(10)}
        assert loaded.metadata == {str(worker): "9" for worker in range(8)}
        assert len(loaded.messages) == 80

    async def test_saves_and_appends_at_once(self, store: ConversationStore[Message]) -> None:
        """A save that succeeds has seen every append before it; so none is ever lost."""
        await store.create(OPS, id="c")

        async def save() -> None:
            for _ in range(10):
                conversation = await store.load(OPS, "c")
                conversation.state.event_count += 1
                try:
                    await store.save(OPS, conversation)
                except ConflictError:
                    pass

        words = await append_beside(store, 10, save)
        assert sorted(await texts(store)) == sorted(chain(*words))

    async def test_typed_messages(self, make_store: MakeConversationStore) -> None:
        for message_type, messages in (
            (Line, [Line("a", 1), Line("b\n", 2)]),
            (Mark | Note, [Mark(1), Note("x"), Mark(2)]),
            (dict[str, int], [{"a": 1}, {}]),
            (Any, [1, None, "x", [{}]]),
            (msgspec.Raw, [msgspec.Raw(b'{"a":1}')]),
        ):
            async with make_store(message_type=message_type) as store:
                await store.create(OPS, id="c")
                assert await store.append(OPS, "c", *messages) == len(messages)
                assert await store.messages(OPS, "c") == messages
                loaded = await store.load(OPS, "c")
                assert loaded.messages == messages
                loaded.messages.append(messages[0])
                await store.save(OPS, loaded)
                assert await store.messages(OPS, "c", last=2) == [messages[-1], messages[0]]

    async def test_messages_that_would_not_read_back_are_refused(self, make_store: MakeConversationStore) -> None:
        wrong: Any = "one"
        for message_type, message, error in (
            (Line, Mark(1), TypeError),
            (Line, {"who": "a", "number": 1}, TypeError),
            (Line, Line("a", wrong), InvalidInputError),
            (Line, Line("\ud800", 1), InvalidInputError),
            (Mark | Note, Line("a", 1), InvalidInputError),
            (dict[str, int], {"a": "b"}, InvalidInputError),
            (Any, object(), TypeError),
            (Any, msgspec.Raw(b"{"), InvalidInputError),
            (Message, "hello", TypeError),
            (Message, {"role": "user", "content": []}, TypeError),
            (Message, Message.user("\udfff"), InvalidInputError),
            (Message, Message("tool", (ToolResultBlock("t", msgspec.Raw(b"{")),)), InvalidInputError),
        ):
            async with make_store(message_type=message_type) as store:
                held = await store.create(OPS, id="c")
                with pytest.raises(error):
                    await store.append(OPS, "c", message)
                held.messages = [message]
                with pytest.raises(error):
                    await store.save(OPS, held)
                assert await store.messages(OPS, "c") == []

    async def test_a_raw_message_stays_on_one_line(self, make_store: MakeConversationStore) -> None:
        async with make_store(message_type=Any) as store:
            await store.create(OPS, id="c")
            await store.append(OPS, "c", {"raw": msgspec.Raw(b'{\n "a":\r\n [1,\n2] }\n')}, "next")
            assert await store.messages(OPS, "c") == [{"raw": {"a": [1, 2]}}, "next"]

    async def test_a_message_that_does_not_decode(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("a", "b"))
        await plant(store, b'{"role":"nobody","content":["secret"]}')
        await store.append(OPS, "c", *said("d"))
        for call in (
            store.messages(OPS, "c"),
            store.messages(OPS, "c", last=2),
            store.load(OPS, "c"),
        ):
            with pytest.raises(CorruptSessionError, match="position 2") as caught:
                await call
            assert (caught.value.conversation_id, caught.value.position) == ("c", 2)
            assert "secret" not in str(caught.value)
        # The rest stays readable, and the conversation can be used.
        assert await texts(store, last=1) == ["d"]
        assert [message.text for message in await store.messages(OPS, "c", skip_corrupt=True)] == ["a", "b", "d"]
        assert await store.append(OPS, "c", *said("e")) == 5
        await store.update_state(OPS, "c", add_events=1)
        assert [summary.message_count for summary in await store.list(OPS)] == [5]
        mended = await store.load(OPS, "c", skip_corrupt=True)
        await store.save(OPS, mended)
        assert await texts(store) == ["a", "b", "d", "e"]

    async def test_messages_of_another_type(self, make_store: MakeConversationStore) -> None:
        async with make_store(message_type=Line) as store:
            await store.create(OPS, id="c")
            for text in (b'{"who":"a"}', b'{"who":"a","number":"1"}', b"null", b"[]", b'"x"', b"7"):
                await plant(store, text)
            assert await store.append(OPS, "c", Line("b", 2)) == 7
            with pytest.raises(CorruptSessionError) as caught:
                await store.messages(OPS, "c", last=3)
            assert caught.value.position == 4
            assert await store.messages(OPS, "c", skip_corrupt=True) == [Line("b", 2)]

    async def test_the_longest_message(self, make_store: MakeConversationStore) -> None:
        async with make_store(max_message_bytes=100) as store:
            held = await store.create(OPS, id="c")
            overhead = 100 - len(b'{"role":"user","content":[{"type":"text","text":""}]}')
            await store.append(OPS, "c", *said("x" * overhead))
            for text in ("x" * (overhead + 1), "é" * (overhead // 2 + 1), "\n" * (overhead // 2 + 1)):
                held.messages = said(text)
                for call in (store.append(OPS, "c", *said("x", text)), store.save(OPS, held, force=True)):
                    with pytest.raises(InvalidInputError, match="the limit is 100"):
                        await call
            assert await texts(store) == ["x" * overhead]
