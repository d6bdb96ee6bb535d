"""Whole store: create, save, load, delete, and whose they are."""

import copy
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import anyio
import pytest

from greentic_session.conversation import (
    SCHEMA_VERSION,
    Conversation,
    ConversationState,
    ConversationStore,
    Message,
    TokenUsage,
)
from greentic_session.conversation.header import Header, Lifetime, Stored
from greentic_session.errors import ConflictError, NotFoundError, SchemaVersionError
from greentic_session.models import TenantCtx

from .samples import ODD_IDS, OPS, PARTITIONS, MakeConversationStore, StandingClock, said, texts, uses_of

__all__ = ["ConversationsContract"]


def full() -> Conversation[Message]:
    """Return a conversation that has everything."""
    conversation = Conversation[Message].new("c", "/srv/ä")
    conversation.messages = [Message.system("be brief"), *said("hello"), Message.assistant("hi\n\0 \u2028")]
    conversation.state.token_usage = TokenUsage(1, 2**53 - 1, None, 0, 5, {"iterations": [{"n": 1}]})
    conversation.state.event_count = 7
    conversation.state.custom = {"list": [1, None, {"a": 0.5}], "": {}, "ä\n": [], "big": 2**53 + 1}
    conversation.state.extra = {"mood": "good"}
    conversation.model = "m-1"
    conversation.max_turns = 2**64 - 1
    conversation.system_message = ""
    conversation.metadata = {"tag": "x", "": "", "ä:b\0": "\n"}
    conversation.extra = {"later": {"version": [True]}}
    conversation.created_at = datetime(2024, 2, 29, 23, 59, 59, 123_456, tzinfo=UTC)
    return conversation


async def newer(store: ConversationStore[Any], id: str = "c") -> None:
    """Put a conversation there that a newer version has written."""
    header = Header(birth="future", created_at=1, updated_at=2, schema_version=SCHEMA_VERSION + 1)
    partition = (OPS.env, OPS.tenant_id, OPS.effective_team)
    await store.backend.put(partition, id, header, [b'{"new":1}'], Stored.NOTHING, Lifetime())


