"""Transcripts as the providers' own libraries write them, recorded: in and out unchanged."""

import json
from pathlib import Path
from typing import Any

import pytest

from greentic_session.conversation import InMemoryConversationStore, Message
from greentic_session.testing._conversations.samples import OPS

RECORDED: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.json"))
}
PROVIDERS = ["anthropic", "gemini", "langchain", "openai_chat", "openai_responses", "pydantic_ai"]

by_provider = pytest.mark.parametrize("provider", PROVIDERS)


def whole_from(total: int, last: int, pairs: list[list[int]]) -> int:
    """Return where whole turns begin, the plain way: before no answer whose call is before."""
    start = max(total - last, 0)
    while any(call < start <= answer for call, answer in pairs):
        start += 1
    return start


def test_all_are_recorded() -> None:
    assert sorted(RECORDED) == PROVIDERS


@by_provider
@pytest.mark.asyncio
async def test_objects_stay_what_they_are(provider: str) -> None:
    messages = RECORDED[provider]["messages"]
    async with InMemoryConversationStore(message_type=dict[str, Any]) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *messages)
        assert await store.messages(OPS, "c") == messages


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "openai_chat"])
@pytest.mark.asyncio
async def test_what_has_a_role_is_a_message(provider: str) -> None:
    messages = RECORDED[provider]["messages"]
    async with InMemoryConversationStore() as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *map(Message.from_dict, messages))
        found = await store.messages(OPS, "c")
        assert [message.to_dict() for message in found] == messages
        assert found == [Message.from_dict(message) for message in messages]


@by_provider
@pytest.mark.asyncio
async def test_the_last_messages_begin_with_no_answer_without_its_call(provider: str) -> None:
    messages, pairs = RECORDED[provider]["messages"], RECORDED[provider]["pairs"]
    cut = 0
    async with InMemoryConversationStore(message_type=dict[str, Any]) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *messages)
        for last in range(len(messages) + 2):
            found = await store.messages(OPS, "c", last=last, whole_turns=True)
            assert found.first == whole_from(len(messages), last, pairs), last
            assert found == messages[found.first :]
            cut += found.first > max(len(messages) - last, 0)
    assert cut


def test_the_text_of_a_message() -> None:
    anthropic = [Message.from_dict(message).text for message in RECORDED["anthropic"]["messages"]]
    assert anthropic == ["Hello", "Good day.", "Which screw?", "", "", "An M3.", "Thanks!"]
