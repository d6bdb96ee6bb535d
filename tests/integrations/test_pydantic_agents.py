"""Agents of pydantic-ai on conversations and replies."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest
import pytest_asyncio

from greentic_session import Claim, InMemorySessionStore, ReplyScope, Runner, SessionData, Start, TenantCtx
from greentic_session.conversation import ConversationStore, create_conversation_store

pytest.importorskip("pydantic_ai", reason="install the extra: python -m pip install 'greentic-session[pydantic-ai]'")
from pydantic_ai import Agent, DeferredToolRequests  # it needs the framework
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import FunctionModel

from greentic_session.integrations.pydantic_agents import MODEL_MESSAGE, AgentTurns, Decision, Prompt

pytestmark = pytest.mark.asyncio

ANN = TenantCtx.new("dev", "acme", user="ann")
CHAT = ReplyScope("chat-1")


@pytest_asyncio.fixture
async def histories(url: str, namespace: str) -> AsyncIterator[ConversationStore[Any]]:
    async with create_conversation_store(url, message_type=MODEL_MESSAGE, namespace=namespace, ttl=600) as store:
        yield store


class Desk:
    """An agent whose model is scripted, and that may only pay when somebody has agreed."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[list[Any]] = []
        self.paid: list[int] = []
        self.agent: Any = Agent(FunctionModel(self.model), output_type=[str, DeferredToolRequests])
        self.agent.tool_plain(self.pay, requires_approval=True)

    def model(self, messages: Any, info: Any) -> Any:
        self.asked.append(list(messages))
        parts = self.answers.pop(0)
        if isinstance(parts, Exception):
            raise parts
        return ModelResponse([TextPart(parts)] if isinstance(parts, str) else parts)

    def pay(self, euros: int) -> str:
        self.paid.append(euros)
        return f"paid {euros}"


def paying(*calls: tuple[str, int]) -> list[Any]:
    return [ToolCallPart("pay", {"euros": euros}, id) for id, euros in calls]


class Office:
    """The runner of a desk, and what it has said."""

    def __init__(self, desk: Desk, histories: ConversationStore[Any]) -> None:
        self.said: list[Any] = []
        self.heard = anyio.Semaphore(0)
        self.sessions = InMemorySessionStore()
        self.runner = Runner(self.sessions, AgentTurns(desk.agent, histories, self.say, ttl=600).work)

    async def say(self, claim: Any, output: Any) -> None:
        if isinstance(output, DeferredToolRequests):
            output = [call.tool_call_id for call in output.approvals]
        self.said.append(output)
        self.heard.release()

    async def tell(self, answer: Prompt | Decision, *, quiet: bool = False) -> Any:
        """Deliver an answer; return what is said then, unless nothing is."""
        start = Start(SessionData.new(ANN, "desk", "begin")) if isinstance(answer, Prompt) else None
        await self.runner.deliver(ANN, "ann", CHAT, msgspec.json.encode(answer).decode(), start=start)
        if quiet:
            return None
        with anyio.fail_after(30):
            await self.heard.acquire()
        return self.said[-1]


async def test_the_history_goes_on(histories: ConversationStore[Any]) -> None:
    desk = Desk("Hello.", "You said hi.")
    office = Office(desk, histories)
    async with office.sessions, office.runner:
        assert await office.tell(Prompt("hi")) == "Hello."
        assert await office.tell(Prompt("what did I say?")) == "You said hi."
    assert [len(asked) for asked in desk.asked] == [1, 3]
    [summary] = await histories.list(ANN)
    found = await histories.messages(ANN, summary.id)
    assert [type(message) for message in found] == [ModelRequest, ModelResponse] * 2
    assert isinstance(found[0].parts[0], UserPromptPart)


async def test_a_tool_waits_for_its_approval(histories: ConversationStore[Any]) -> None:
    desk = Desk(paying(("c1", 7)), "Paid.", "Yes?")
    office = Office(desk, histories)
    async with office.sessions, office.runner:
        assert await office.tell(Prompt("pay 7")) == ["c1"]
        assert desk.paid == []
        assert await office.tell(Prompt("hurry!")) == ["c1"]  # asked once more
        await office.tell(Decision({"other": True}), quiet=True)
        assert await office.tell(Decision({"c1": True})) == "Paid."
        await office.tell(Decision({"c1": True}), quiet=True)  # twice
        assert await office.tell(Prompt("hello?")) == "Yes?"
    assert desk.paid == [7]
    assert office.said == [["c1"], ["c1"], "Paid.", "Yes?"]


async def test_every_call_is_decided_before_the_agent_goes_on(histories: ConversationStore[Any]) -> None:
    desk = Desk(paying(("c1", 1), ("c2", 2), ("c3", 3)), "Done.")
    office = Office(desk, histories)
    async with office.sessions, office.runner:
        assert await office.tell(Prompt("pay")) == ["c1", "c2", "c3"]
        assert await office.tell(Decision({"c2": "too much"})) == ["c1", "c3"]
        assert await office.tell(Decision({"c2": True, "c1": True})) == ["c3"]  # the first decision counts
        assert await office.tell(Decision({"c3": False})) == "Done."
    assert desk.paid == [1]
    returned = [part for message in desk.asked[-1] for part in message.parts if part.part_kind == "tool-return"]
    assert {part.tool_call_id: part.content for part in returned}["c2"] == "too much"


async def test_what_was_written_down_is_not_repeated(histories: ConversationStore[Any]) -> None:
    """The handler dies after the turn was written: the next attempt only says it again."""
    desk = Desk("Hello.")
    office = Office(desk, histories)
    turns = AgentTurns(desk.agent, histories, office.say, ttl=600)
    async with office.sessions, Runner(office.sessions, _failing_once(turns)) as office.runner:
        await office.tell(Prompt("hi"))
        with anyio.fail_after(60):
            await office.heard.acquire()
    assert (office.said, len(desk.asked)) == (["Hello.", "Hello."], 1)


def _failing_once(turns: AgentTurns) -> Any:
    failed: list[bool] = []

    async def work(claim: Any) -> None:
        if failed:
            await turns.work(claim)
            return
        failed.append(True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Claim, "park", _broken)
            await turns.work(claim)

    return work


async def _broken(*_: Any, **__: Any) -> None:
    raise ConnectionError


async def test_what_is_refused() -> None:
    wrong: Any = "memory://"
    with pytest.raises(TypeError):
        AgentTurns(Desk().agent, wrong, Office.say)  # type: ignore[arg-type]  # that is not looked at
