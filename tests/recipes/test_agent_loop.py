"""The agent works with a scripted model; between two of its steps it moves to another machine."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_loop import Agent, Decision, Question, Tool, tell
from agent_script import CTX, USAGE, scripted
from conftest import Open
from turns import Turns, until

from greentic_session import Runner, TenantCtx, create_session_store
from greentic_session.conversation import (
    ConversationStore,
    InMemoryConversationStore,
    Message,
    TokenUsage,
    ToolResultBlock,
    ToolUseBlock,
)
from greentic_session.testing import later

pytestmark = pytest.mark.asyncio

CHAT = "c"
WHERE = Question("Where is my parcel?")
MAY_I = "May I use refund with {'euros': 5}?"


class World:
    """A chat, and the tools; `machine` is one of the fleet, with an agent at work."""

    def __init__(self, open_store: Open) -> None:
        self._open_store = open_store
        self.conversations: ConversationStore[Message] = InMemoryConversationStore()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.used: list[tuple[str, Any]] = []
        self.keys: list[str] = []
        self.tools = {
            "look_up": Tool(self._noting("look_up", "lost")),
            "refund": Tool(self._noting("refund", "paid"), needs_approval=True),
        }

    def _noting(self, name: str, result: str) -> Callable[[str, Any], Awaitable[str]]:
        async def call(key: str, input: Any) -> str:
            self.used.append((name, input))
            self.keys.append(key)
            return result

        return call

    async def _say(self, ctx: TenantCtx, chat: str, text: str, use: str | None) -> None:
        assert (ctx.effective_user, chat) == ("ada", CHAT)
        self.said.append(text)
        if use is not None:
            self.asked.append(use)

    @asynccontextmanager
    async def machine(self, model: Any = scripted) -> AsyncIterator["Machine"]:
        async with self._open_store() as store:
            turns = Turns(Agent(self.conversations, model, self.tools, self._say).work)
            async with Runner(store, turns) as runner:
                yield Machine(self, runner, turns)


class Machine:
    """Where people talk to the agent."""

    def __init__(self, world: World, runner: Runner, turns: Turns) -> None:
        self._world = world
        self.turns = turns
        self.runner = runner

    async def tell(self, said: Question | Decision, ctx: TenantCtx = CTX) -> list[str]:
        """Say something; return what the agent says to it."""
        count = self.turns.ended + 1
        if not await tell(self.runner, ctx, CHAT, said):
            return []
        await self.turns.reach(count)
        heard, self._world.said = self._world.said, []
        return heard


@pytest.fixture
def world(open_store: Open) -> World:
    return World(open_store)


async def test_a_decision_on_another_machine(world: World) -> None:
    async with world.machine() as machine:
        assert await machine.tell(WHERE) == [MAY_I]
    assert world.used == [("look_up", {"parcel": 7})]
    async with world.machine() as machine:
        assert await machine.tell(Decision("u2", approve=True)) == ["Your refund: paid."]
        assert await machine.tell(Decision("u2", approve=True)) == ["That is over."]
    assert world.used == [("look_up", {"parcel": 7}), ("refund", {"euros": 5})]
    assert len(set(world.keys)) == 2
    (summary,) = await world.conversations.list(CTX)
    conversation = await world.conversations.load(CTX, summary.id)
    roles = [message.role for message in conversation.messages]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert conversation.state.token_usage == TokenUsage(input_tokens=30, output_tokens=6)
    assert conversation.state.event_count == 3


async def test_a_refusal(world: World) -> None:
    async with world.machine() as machine:
        await machine.tell(WHERE)
        assert await machine.tell(Decision("u2", approve=False)) == ["Your refund: refused."]
    assert [name for name, _ in world.used] == ["look_up"]


async def test_nobody_else_decides(world: World) -> None:
    async with world.machine() as machine:
        await machine.tell(WHERE)
        decision = Decision("u2", approve=True)
        assert await machine.tell(decision, CTX.with_user("bob")) == []
        assert await machine.tell(decision, TenantCtx.new("prod", "other", user="ada")) == []
        assert not await tell(machine.runner, CTX, "another chat", decision)
        assert await machine.tell(Decision("u1", approve=True)) == ["First decide about what I asked last."]
    assert [name for name, _ in world.used] == ["look_up"]


async def test_questions_at_once_are_answered_one_after_the_other(world: World) -> None:
    async def echo(transcript: list[Message]) -> tuple[Message, TokenUsage]:
        return Message.assistant(transcript[-1].text.upper()), USAGE

    async with world.machine(echo) as machine:
        for text in ("a", "b", "c"):
            assert await tell(machine.runner, CTX, CHAT, Question(text))
        await machine.turns.reach(3)
    assert world.said == ["A", "B", "C"]
    assert len(await world.conversations.list(CTX)) == 3


async def test_a_machine_that_fails_before_its_first_answer(world: World, open_store: Open) -> None:
    """The question is in the transcript once."""

    async def fails(transcript: list[Message]) -> Any:
        raise ConnectionError("no model")

    async with world.machine(fails) as machine:
        assert await tell(machine.runner, CTX, CHAT, WHERE)
    async with open_store() as store:
        await later(store, 1)  # it was put off for so long
    async with world.machine() as machine:
        await machine.turns.reach(1)
    assert world.said == [MAY_I]
    (summary,) = await world.conversations.list(CTX)
    roles = [message.role for message in await world.conversations.messages(CTX, summary.id)]
    assert roles == ["user", "assistant", "tool", "assistant"]


async def test_a_machine_that_fails_after_the_tool_was_used(world: World, open_store: Open) -> None:
    async def fails(transcript: list[Message]) -> Any:
        raise ConnectionError("no model")

    async with world.machine() as machine:
        await machine.tell(WHERE)
    async with world.machine(fails) as machine:
        assert await tell(machine.runner, CTX, CHAT, Decision("u2", approve=True), "d1")
    assert [name for name, _ in world.used] == ["look_up", "refund"]
    async with open_store() as store:
        await later(store, 1)  # it was put off for so long
    async with world.machine() as machine:
        await machine.turns.reach(1)
        assert world.said == ["Your refund: paid."]
        assert await tell(machine.runner, CTX, CHAT, Decision("u2", approve=True), "d1")  # the provider's second try
    assert [name for name, _ in world.used] == ["look_up", "refund"]


async def test_two_decisions_at_different_tools(world: World) -> None:
    """Each use is decided on its own: a yes to the first is none to the second."""

    async def greedy(transcript: list[Message]) -> tuple[Message, TokenUsage]:
        uses = tuple(ToolUseBlock(f"u{euros}", "refund", {"euros": euros}) for euros in (1, 2))
        return (Message("assistant", uses) if len(transcript) == 1 else Message.assistant("Done.")), USAGE

    async with world.machine(greedy) as machine:
        assert await machine.tell(Question("Pay.")) == ["May I use refund with {'euros': 1}?"]
        assert await machine.tell(Decision("u1", approve=True)) == ["May I use refund with {'euros': 2}?"]
        assert await machine.tell(Decision("u2", approve=False)) == ["Done."]
    assert world.used == [("refund", {"euros": 1})]


async def test_a_tool_that_there_is_not(world: World) -> None:
    async def mistaken(transcript: list[Message]) -> tuple[Message, TokenUsage]:
        if len(transcript) == 1:
            return Message("assistant", (ToolUseBlock("u1", "fly", {}),)), USAGE
        (result,) = transcript[-1].content
        assert isinstance(result, ToolResultBlock)
        return Message.assistant(str(result.content)), USAGE

    async with world.machine(mistaken) as machine:
        assert "no such tool" in str(await machine.tell(Question("Fly!")))
    assert world.used == []


PROCESS = Path(__file__).with_name("agent_process.py")


async def test_a_machine_that_is_killed_in_the_middle_of_an_approved_tool(durable_url: str, tmp_path: Path) -> None:
    """The approval is there, the next machine goes on, and the tool gets the same key."""
    notes = tmp_path / "notes"

    def start() -> "subprocess.Popen[str]":
        environment = os.environ | {"STORE_URL": durable_url, "NOTES": str(notes), "PYTHONPATH": str(PROCESS.parents[2])}
        return subprocess.Popen([sys.executable, PROCESS], env=environment, text=True)

    def noted(what: str) -> list[str]:
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{what} ")]

    async def is_refunding() -> bool:
        return len(noted("refund")) == 1

    async def has_answered() -> bool:
        return noted("say")[1:] == ["Your refund: paid."]

    async def has_asked() -> bool:
        return noted("say") == [MAY_I]

    (tmp_path / "hold").touch()
    async with create_session_store(durable_url) as store:
        runner = Runner(store, _nobody)  # never entered: it delivers, and works on nothing
        first = start()
        try:
            await tell(runner, CTX, CHAT, WHERE, "d1")
            await until(has_asked)
            await tell(runner, CTX, CHAT, Decision("u2", approve=True), "d2")
            await until(is_refunding)
        finally:
            first.kill()
            first.wait()
        (tmp_path / "hold").unlink()
        await later(store, 30)  # its lease
        second = start()
        try:
            await until(has_answered)
        finally:
            second.terminate()
            second.wait()
    keys = noted("refund")
    assert len(keys) == 2
    assert keys[0] == keys[1]


async def _nobody(_: Any) -> None:
    raise AssertionError
