"""Sessions of openai-agents on conversations, with the framework's own Runner."""

import asyncio
from typing import Any

import pytest

from greentic_session import InvalidInputError, TenantCtx
from greentic_session.conversation import ConversationStore, create_conversation_store

pytest.importorskip("agents", reason="install the extra: python -m pip install 'greentic-session[openai-agents]'")
import agents  # it needs the framework
from frameworks.scripted_agent import Scripted, calling, clerk, said

from greentic_session.integrations.openai_agents import AgentSessions

pytestmark = pytest.mark.asyncio

ACME, GLOBEX = TenantCtx.new("dev", "acme"), TenantCtx.new("dev", "globex")


async def run(model: Any, text: str, session: Any) -> str:
    return str((await agents.Runner.run(clerk(model), text, session=session)).final_output)


async def test_the_next_run_knows_what_was_said(conversations: ConversationStore[dict[str, Any]]) -> None:
    sessions = AgentSessions(conversations, ACME)
    model = Scripted([calling("c1")], [said("On its way.")], [said("You asked for parcel 7.")])
    assert await run(model, "Where is parcel 7?", sessions.session("chat-1")) == "On its way."
    assert await run(model, "What did I ask?", sessions.session("chat-1")) == "You asked for parcel 7."
    kinds = [item.get("type") or item["role"] for item in model.asked[-1]]
    assert kinds == ["user", "function_call", "function_call_output", "message", "user"]
    stored = await conversations.messages(ACME, "chat-1")
    assert [item.get("role") for item in stored] == ["user", None, None, "assistant", "user", "assistant"]
    assert await sessions.session("chat-1").get_items() == list(stored)


async def test_a_limit_leaves_no_output_without_its_call(conversations: ConversationStore[dict[str, Any]]) -> None:
    sessions = AgentSessions(conversations, ACME)
    model = Scripted([calling("c1")], [said("On its way.")], [said("No.")])
    await run(model, "Where is parcel 7?", sessions.session("chat-1"))
    await run(model, "Lost?", sessions.session("chat-1", agents.SessionSettings(limit=2)))
    assert [item.get("type") or item["role"] for item in model.asked[-1]] == ["message", "user"]


async def test_the_items_of_a_session(conversations: ConversationStore[dict[str, Any]]) -> None:
    session: Any = AgentSessions(conversations, ACME).session("chat-1")
    assert isinstance(session, agents.Session)
    assert (await session.get_items(), await session.get_items(5), await session.pop_item()) == ([], [], None)
    await session.clear_session()
    await session.add_items([])
    items: Any = [{"role": "user", "content": str(number)} for number in range(5)]
    await session.add_items(items[:2])
    await session.add_items(items[2:])
    assert await session.get_items() == items
    for limit in (0, 1, 3, 5, 9):
        assert await session.get_items(limit) == items[max(5 - limit, 0) :]
    assert await session.pop_item() == items[4]
    assert await session.get_items() == items[:4]
    await session.clear_session()
    assert (await session.get_items(), await session.pop_item()) == ([], None)
    await session.add_items(items[:1])
    assert await session.get_items() == items[:1]


async def test_a_limit_that_is_given_is_exact(conversations: ConversationStore[dict[str, Any]]) -> None:
    """The framework compares the last items with what it has sent, before it takes these back."""
    sessions = AgentSessions(conversations, ACME)
    items: Any = [calling("c1"), {"type": "function_call_output", "call_id": "c1", "output": "x"}]
    await sessions.session("chat-1").add_items(items)
    assert await sessions.session("chat-1").get_items(1) == items[1:]
    session = sessions.session("chat-1", agents.SessionSettings(limit=1))
    assert (await session.get_items(), await session.get_items(2)) == ([], items)


async def test_tenants_are_apart(conversations: ConversationStore[dict[str, Any]]) -> None:
    mine, yours = (AgentSessions(conversations, ctx).session("chat-1") for ctx in (ACME, GLOBEX))
    await mine.add_items([{"role": "user", "content": "mine"}])
    assert await yours.get_items() == []
    await yours.add_items([{"role": "user", "content": "yours"}])
    await yours.clear_session()
    assert [item["content"] for item in await mine.get_items()] == ["mine"]


async def test_many_runs_begin_one_session(conversations: ConversationStore[dict[str, Any]]) -> None:
    sessions = AgentSessions(conversations, ACME)

    async def add(number: int) -> None:
        await sessions.session("chat-1").add_items([{"role": "user", "content": f"{number}{half}"} for half in "ab"])

    await asyncio.gather(*map(add, range(10)))
    found: Any = await sessions.session("chat-1").get_items()
    texts = [item["content"] for item in found]
    assert sorted(texts) == sorted(f"{number}{half}" for number in range(10) for half in "ab")
    assert all(first[:-1] == second[:-1] for first, second in zip(texts[::2], texts[1::2], strict=True))


async def test_what_is_refused() -> None:
    wrong: Any = "memory://"
    async with create_conversation_store("memory://", message_type=dict[str, Any]) as store:
        for make, error in (
            (lambda: AgentSessions(wrong, ACME), TypeError),
            (lambda: AgentSessions(store, wrong), TypeError),
            (lambda: AgentSessions(store, ACME.with_team("-")), InvalidInputError),
            (lambda: AgentSessions(store, ACME).session(""), InvalidInputError),
        ):
            with pytest.raises(error):
                make()
