"""The agent works with a scripted model; between two of its steps it moves to another machine.

New stores, a new agent.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agent_loop import Agent, Tool

from greentic_session import RedisUrlWithNamespace, TenantCtx, create_session_store
from greentic_session.conversation import (
    ConversationStore,
    ConversationSummary,
    Message,
    TextBlock,
    TokenUsage,
    ToolResultBlock,
    ToolUseBlock,
    create_conversation_store,
)

pytestmark = pytest.mark.asyncio

CTX = TenantCtx.new("prod", "acme", user="ada")
USAGE = TokenUsage(input_tokens=10, output_tokens=2)


async def scripted(transcript: list[Message]) -> tuple[Message, TokenUsage]:
    """Look the parcel up, ask for a refund, and tell what came of it.

    Always the same answer to the same transcript.
    """
    last = transcript[-1].content[-1]
    if isinstance(last, TextBlock):
        return Message("assistant", (TextBlock("Let me see."), ToolUseBlock("u1", "look_up", {"parcel": 7}))), USAGE
    assert isinstance(last, ToolResultBlock)
    if last.tool_use_id == "u1":
        return Message("assistant", (ToolUseBlock("u2", "refund", {"euros": 5}),)), USAGE
    return Message.assistant(f"Your refund: {last.content}."), USAGE


class Tools:
    """What the agent can do; `used` tells what it did."""

    def __init__(self) -> None:
        self.used: list[tuple[str, Any]] = []
        self.tools = {
            "look_up": Tool(self._noting("look_up", "lost")),
            "refund": Tool(self._noting("refund", "paid"), needs_approval=True),
        }

    def _noting(self, name: str, result: str) -> Callable[[str, Any], Any]:
        async def call(id: str, input: Any) -> str:
            self.used.append((name, input))
            return result

        return call


@pytest.fixture
def tools() -> Tools:
    return Tools()


@pytest.fixture
def machine(redis_url: str, namespace: str, tools: Tools) -> Callable[..., Any]:
    """Makes a machine of the fleet: stores of its own on the one Redis, and an agent."""

    @asynccontextmanager
    async def make(model: Any = scripted) -> AsyncIterator[tuple[Agent, ConversationStore[Message]]]:
        config = RedisUrlWithNamespace(redis_url, namespace)
        async with (
            create_session_store(config) as sessions,
            create_conversation_store(redis_url, namespace=namespace) as conversations,
        ):
            yield Agent(sessions, conversations, model, tools.tools), conversations

    return make


async def only_one(conversations: ConversationStore[Message]) -> ConversationSummary:
    (summary,) = await conversations.list(CTX)
    return summary


async def test_a_decision_on_another_machine(machine: Callable[..., Any], tools: Tools) -> None:
    async with machine() as (agent, _):
        assert await agent.ask(CTX, "c", "Where is my parcel?") == "May I use refund with {'euros': 5}?"
    assert tools.used == [("look_up", {"parcel": 7})]
    async with machine() as (agent, conversations):
        assert await agent.decide(CTX, "c", approve=True) == "Your refund: paid."
        assert await agent.decide(CTX, "c", approve=True) is None
        conversation = await conversations.load(CTX, (await only_one(conversations)).id)
    assert tools.used == [("look_up", {"parcel": 7}), ("refund", {"euros": 5})]
    roles = [message.role for message in conversation.messages]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert conversation.state.token_usage == TokenUsage(input_tokens=30, output_tokens=6)
    assert conversation.state.event_count == 3


async def test_a_refusal(machine: Callable[..., Any], tools: Tools) -> None:
    async with machine() as (agent, _):
        await agent.ask(CTX, "c", "Where is my parcel?")
        assert await agent.decide(CTX, "c", approve=False) == "Your refund: refused."
    assert [name for name, _ in tools.used] == ["look_up"]


async def test_nobody_else_decides(machine: Callable[..., Any], tools: Tools) -> None:
    async with machine() as (agent, _):
        await agent.ask(CTX, "c", "Where is my parcel?")
        assert await agent.decide(CTX.with_user("bob"), "c", approve=True) is None
        assert await agent.decide(TenantCtx.new("prod", "other", user="ada"), "c", approve=True) is None
        assert await agent.decide(CTX, "another chat", approve=True) is None
    assert [name for name, _ in tools.used] == ["look_up"]


async def test_a_machine_that_dies_after_the_tool_was_used(machine: Callable[..., Any], tools: Tools) -> None:
    async def dies(transcript: list[Message]) -> Any:
        raise ConnectionError("no model")

    async with machine() as (agent, _):
        await agent.ask(CTX, "c", "Where is my parcel?")
    async with machine(dies) as (agent, _):
        with pytest.raises(ConnectionError):
            await agent.decide(CTX, "c", approve=True)
    assert [name for name, _ in tools.used] == ["look_up", "refund"]
    async with machine() as (agent, _):
        assert await agent.decide(CTX, "c", approve=True) == "Your refund: paid."
    assert [name for name, _ in tools.used] == ["look_up", "refund"]


async def test_two_decisions_at_different_tools(machine: Callable[..., Any], tools: Tools) -> None:
    """Each use is decided on its own: a yes to the first is none to the second."""

    async def greedy(transcript: list[Message]) -> tuple[Message, TokenUsage]:
        uses = tuple(ToolUseBlock(f"u{euros}", "refund", {"euros": euros}) for euros in (1, 2))
        return (Message("assistant", uses) if len(transcript) == 1 else Message.assistant("Done.")), USAGE

    async with machine(greedy) as (agent, _):
        assert await agent.ask(CTX, "c", "Pay.") == "May I use refund with {'euros': 1}?"
        assert await agent.decide(CTX, "c", approve=True) == "May I use refund with {'euros': 2}?"
        assert await agent.decide(CTX, "c", approve=False) == "Done."
    assert tools.used == [("refund", {"euros": 1})]


async def test_a_tool_that_there_is_not(machine: Callable[..., Any], tools: Tools) -> None:
    async def mistaken(transcript: list[Message]) -> tuple[Message, TokenUsage]:
        if len(transcript) == 1:
            return Message("assistant", (ToolUseBlock("u1", "fly", {}),)), USAGE
        (result,) = transcript[-1].content
        assert isinstance(result, ToolResultBlock)
        return Message.assistant(str(result.content)), USAGE

    async with machine(mistaken) as (agent, _):
        assert "no such tool" in await agent.ask(CTX, "c", "Fly!")
    assert tools.used == []
