"""Runs of openai-agents that wait for approvals, on conversations and replies."""

import inspect
from typing import Any

import anyio
import msgspec
import pytest
from frameworks.office import ANN, CHAT, Office

from greentic_session import ConflictError, SessionData, Start
from greentic_session.conversation import ConversationStore

pytest.importorskip("agents", reason="install the extra: python -m pip install 'greentic-session[openai-agents]'")
import agents  # it needs the framework
from frameworks.scripted_agent import Scripted, calling, said

from greentic_session.integrations.openai_agents import AgentSessions, AgentTurns, Approvals, Decision, Prompt

pytestmark = pytest.mark.asyncio

Conversations = ConversationStore[dict[str, Any]]


class Desk:
    """An agent whose model is scripted, and that may only pay when somebody has agreed."""

    def __init__(self, *answers: Any) -> None:
        agents.set_tracing_disabled(True)
        self.model = Scripted(*answers)
        self.paid: list[Any] = []

        @agents.function_tool(needs_approval=True)  # type: ignore[untyped-decorator]  # where it is not installed
        async def pay(run: agents.RunContextWrapper[Any], euros: int) -> str:
            self.paid.append(euros if run.context is None else (euros, run.context))
            return f"paid {euros}"

        self.agent = agents.Agent(name="desk", model=self.model, tools=[pay])

    def office(self, conversations: Conversations, **options: Any) -> Office:
        return Office(lambda say: AgentTurns(self.agent, conversations, say, ttl=600, **options), shown)


def shown(output: Any) -> Any:
    return [call.id for call in output.calls] if isinstance(output, Approvals) else output


def paying(id: str, euros: int) -> dict[str, Any]:
    return calling(id, "pay", f'{{"euros": {euros}}}')


def kinds(items: Any) -> list[str]:
    return [item.get("type") or item["role"] for item in items]


async def transcript(conversations: Conversations) -> list[Any]:
    [summary] = await conversations.list(ANN)
    return await AgentSessions(conversations, ANN).session(summary.id).get_items()


async def test_a_run_waits_for_its_approval(conversations: Conversations) -> None:
    desk = Desk([paying("c1", 7)], [said("Paid.")], [said("Yes?")])
    async with desk.office(conversations).open() as office:
        assert await office.tell(Prompt("pay 7")) == ["c1"]
        assert await office.tell(Prompt("hurry!")) == ["c1"]  # asked once more
        await office.deliver(Decision({"other": True}))
        assert desk.paid == []
        await office.deliver(Decision({"c1": True}), "webhook-1")
        assert await office.hear() == "Paid."
        await office.deliver(Decision({"c1": True}), "webhook-1")  # delivered again
        await office.deliver(Decision({"c1": True}), "webhook-2")  # pressed again
        await office.deliver(Decision({"c1": False}))  # too late
        assert await office.tell(Prompt("hello?")) == "Yes?"
    assert (desk.paid, office.said) == ([7], [["c1"], ["c1"], "Paid.", "Yes?"])
    expected = ["user", "function_call", "function_call_output", "message", "user", "message"]
    assert kinds(await transcript(conversations)) == expected
    assert kinds(desk.model.asked[-1]) == expected[:-1]


async def test_a_decision_that_comes_early_is_kept(conversations: Conversations) -> None:
    """Somebody agrees while the turn that will wait for it is at work."""
    arrived, delivered = anyio.Event(), anyio.Event()

    async def think() -> list[Any]:
        arrived.set()
        await delivered.wait()
        return [paying("c1", 7)]

    desk = Desk(think, [said("Paid.")])
    async with desk.office(conversations).open() as office:
        await office.deliver(Prompt("pay 7"))
        await arrived.wait()
        assert await office.deliver(Decision({"c1": True})) == "queued"
        delivered.set()
        assert [await office.hear(), await office.hear()][-1] == "Paid."
    assert (desk.paid, office.said) == ([7], [["c1"], "Paid."])


async def test_every_call_is_decided_before_the_run_goes_on(conversations: Conversations) -> None:
    desk = Desk([paying("c1", 1), paying("c2", 2), paying("c3", 3)], [said("Done.")])
    async with desk.office(conversations).open() as office:
        assert await office.tell(Prompt("pay")) == ["c1", "c2", "c3"]
        assert await office.tell(Decision({"c2": "too much"})) == ["c1", "c3"]
        assert await office.tell(Decision({"c2": True, "c3": True})) == ["c1"]  # the first decision counts
        assert await office.tell(Decision({"c1": False})) == "Done."
    assert desk.paid == [3]
    outputs = {item["call_id"]: item["output"] for item in desk.model.asked[-1] if "output" in item}
    assert (sorted(outputs), outputs["c3"]) == (["c1", "c2", "c3"], "paid 3")
    if "rejection_message" in inspect.signature(agents.RunState.reject).parameters:
        assert outputs["c2"] == "too much"


