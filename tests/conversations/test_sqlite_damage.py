"""Conversations in a database that another program has changed: what can still be read."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conversation_databases import connected, make

from greentic_session import CorruptSessionError, SchemaVersionError
from greentic_session.conversation import Conversation, ConversationStore
from greentic_session.errors import CorruptStoreError
from greentic_session.testing._conversations.samples import OPS, said, texts

Call = Callable[[ConversationStore[Any]], Awaitable[object]]

READING_THE_HEADER: list[Call] = [
    lambda store: store.load(OPS, "c"),
    lambda store: store.update_state(OPS, "c", cwd="/srv"),
]
READING_THE_VERSION: list[Call] = [
    *READING_THE_HEADER,
    lambda store: store.append(OPS, "c", *said("x")),
    lambda store: store.messages(OPS, "c"),
]


async def damaged(path: Path, *statements: str) -> ConversationStore[Any]:
    """Return a store of two conversations with three messages: "c" was changed so, "d" not."""
    store = make(path)
    for id in "cd":
        await store.create(OPS, id=id)
        await store.append(OPS, id, *said("one", "two", "three"))
    with connected(path) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1
    return store


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE conversation_header SET text = x'7b' WHERE conversation = 1",
        "UPDATE conversation_header SET text = x'ff' WHERE conversation = 1",
        "UPDATE conversation_header SET text = 'no JSON' WHERE conversation = 1",
        "UPDATE conversation_header SET text = '[]' WHERE conversation = 1",
        'UPDATE conversation_header SET text = \'{"event_count":-1,"state":{"event_count":-1}}\' WHERE conversation = 1',
        "UPDATE conversation_header SET text = 7 WHERE conversation = 1",
        "DELETE FROM conversation_header WHERE conversation = 1",
    ],
)
async def test_a_header_that_cannot_be_read(statement: str, tmp_path: Path) -> None:
    async with await damaged(tmp_path / "bot.db", statement) as store:
        for call in READING_THE_HEADER:
            with pytest.raises(CorruptSessionError) as caught:
                await call(store)
            assert caught.value.conversation_id == "c"
        assert await texts(store) == ["one", "two", "three"]
        assert await store.append(OPS, "c", *said("four")) == 4
        assert {summary.id for summary in await store.list(OPS)} == {"c", "d"}
        await store.save(OPS, Conversation(id="c", messages=said("new")), force=True)
        assert await texts(store) == ["new"]
        assert (await store.load(OPS, "d")).messages == said("one", "two", "three")


@pytest.mark.asyncio
async def test_a_header_that_cannot_be_read_may_be_deleted(tmp_path: Path) -> None:
    async with await damaged(tmp_path / "bot.db", "DELETE FROM conversation_header WHERE conversation = 1") as store:
        await store.delete(OPS, "c")
        assert [summary.id for summary in await store.list(OPS)] == ["d"]


@pytest.mark.asyncio
async def test_a_newer_conversation_is_refused_by_all_but_delete_and_a_forced_save(tmp_path: Path) -> None:
    newer = "UPDATE conversation SET schema_version = 2 WHERE id = 'c'"
    async with await damaged(tmp_path / "bot.db", newer) as store:
        held = Conversation(id="c", messages=said("new"))
        replacing: list[Call] = [lambda store: store.create(OPS, id="c"), lambda store: store.save(OPS, held)]
        for call in [*READING_THE_VERSION, *replacing]:
            with pytest.raises(SchemaVersionError, match="unsupported session schema version 2") as caught:
                await call(store)
            assert caught.value.conversation_id == "c"
        await store.save(OPS, held, force=True)
        assert await texts(store) == ["new"]
        await store.delete(OPS, "c")


@pytest.mark.asyncio
async def test_an_older_conversation_is_migrated_by_the_next_change(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    older = (
        "UPDATE conversation SET schema_version = 0 WHERE id = 'c'",
        'UPDATE conversation_header SET text = \'{"model":"old"}\' WHERE conversation = 1',
    )
    async with await damaged(path, *older) as store:
        loaded = await store.load(OPS, "c")
        assert (loaded.model, loaded.schema_version) == ("old", 1)
        await store.update_state(OPS, "c", cwd="/srv")
        assert (await store.load(OPS, "c")).state.cwd == "/srv"
        with connected(path) as connection:
            assert connection.execute("SELECT schema_version FROM conversation WHERE id = 'c'").fetchall() == [(1,)]


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["x'7b'", "x'ff'", "'no JSON'", "7", "''"])
async def test_a_message_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    damage = f"UPDATE conversation_message SET text = {text} WHERE conversation = 1 AND position = 1"
    async with await damaged(tmp_path / "bot.db", damage) as store:
        for last in (None, 2):
            with pytest.raises(CorruptSessionError) as caught:
                await store.messages(OPS, "c", last=last)
            assert caught.value.position == 1
        assert [message.text for message in await store.messages(OPS, "c", last=1)] == ["three"]
        held = await store.load(OPS, "c", skip_corrupt=True)
        assert [message.text for message in held.messages] == ["one", "three"]
        await store.save(OPS, held)
        assert await texts(store) == ["one", "three"]


@pytest.mark.asyncio
async def test_a_message_stored_as_text_is_read(tmp_path: Path) -> None:
    damage = "UPDATE conversation_message SET text = CAST(text AS TEXT) WHERE conversation = 1 AND position = 1"
    async with await damaged(tmp_path / "bot.db", damage) as store:
        assert await texts(store) == ["one", "two", "three"]


@pytest.mark.asyncio
async def test_a_message_that_is_missing_is_one_that_cannot_be_read(tmp_path: Path) -> None:
    damage = "DELETE FROM conversation_message WHERE conversation = 1 AND position = 1"
    async with await damaged(tmp_path / "bot.db", damage) as store:
        with pytest.raises(CorruptSessionError) as caught:
            await store.messages(OPS, "c")
        assert (caught.value.conversation_id, caught.value.position) == ("c", 1)
        assert [message.text for message in await store.messages(OPS, "c", last=1)] == ["three"]
        held = await store.load(OPS, "c", skip_corrupt=True)
        assert [message.text for message in held.messages] == ["one", "three"]


@pytest.mark.asyncio
async def test_what_is_no_database_is_a_corrupt_store(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    path.write_bytes(b"no database, but text that is long enough" * 1000)
    async with make(path) as store:
        with pytest.raises(CorruptStoreError):
            await store.create(OPS, id="c")
    assert path.read_bytes().startswith(b"no database")
