"""The types around the messages: token usage, state, and a conversation as its owner holds it."""

import copy
import pickle
from typing import Any

import pytest
from msgspec import Raw

from greentic_session import CorruptSessionError, InvalidInputError
from greentic_session.conversation import Conversation, ConversationState, Message, TokenUsage
from greentic_session.conversation.header import Header
from greentic_session.conversation.packing import unpack


class Number(int):
    """A subclass of int."""


def test_token_usage() -> None:
    assert TokenUsage() == TokenUsage(0, 0, None, None, None)
    usage = TokenUsage(Number(5), 6, reasoning_tokens=Number(0))
    assert type(usage.input_tokens) is int
    assert usage.counts() == {"input_tokens": 5, "output_tokens": 6, "reasoning_tokens": 0}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"input_tokens": -1}, InvalidInputError),
        ({"output_tokens": 2**53}, InvalidInputError),
        ({"input_tokens": None}, TypeError),
        ({"cache_read_tokens": "1"}, TypeError),
        ({"reasoning_tokens": True}, TypeError),
    ],
)
def test_what_is_no_token_usage(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        TokenUsage(**fields)


def test_a_conversation() -> None:
    conversation = Conversation[Message].new("c", "/srv")
    assert conversation.state == ConversationState("/srv")
    assert conversation.summary().message_count == 0
    for again in (copy.deepcopy(conversation), pickle.loads(pickle.dumps(conversation))):
        assert again == conversation
        again.messages.append(Message.user("hi"))
        assert again != conversation
    assert conversation != "c"


@pytest.mark.parametrize(("id", "error"), [("", InvalidInputError), ("a\0", InvalidInputError), (7, TypeError)])
def test_a_conversation_needs_an_id(id: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Conversation.new(id)
    cwd: Any = 7
    with pytest.raises(TypeError):
        Conversation.new("c", cwd)


@pytest.mark.parametrize("text", [b"", b"{", b'"\xff"'])
def test_a_stored_value_that_is_no_json(text: bytes) -> None:
    for header in (
        Header(custom={"a": Raw(text)}),
        Header(extra={"a": Raw(text)}),
        Header(state_extra={"a": Raw(text)}),
        Header(usage_extra={"a": Raw(text)}),
    ):
        with pytest.raises(CorruptSessionError) as caught:
            unpack("c", header, [])
        assert caught.value.conversation_id == "c"
