"""The runner of the demo.

Which updates start, resume or leave alone a flow, and what is recorded.
"""

import json
from collections.abc import Iterator

import anyio
import pytest
from samples.telegram import GROUP, PRIVATE, TTL, Transcripts, decoded, reply_to

from greentic_session import InMemorySessionStore, ReplyScope, SessionCursor, SessionData
from greentic_session.conversation import InMemoryConversationStore, linked_conversation
from greentic_session.demo.flow import Order
from greentic_session.demo.routing import tenant_partition
from greentic_session.demo.runner import Outcome, Runner, Snapshot


@pytest.fixture
def conversations() -> Iterator[Transcripts]:
    conversations = InMemoryConversationStore()
    yield conversations
    anyio.run(conversations.aclose)


@pytest.fixture
def runner(store: InMemorySessionStore, conversations: Transcripts) -> Runner:
    return Runner(store, conversations, TTL)


def ask_item(outcome: Outcome) -> bool:
    return outcome.parked_at == "ask_item" and outcome.resumed_at is None


@pytest.mark.asyncio
@pytest.mark.parametrize("chat", [PRIVATE, GROUP])
async def test_a_redelivered_order_command_starts_no_second_order(runner: Runner, chat: int) -> None:
    command = decoded(100, 10, "/order", chat=chat)
    answer = decoded(101, 12, "Ramen", chat=chat, reply_to_message=reply_to(11))
    assert ask_item(await runner.handle(command))
    duplicate = await runner.handle(command)
    assert duplicate.note is not None
    assert "already processed" in duplicate.note
    assert (await runner.handle(answer)).parked_at == "ask_quantity"
    assert (await runner.handle(command)) == duplicate
    assert (await runner.handle(answer)) == duplicate
    assert (await runner.handle(decoded(102, 14, "2", chat=chat, reply_to_message=reply_to(13)))).parked_at == "confirm"


@pytest.mark.asyncio
async def test_a_new_order_command_replaces_the_unfinished_order(runner: Runner) -> None:
    await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    again = await runner.handle(decoded(101, 12, "/order", chat=GROUP))
    assert ask_item(again)
    assert again.note == "instead of the unfinished order in this chat"
    old = await runner.handle(decoded(102, 14, "Ramen", chat=GROUP, reply_to_message=reply_to(11)))
    assert old.resumed_at is None
    assert old.note is not None
    assert "waits for another answer" in old.note
    new = await runner.handle(decoded(103, 15, "Ramen", chat=GROUP, reply_to_message=reply_to(13)))
    assert new.resumed_at == "ask_item"


@pytest.mark.asyncio
@pytest.mark.parametrize("more", [{}, {"reply_to_message": reply_to(11, is_bot=False)}])
async def test_talk_in_a_group_is_no_answer(runner: Runner, more: dict[str, object]) -> None:
    await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    outcome = await runner.handle(decoded(101, 12, "Ramen", chat=GROUP, **more))
    assert outcome.note == "ignored: in a group, only a reply to the bot is an answer"
    assert outcome.says is None


@pytest.mark.asyncio
async def test_nobody_answers_a_question_to_somebody_else(runner: Runner) -> None:
    await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    assert (await runner.handle(decoded(101, 12, "Ramen", chat=GROUP, user=5303, reply_to_message=reply_to(11)))).too_late
    assert (await runner.handle(decoded(102, 13, "Ramen", chat=GROUP, reply_to_message=reply_to(11)))).resumed_at


@pytest.mark.asyncio
@pytest.mark.parametrize("nothing", [{"text": None}, {"user": None}])
async def test_what_is_no_text_of_a_person_is_ignored(
    store: InMemorySessionStore, conversations: Transcripts, nothing: dict[str, None]
) -> None:
    outcome = await Runner(store, conversations, TTL).handle(decoded(1, **nothing))
    assert outcome.note == "ignored: this update has no text message from a person"


@pytest.mark.asyncio
async def test_a_flow_that_another_runner_resumes_is_left_to_it(store: InMemorySessionStore, runner: Runner) -> None:
    await runner.handle(decoded(100, 10, "/order"))
    ctx = tenant_partition("sushi-bar").with_user("tg-5202")
    answer = decoded(101, 12, "Ramen")
    claim = await store.claim_wait(ctx, "tg-5202", ReplyScope("telegram:5202"))
    assert claim is not None
    async with claim:
        outcome = await runner.handle(answer)
        assert outcome.note == "another runner is resuming this flow, left to it"
    assert (await runner.handle(answer)).resumed_at == "ask_item"