class ConversationsContract:
    """Operations by id: create, save, load, delete; partitions and ids; the envelope."""

    async def test_create_with_and_without_configuration(self, store: ConversationStore[Message]) -> None:
        before = datetime.now(UTC)
        plain = await store.create(OPS)
        metadata = {"tag": "x"}
        configured = await store.create(
            OPS, id="c", model="m", max_turns=3, system_message="be brief", cwd="/srv", metadata=metadata
        )
        metadata["tag"] = "changed afterwards"
        assert len(plain.id) == 36
        assert (plain.messages, plain.state, plain.model, plain.max_turns) == ([], ConversationState(), "", 0)
        assert (plain.system_message, plain.metadata, plain.schema_version) == (None, {}, SCHEMA_VERSION)
        assert plain.created_at == plain.updated_at
        assert before - timedelta(seconds=60) < plain.created_at < datetime.now(UTC) + timedelta(seconds=60)
        assert (configured.id, configured.model, configured.max_turns) == ("c", "m", 3)
        assert (configured.system_message, configured.state.cwd, configured.metadata) == ("be brief", "/srv", {"tag": "x"})
        assert await store.load(OPS, plain.id) == plain
        assert await store.load(OPS, "c") == configured

    async def test_create_refuses_an_id_that_is_there(self, store: ConversationStore[Message]) -> None:
        first = await store.create(OPS, id="c", model="first")
        with pytest.raises(ConflictError) as caught:
            await store.create(OPS, id="c", model="second")
        assert caught.value.conversation_id == "c"
        assert await store.load(OPS, "c") == first

    async def test_one_of_many_creates_it(self, store: ConversationStore[Message]) -> None:
        won: list[str] = []

        async def create(model: str) -> None:
            try:
                won.append((await store.create(OPS, id="c", model=model)).model)
            except ConflictError:
                pass

        async with anyio.create_task_group() as tasks:
            for index in range(10):
                tasks.start_soon(create, f"m{index}")
        assert [(await store.load(OPS, "c")).model] == won

    async def test_everything_survives_a_save(self, store: ConversationStore[Message]) -> None:
        conversation = full()
        await store.save(OPS, conversation)
        loaded = await store.load(OPS, "c")
        assert loaded == conversation
        for name in conversation.__struct_fields__:
            if not name.startswith("_"):
                assert getattr(loaded, name) == getattr(conversation, name), name
        await store.save(OPS, loaded)
        assert await store.load(OPS, "c") == loaded

    async def test_a_new_conversation(self, store: ConversationStore[Message]) -> None:
        conversation = Conversation[Message].new("c", cwd="/srv")
        assert conversation.created_at == conversation.updated_at
        assert conversation.created_at.utcoffset() == timedelta(0)
        assert (conversation.messages, conversation.state.token_usage) == ([], TokenUsage())
        before = conversation.updated_at
        await store.save(OPS, conversation)
        assert conversation.created_at <= before < conversation.updated_at
        assert await store.list(OPS) == [conversation.summary()]

    async def test_times_of_other_zones(self, store: ConversationStore[Message]) -> None:
        conversation = Conversation[Message].new("c")
        conversation.created_at = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        conversation.updated_at = datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=-3)))
        await store.save(OPS, conversation)
        assert conversation.created_at == datetime(2023, 12, 31, 19, 30, tzinfo=UTC)
        assert (await store.load(OPS, "c")).created_at == conversation.created_at

    async def test_what_the_caller_does_afterwards_changes_nothing(self, store: ConversationStore[Message]) -> None:
        conversation = full()
        await store.save(OPS, conversation)
        stored = copy.deepcopy(conversation)

        def meddle(mine: Conversation[Message]) -> None:
            mine.messages.clear()
            mine.state.custom["list"].append("x")
            mine.state.cwd = "elsewhere"
            mine.metadata["tag"] = "changed"
            mine.extra["later"]["version"].clear()
            mine.created_at = datetime.now(UTC)

        meddle(conversation)
        assert await store.load(OPS, "c") == stored
        meddle(await store.load(OPS, "c"))
        assert await store.load(OPS, "c") == stored
        (await store.messages(OPS, "c")).clear()
        assert await store.load(OPS, "c") == stored

    async def test_save_refuses_what_was_changed_meanwhile(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        mine, yours = await store.load(OPS, "c"), await store.load(OPS, "c")
        mine.model, yours.model = "mine", "yours"
        await store.save(OPS, mine)
        with pytest.raises(ConflictError) as caught:
            await store.save(OPS, yours)
        assert caught.value.conversation_id == "c"
        assert await store.load(OPS, "c") == mine
        mine.model = "mine again"
        await store.save(OPS, mine)  # nobody else has changed it since
        assert (await store.load(OPS, "c")).model == "mine again"
        await store.save(OPS, yours, force=True)
        assert await store.load(OPS, "c") == yours
        await store.save(OPS, yours)
        with pytest.raises(ConflictError):
            await store.save(OPS, mine)

    async def test_every_write_is_a_change(self, store: ConversationStore[Message]) -> None:
        """Even if all of it happens in one microsecond, as far as the clock can tell."""
        for write in (
            partial(store.append, OPS, "c", *said("x")),
            partial(store.update_state, OPS, "c", cwd="/x"),
            partial(store.update_state, OPS, "c"),
            partial(store.delete, OPS, "c"),
        ):
            held = await store.create(OPS, id="c")
            await write()
            with pytest.raises(ConflictError):
                await store.save(OPS, held)
            await store.purge(OPS)
        held = await store.create(OPS, id="c")
        await store.append(OPS, "c")  # nothing is appended
        await store.messages(OPS, "c")
        await store.save(OPS, held)

    async def test_a_deleted_conversation_stays_deleted(self, make_store: MakeConversationStore) -> None:
        clock = StandingClock()
        async with make_store(clock=clock) as store:
            held = await store.create(OPS, id="c", model="first")
            await store.append(OPS, "c", *said("a", "b"))
            current = await store.load(OPS, "c")
            await store.delete(OPS, "c")
            with pytest.raises(ConflictError):
                await store.save(OPS, current)
            assert await store.list(OPS) == []
            # Another one under the same id, made in the same microsecond, is another one.
            await store.create(OPS, id="c", model="second")
            assert await texts(store) == []
            with pytest.raises(ConflictError):
                await store.save(OPS, held)
            await store.delete(OPS, "c")
            await store.save(OPS, current, force=True)
            assert await store.load(OPS, "c") == current

    async def test_an_object_that_was_never_stored_replaces_nothing(self, store: ConversationStore[Message]) -> None:
        first = Conversation[Message].new("c")
        await store.save(OPS, first)
        second = Conversation[Message].new("c", "/other")
        with pytest.raises(ConflictError):
            await store.save(OPS, second)
        await store.save(OPS, second, force=True)
        assert second.created_at == first.created_at
        assert second.updated_at > first.updated_at
        assert await store.load(OPS, "c") == second

    async def test_a_copy_of_an_object_knows_what_it_was_loaded_from(self, store: ConversationStore[Message]) -> None:
        held = await store.create(OPS, id="c")
        copied = copy.deepcopy(held)
        await store.save(OPS, copied)
        with pytest.raises(ConflictError):
            await store.save(OPS, held)

    async def test_times_go_on_whatever_the_clock_says(self, make_store: MakeConversationStore) -> None:
        clock = StandingClock()
        async with make_store(clock=clock) as store:
            conversation = await store.create(OPS, id="c")
            created, seen = conversation.created_at, [conversation.updated_at]
            for step in (0, 0, -3_600_000_000, 1_000, -1, 7_200_000_000):
                clock.now += step
                await store.append(OPS, "c", *said("x"))
                seen.append((await store.list(OPS))[0].updated_at)
                await store.update_state(OPS, "c", add_events=1)
                seen.append((await store.list(OPS))[0].updated_at)
                conversation = await store.load(OPS, "c")
                conversation.created_at -= timedelta(days=1)
                await store.save(OPS, conversation)
                seen.append(conversation.updated_at)
                loaded = await store.load(OPS, "c")
                assert (loaded.created_at, loaded.updated_at) == (created, conversation.updated_at)
                assert conversation.created_at == created
            assert seen == sorted(set(seen))

    async def test_delete(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("a"))
        await store.create(OPS, id="d")
        await store.delete(OPS, "c")
        assert [summary.id for summary in await store.list(OPS)] == ["d"]
        await store.create(OPS, id="c")
        assert await texts(store) == []

    async def test_an_unknown_id_is_not_found_everywhere(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        elsewhere = [(partition, "c") for partition in PARTITIONS[1:]]
        for ctx, id in [(OPS, "d"), (OPS, "C"), *elsewhere]:
            for call in (
                store.load(ctx, id),
                store.delete(ctx, id),
                store.append(ctx, id),
                store.append(ctx, id, *said("x")),
                store.messages(ctx, id),
                store.messages(ctx, id, last=0),
                store.pop(ctx, id),
                store.clear(ctx, id),
                store.compact(ctx, id, 0, [], version="0.x"),
                store.update_state(ctx, id, cwd="/x"),
                store.list(ctx, after=id),
            ):
                with pytest.raises(NotFoundError) as caught:
                    await call
                assert caught.value.conversation_id == id
        assert [summary.id for summary in await store.list(OPS)] == ["c"]

    async def test_partitions_are_apart(self, store: ConversationStore[Message]) -> None:
        for index, partition in enumerate(PARTITIONS):
            await store.create(partition, id="c", model=str(index))
            await store.append(partition, "c", *said(str(index)))
        for index, partition in enumerate(PARTITIONS):
            assert (await store.load(partition, "c")).model == str(index)
            assert await texts(store, partition) == [str(index)]
            assert len(await store.list(partition)) == 1
        await store.delete(PARTITIONS[0], "c")
        assert await store.purge(PARTITIONS[3]) == 1
        for index, partition in enumerate(PARTITIONS):
            assert len(await store.list(partition)) == (0 if index in (0, 3) else 1)

    async def test_a_partition_is_env_tenant_and_team(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS.with_user("alice"), id="c")
        await store.append(OPS.with_user("bob"), "c", *said("hi"))
        legacy = TenantCtx(env="dev", tenant="other", tenant_id="acme", team="ops", attempt=0)
        assert await texts(store, legacy) == ["hi"]

    async def test_any_text_can_be_an_id(self, store: ConversationStore[Message]) -> None:
        for id in ODD_IDS:
            await store.create(OPS, id=id, model=id)
            await store.append(OPS, id, *said(id))
        for id in ODD_IDS:
            loaded = await store.load(OPS, id)
            assert (loaded.id, loaded.model, [message.text for message in loaded.messages]) == (id, id, [id])
        assert sorted(summary.id for summary in await store.list(OPS)) == sorted(ODD_IDS)
        for partition in PARTITIONS[1:]:
            assert await store.list(partition) == []
        for id in ODD_IDS:
            await store.delete(OPS, id)
        assert await store.list(OPS) == []

    async def test_a_newer_schema_is_refused_by_name(self, store: ConversationStore[Message]) -> None:
        await newer(store)
        conversation = Conversation[Message].new("c")
        for call in (*uses_of(store), store.create(OPS, id="c"), store.save(OPS, conversation)):
            with pytest.raises(SchemaVersionError, match=r"unsupported session schema version 2 .*\(expected 1\)") as caught:
                await call
            assert caught.value.conversation_id == "c"
        await store.save(OPS, conversation, force=True)
        assert await store.load(OPS, "c") == conversation
        await store.delete(OPS, "c")
        await newer(store)
        await store.delete(OPS, "c")
        await newer(store)
        await store.create(OPS, id="d")
        assert "d" in [summary.id for summary in await store.list(OPS)]
        await store.purge(OPS)
        await store.create(OPS, id="c")
