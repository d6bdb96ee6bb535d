"""Agents of pydantic-ai on conversations and replies."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from frameworks.office import ANN, Office

from greentic_session.conversation import ConversationStore, create_conversation_store

pytest.importorskip("pydantic_ai", reason="install the extra: python -m pip install 'greentic-session[pydantic-ai]'")
from pydantic_ai import Agent, DeferredToolRequests  # it needs the framework
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import FunctionModel

from greentic_session.integrations.pydantic_agents import MODEL_MESSAGE, AgentTurns, Decision, Prompt

pytestmark = pytest.mark.asyncio


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

    def office(self, histories: ConversationStore[Any], **options: Any) -> Office:
        return Office(lambda say: AgentTurns(self.agent, histories, say, ttl=600, **options), shown)


def shown(output: Any) -> Any:
    return [call.tool_call_id for call in output.approvals] if isinstance(output, DeferredToolRequests) else output


def paying(*calls: tuple[str, int]) -> list[Any]:
    return [ToolCallPart("pay", {"euros": euros}, id) for id, euros in calls]


async def test_the_history_goes_on(histories: ConversationStore[Any]) -> None:
    desk = Desk("Hello.", "You said hi.")
    async with desk.office(histories).open() as office:
        assert await office.tell(Prompt("hi")) == "Hello."
        assert await office.tell(Prompt("what did I say?")) == "You said hi."
    assert [len(asked) for asked in desk.asked] == [1, 3]
    [summary] = await histories.list(ANN)
    found = await histories.messages(ANN, summary.id)
    assert [type(message) for message in found] == [ModelRequest, ModelResponse] * 2
    assert isinstance(found[0].parts[0], UserPromptPart)


async def test_a_tool_waits_for_its_approval(histories: ConversationStore[Any]) -> None:
    desk = Desk(paying(("c1", 7)), "Paid.", "Yes?")
    async with desk.office(histories).open() as office:
        assert await office.tell(Prompt("pay 7")) == ["c1"]
        assert desk.paid == []
        assert await office.tell(Prompt("hurry!")) == ["c1"]  # asked once more
        await office.deliver(Decision({"other": True}))
        assert await office.tell(Decision({"c1": True})) == "Paid."
        await office.deliver(Decision({"c1": True}))  # twice
        assert await office.tell(Prompt("hello?")) == "Yes?"
    assert desk.paid == [7]
    assert office.said == [["c1"], ["c1"], "Paid.", "Yes?"]


async def test_every_call_is_decided_before_the_agent_goes_on(histories: ConversationStore[Any]) -> None:
    desk = Desk(paying(("c1", 1), ("c2", 2), ("c3", 3)), "Done.")
    async with desk.office(histories).open() as office:
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
    office = desk.office(histories)
    async with office.open(office.work_and_die):
        await office.tell(Prompt("hi"))
        await office.hear()
    assert (office.said, len(desk.asked)) == (["Hello.", "Hello."], 1)


async def test_a_turn_gets_what_it_needs_besides(histories: ConversationStore[Any]) -> None:
    desk = Desk(paying(("c1", 7)), "Paid.")
    desk.agent.instructions(lambda run: f"serve {run.deps}")
    office = desk.office(histories, options=lambda claim: {"deps": claim.data.tenant_ctx.user})
    async with office.open():
        await office.tell(Prompt("pay 7"))
        assert await office.tell(Decision({"c1": True})) == "Paid."
    assert [asked[-1].instructions for asked in desk.asked] == ["serve ann"] * 2


async def test_what_is_refused() -> None:
    wrong: Any = "memory://"
    with pytest.raises(TypeError):
        Desk().office(wrong)