@pytest.mark.asyncio
async def test_a_duplicate_leaves_the_wait_as_it_was_and_free(store: InMemorySessionStore, runner: Runner) -> None:
    await runner.handle(decoded(100, 10, "/order"))
    await runner.handle(decoded(101, 12, "Ramen"))
    await runner.handle(decoded(101, 12, "Ramen"))
    claim = await store.claim_wait(tenant_partition("sushi-bar"), "tg-5202", ReplyScope("telegram:5202"))
    assert claim is not None
    assert claim.data.cursor.node_pointer == "ask_quantity"
    assert json.loads(claim.data.context_json) == {"last_update": 101, "order": {"item": "Ramen", "quantity": 0}}


@pytest.mark.asyncio
async def test_a_finished_flow_leaves_nothing_in_the_store(
    store: InMemorySessionStore, conversations: Transcripts, runner: Runner
) -> None:
    outcomes = [
        await runner.handle(decoded(100 + number, 10 + 2 * number, text))
        for number, text in enumerate(["/order", "Ramen", "2", "yes"])
    ]
    assert [outcome.parked_at for outcome in outcomes] == ["ask_item", "ask_quantity", "confirm", None]
    assert [outcome.resumed_at for outcome in outcomes] == [None, "ask_item", "ask_quantity", "confirm"]
    assert [wait async for wait in store.iter_sessions(tenant_partition("sushi-bar"))] == []


async def transcript(conversations: Transcripts, outcome: Outcome) -> list[tuple[str, str]]:
    assert outcome.conversation is not None
    messages = await conversations.messages(tenant_partition("sushi-bar"), outcome.conversation)
    assert len(messages) == outcome.length
    return [(message.role, message.text) for message in messages]


@pytest.mark.asyncio
async def test_the_parked_session_names_the_transcript_that_grows_with_every_answer(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    said: list[tuple[str, str]] = []
    for number, text in enumerate(["/order", "Ramen", "many", "2", "yes"]):
        # A runner of its own each time: it finds the transcript by what is parked.
        outcome = await Runner(store, conversations, TTL).handle(decoded(100 + number, 10 + 2 * number, text))
        assert outcome.says is not None
        said += [("user", text), ("assistant", outcome.says)]
        assert await transcript(conversations, outcome) == said
        waits = [wait async for wait in store.iter_sessions(tenant_partition("sushi-bar"))]
        assert [linked_conversation(wait.data) for wait in waits] == [outcome.conversation] * (text != "yes")
    assert said[-1] == ("assistant", "Ordered: 2 x Ramen.")
    assert len(await conversations.list(tenant_partition("sushi-bar"))) == 1
    assert await conversations.list(tenant_partition("trattoria")) == []


@pytest.mark.asyncio
async def test_every_order_has_a_transcript_of_its_own(conversations: Transcripts, runner: Runner) -> None:
    first = await runner.handle(decoded(100, 10, "/order"))
    await runner.handle(decoded(100, 10, "/order"))  # delivered again
    second = await runner.handle(decoded(101, 12, "/order"))
    assert first.conversation != second.conversation
    assert await transcript(conversations, second) == [("user", "/order"), ("assistant", "What would you like?")]
    assert len(await conversations.list(tenant_partition("sushi-bar"))) == 2


@pytest.mark.asyncio
async def test_what_is_ignored_is_not_recorded(conversations: Transcripts, runner: Runner) -> None:
    started = await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    await runner.handle(decoded(101, 12, "Hello all", chat=GROUP))
    await runner.handle(decoded(102, 14, "Ramen", chat=GROUP, user=5303, reply_to_message=reply_to(11)))
    assert len(await transcript(conversations, started)) == 2


@pytest.mark.asyncio
async def test_a_flow_that_names_no_transcript_goes_on_without(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    ctx = tenant_partition("sushi-bar").with_user("tg-5202")
    cursor = SessionCursor("ask_item")
    data = SessionData(tenant_ctx=ctx, flow_id="order", cursor=cursor, context_json="").new_context(Snapshot(1, Order()))
    await store.register_wait(ctx, "tg-5202", ReplyScope("telegram:5202"), "k", data)
    outcome = await Runner(store, conversations, TTL).handle(decoded(101, 12, "Ramen"))
    assert (outcome.parked_at, outcome.conversation, outcome.length) == ("ask_quantity", None, 0)
