"""A database that threads, event loops, sessions and conversations share."""

import asyncio
import gc
import json
import threading
import warnings
from pathlib import Path

import anyio
import pytest
from conversation_databases import connected, make, rows
from races.conversations import check_many_threads
from races.threads import wait_until

from greentic_session import ReplyScope, SessionData, TenantCtx, create_session_store
from greentic_session.conversation import (
    Conversation,
    Message,
    create_conversation_store,
    link_conversation,
    linked_conversation,
)
from greentic_session.testing._conversations.samples import OPS, said

NEURON = json.dumps(
    {
        "id": "session-1",
        "messages": [{"role": "User", "content": [{"Text": "What is this?"}, {"Compaction": {"content": "A parcel."}}]}],
        "state": {
            "cwd": "/srv",
            "token_usage": {"input_tokens": 1, "output_tokens": 2, "iterations": [{"input_tokens": 4}]},
            "event_count": 3,
            "custom": {"plan": ["a", {"b": 1.5}]},
        },
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:31:00Z",
        "more": [1],
    }
)


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("rounds", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_threads_lose_and_reorder_nothing(rounds: int, tmp_path: Path) -> None:
    store = make(tmp_path / "bot.db")
    assert check_many_threads(store, rounds) == 1 + 2 * rounds
    anyio.run(store.aclose)
    assert rows(tmp_path / "bot.db") == {
        "conversation": 1 + 2 * rounds,
        "conversation_header": 1 + 2 * rounds,
        "conversation_message": 4 * rounds,
        "conversation_garbage": 0,
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("first", ["sessions", "conversations"])
async def test_sessions_and_conversations_share_a_file_whoever_makes_it(first: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    ctx = TenantCtx.new("dev", "acme", user="ada")
    scope = ReplyScope("chat")
    async with create_session_store(url) as sessions, create_conversation_store(url) as conversations:
        await (sessions if first == "sessions" else conversations).health()
        id = (await conversations.create(ctx)).id
        await conversations.append(ctx, id, Message.user("/order"))
        data = link_conversation(SessionData.new(ctx, "order", "ask"), id)
        await sessions.register_wait(ctx, "ada", scope, "key", data)
    async with create_session_store(url) as sessions, create_conversation_store(url) as conversations:
        async with await sessions.claim_wait(ctx, "ada", scope) or pytest.fail("nothing waits") as claim:
            assert linked_conversation(claim.data) == id
            assert await conversations.append(ctx, id, Message.assistant("What would you like?")) == 2
            await claim.complete()
        assert await sessions.purge(ctx) == 0
        assert [message.text for message in await conversations.messages(ctx, id)] == ["/order", "What would you like?"]
    with connected(tmp_path / "bot.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.asyncio
async def test_nothing_of_an_imported_conversation_is_lost(tmp_path: Path) -> None:
    imported = Conversation.from_neuron(NEURON)
    async with make(tmp_path / "bot.db") as store:
        await store.save(OPS, imported)
    async with make(tmp_path / "bot.db") as store:
        loaded = await store.load(OPS, imported.id)
        assert loaded == imported
        assert loaded.extra == {"more": [1]}
        await store.append(OPS, imported.id, Message.assistant("A parcel."))
        await store.update_state(OPS, imported.id, add_events=1)
        again = await store.load(OPS, imported.id)
        assert (again.extra, again.state.event_count) == ({"more": [1]}, 4)


@pytest.mark.parametrize("closed", [True, False])
def test_a_store_leaves_no_thread_and_no_warning_behind(closed: bool, tmp_path: Path) -> None:  # noqa: FBT001
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("greentic-session-sqlite")}

    before = threads()

    async def use() -> None:
        store = make(tmp_path / "bot.db")
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("x"))
        await store.load(OPS, "c")
        if closed:
            await store.aclose()
            assert threads() <= before

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(use())
        gc.collect()
        wait_until(lambda: threads() <= before)
