"""The factory of conversation stores: the store asked for or an error, and never a password."""

from pathlib import Path
from typing import Any

import pytest
from adapter import Adapter

from greentic_session import InvalidInputError, TenantCtx
from greentic_session.conversation import (
    AdapterConversationStore,
    InMemoryConversationStore,
    Message,
    PersistenceAdapter,
    SQLiteConversationStore,
    create_conversation_store,
)
from greentic_session.conversation.backends.sqlite.backend import SQLiteConversationBackend

SECRET = "s3cr3t-w0rd"
CTX = TenantCtx.new("dev", "acme")


@pytest.mark.asyncio
async def test_memory() -> None:
    async with create_conversation_store("memory://") as store, create_conversation_store("memory://") as other:
        assert type(store) is InMemoryConversationStore
        await store.create(CTX, id="c")
        await store.append(CTX, "c", Message.user("hi"))
        assert await other.list(CTX) == []


@pytest.mark.asyncio
async def test_an_adapter() -> None:
    adapter = Adapter()
    assert isinstance(adapter, PersistenceAdapter)
    async with create_conversation_store(adapter, message_type=dict[str, int]) as store:
        assert type(store) is AdapterConversationStore
        await store.create(CTX, id="c")
        await store.append(CTX, "c", {"a": 1})
    async with create_conversation_store(adapter, message_type=dict[str, int]) as again:
        assert await again.messages(CTX, "c") == [{"a": 1}]


@pytest.mark.asyncio
async def test_options_are_handed_on() -> None:
    now = 1000.0
    async with create_conversation_store(
        "memory://", ttl=5, sliding=True, namespace="n", max_message_bytes=100, clock=lambda: 7, timer=lambda: now
    ) as store:
        created = await store.create(CTX, id="c")
        assert created.created_at.microsecond == 7
        now += 4.999
        await store.load(CTX, "c")
        now += 4.999
        with pytest.raises(InvalidInputError, match="the limit is 100"):
            await store.append(CTX, "c", Message.user("x" * 100))
        now += 0.001
        assert await store.list(CTX) == []


@pytest.mark.parametrize(
    "url",
    ["", "memory", "memory:", "memory://x", "memory:///x", f"http://user:{SECRET}@host", SECRET, f"redis://:{SECRET}@[host"],
)  # fmt: skip
def test_urls_that_name_no_backend(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        create_conversation_store(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("config", [None, 7, object(), b"memory://"])
def test_what_is_no_configuration(config: Any) -> None:
    with pytest.raises(TypeError):
        create_conversation_store(config)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ttl": -1}, InvalidInputError),
        ({"sliding": True}, InvalidInputError),
        ({"namespace": 7}, TypeError),
        ({"message_type": 7}, TypeError),
        ({"no_such_option": 1}, TypeError),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        create_conversation_store("memory://", **options)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///bot.db", "{here}/bot.db"),
        ("SQLite:///data/../bot.db", "{here}/bot.db"),
        ("sqlite:////var/lib/bot.db", "/var/lib/bot.db"),
        ("sqlite:////var/lib%2Fb%20%C3%A4%3F%23.db", "/var/lib/b \u00e4?#.db"),
    ],
)
def test_the_path_of_a_database(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = create_conversation_store(url)
    assert type(store) is SQLiteConversationStore
    assert isinstance(store.backend, SQLiteConversationBackend)
    assert store.backend.database.path == path.format(here=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///srv/conversations", "FILE:///srv", "file:", f"file:///{SECRET}"])
def test_conversations_in_files_are_imported(url: str) -> None:
    with pytest.raises(InvalidInputError, match="greentic-session import-conversations DIRECTORY --store") as caught:
        create_conversation_store(url)
    assert SECRET not in str(caught.value)
    with pytest.raises(InvalidInputError) as unknown:
        create_conversation_store("http://x")
    assert "file" not in str(unknown.value)