async def test_a_run_that_asks_again(conversations: Conversations) -> None:
    desk = Desk([paying("c1", 1)], [paying("c2", 2)], [said("Done.")])
    async with desk.office(conversations).open() as office:
        assert await office.tell(Prompt("pay")) == ["c1"]
        assert await office.tell(Decision({"c1": True, "c2": False})) == ["c2"]  # nobody had asked for c2
        assert await office.tell(Decision({"c2": True})) == "Done."
    assert desk.paid == [1, 2]
    assert kinds(await transcript(conversations)).count("function_call_output") == 2


async def test_the_agent_that_waits_is_the_one_that_goes_on(conversations: Conversations) -> None:
    desk = Desk([calling("h1", "transfer_to_desk", "{}")], [paying("c1", 7)], [said("Paid.")])
    hall = agents.Agent(name="hall", model=desk.model, handoffs=[desk.agent])
    asked: list[Any] = []

    async def say(_: Any, output: Any) -> None:
        asked.append(output)
        office.heard.release()

    office = Office(lambda _: AgentTurns(hall, conversations, say), shown)
    async with office.open():
        await office.deliver(Prompt("pay 7"))
        with anyio.fail_after(30):
            await office.heard.acquire()
            await office.deliver(Decision({"c1": True}))
            await office.heard.acquire()
    [call] = asked[0].calls
    assert (call.id, call.tool, msgspec.json.decode(call.arguments), call.agent) == ("c1", "pay", {"euros": 7}, "desk")
    assert (asked[1], desk.paid) == ("Paid.", [7])


async def test_a_context_is_given_anew_and_never_stored(conversations: Conversations) -> None:
    desk = Desk([paying("c1", 7)], [said("Paid.")])
    office = desk.office(conversations, options=lambda claim: {"context": {"user": claim.data.tenant_ctx.user}})
    async with office.open():
        await office.tell(Prompt("pay 7"))
        [summary] = await conversations.list(ANN)
        stored = (await conversations.load(ANN, summary.id)).state.custom
        assert await office.tell(Decision({"c1": True})) == "Paid."
    assert desk.paid == [(7, {"user": "ann"})]
    assert b"ann" not in msgspec.json.encode(stored)


async def test_what_was_written_down_is_not_repeated(conversations: Conversations) -> None:
    """The handler dies after the turn was written: the next attempt only says it again."""
    desk = Desk([paying("c1", 7)], [said("Paid.")])
    office = desk.office(conversations)
    async with office.open(office.work_and_die):
        await office.tell(Prompt("pay 7"))
        assert await office.hear() == ["c1"]
        await office.tell(Decision({"c1": True}))
        assert await office.hear() == "Paid."
    assert (desk.paid, office.said) == ([7], [["c1"], ["c1"], "Paid.", "Paid."])


async def test_a_turn_that_was_taken_over_cannot_write(conversations: Conversations) -> None:
    """Its claim has ended while its model was asked: another attempt has finished the turn."""
    arrived, finished = anyio.Event(), anyio.Event()

    async def hang() -> list[Any]:
        arrived.set()
        await finished.wait()
        return [said("Paid, says the first.")]

    desk = Desk([paying("c1", 7)], hang, [said("Paid, says the second.")])
    office = desk.office(conversations)
    async with office.sessions as store:
        begin = Start(SessionData.new(ANN, "desk", "begin"))

        async def work(answer: Prompt | Decision, lease: float = 30) -> None:
            body = msgspec.json.encode(answer).decode()
            delivery = await store.deliver(ANN, "ann", CHAT, body, start=begin, claim=True, lease=lease)
            assert delivery.claim is not None
            await office.turns.work(delivery.claim)

        async def be_late() -> None:
            with pytest.raises(ConflictError):
                await work(Decision({"c1": True}), lease=0.001)

        await work(Prompt("pay 7"))
        async with anyio.create_task_group() as group:
            group.start_soon(be_late)
            with anyio.fail_after(30):
                await arrived.wait()
                claims = await store.claim_ready(limit=1)
                while not claims:
                    await anyio.sleep(0.01)
                    claims = await store.claim_ready(limit=1)
            await office.turns.work(claims[0])
            finished.set()
    assert office.said == [["c1"], "Paid, says the second."]
    found = await transcript(conversations)
    assert kinds(found) == ["user", "function_call", "function_call_output", "message"]
    assert found[-1]["content"][0]["text"] == "Paid, says the second."


async def test_a_prompt_begins_with_the_last_items(conversations: Conversations) -> None:
    desk = Desk([paying("c1", 7)], [said("Paid.")], [said("Yes?")])
    office = desk.office(conversations, session_settings=agents.SessionSettings(limit=2))
    async with office.open():
        await office.tell(Prompt("pay 7"))
        await office.tell(Decision({"c1": True}))
        await office.tell(Prompt("hello?"))
    assert kinds(desk.model.asked[-1]) == ["message", "user"]  # and no output whose call is left out
    assert len(await transcript(conversations)) == 6


async def test_what_is_refused() -> None:
    wrong: Any = "memory://"
    with pytest.raises(TypeError):
        Desk().office(wrong)
