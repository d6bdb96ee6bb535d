"""Bad input.

For every argument of every operation on store, what is refused, and that nothing is written.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from greentic_session.conversation import (
    Conversation,
    ConversationState,
    ConversationStore,
    ConversationSummary,
    Message,
    TokenUsage,
    ToolUseBlock,
)
from greentic_session.errors import InvalidInputError
from greentic_session.testing._sessions.inputs import Refusal, refused

from .samples import OPS, MakeConversationStore, said

__all__ = ["ConversationInputsContract"]

NOW = datetime.now(UTC)
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


def none_too(refusals: list[Refusal]) -> list[Refusal]:
    """Return the refusals of an argument that must be there."""
    return [*refusals, (None, TypeError)]


def bad_numbers(too_large: int) -> list[Refusal]:
    """Return refusals of an argument that is a number from 0 to less than `too_large`."""
    return [
        (-1, InvalidInputError),
        (too_large, InvalidInputError),
        ("1", TypeError),
        (1.0, TypeError),
        (1.5, TypeError),
        (True, TypeError),
    ]


def altered(**fields: Any) -> Conversation[Message]:
    """Return a conversation in which something is wrong."""
    conversation = Conversation[Message].new("new")
    for name, value in fields.items():
        target = conversation.state if name in ConversationState.__struct_fields__ and name != "extra" else conversation
        setattr(target, name, value)
    return conversation


BAD_CTX: list[Refusal] = [
    (OPS.with_team("-"), InvalidInputError),
    ("ctx", TypeError),
    (None, TypeError),
    (SimpleNamespace(env="dev", tenant_id="acme", effective_team="ops"), TypeError),
]
BAD_ID: list[Refusal] = [
    ("", InvalidInputError),
    ("x" * 256, InvalidInputError),
    ("😀" * 256, InvalidInputError),
    ("\0", InvalidInputError),
    ("a\0b", InvalidInputError),
    ("\ud800", InvalidInputError),
    ("a\udfff", InvalidInputError),
    (7, TypeError),
    (b"c", TypeError),
    (["c"], TypeError),
]
BAD_TEXT: list[Refusal] = [("\ud800", InvalidInputError), (7, TypeError), (b"x", TypeError)]
BAD_COUNT = bad_numbers(too_large=2**64)
BAD_TEXTS: list[Refusal] = [
    ({"a": 1}, TypeError),
    ({1: "a"}, TypeError),
    ({"a": None}, TypeError),
    ({"\ud800": "a"}, InvalidInputError),
    ({"a": "\ud800"}, InvalidInputError),
    ([("a", "b")], TypeError),
    ("ab", TypeError),
]
BAD_VALUES: list[Refusal] = [
    ({"a": object()}, TypeError),
    ({1: "a"}, TypeError),
    ({"a": "\ud800"}, InvalidInputError),
    ({"\ud800": 1}, InvalidInputError),
    ({"a": CYCLE}, InvalidInputError),
    ([1], TypeError),
    ("a", TypeError),
]
BAD_CONVERSATION: list[Refusal] = [
    ("c", TypeError),
    (None, TypeError),
    ({"id": "c"}, TypeError),
    *[(altered(id=value), error) for value, error in none_too(BAD_ID)],
    *[(altered(model=value), error) for value, error in none_too(BAD_TEXT)],
    *[(altered(system_message=value), error) for value, error in BAD_TEXT],
    *[(altered(cwd=value), error) for value, error in none_too(BAD_TEXT)],
    *[(altered(max_turns=value), error) for value, error in none_too(BAD_COUNT)],
    *[(altered(event_count=value), error) for value, error in none_too(BAD_COUNT)],
    *[(altered(metadata=value), error) for value, error in none_too(BAD_TEXTS)],
    *[(altered(custom=value), error) for value, error in none_too(BAD_VALUES)],
    *[(altered(extra=value), error) for value, error in none_too(BAD_VALUES)],
    (altered(extra={"messages": []}), InvalidInputError),
    (altered(state=None), TypeError),
    (altered(state=ConversationState(extra={"cwd": "/"})), InvalidInputError),
    (altered(token_usage=None), TypeError),
    (altered(token_usage=TokenUsage(extra={"input_tokens": 1})), InvalidInputError),
    (altered(messages=None), TypeError),
    (altered(messages="hello"), TypeError),
    (altered(messages=["hello"]), TypeError),
    (altered(messages=[Message.user("\ud800")]), InvalidInputError),
    (altered(created_at=NOW.replace(tzinfo=None)), InvalidInputError),
    (altered(created_at=datetime(1969, 12, 31, tzinfo=UTC)), InvalidInputError),
    (altered(updated_at=datetime(9999, 12, 31, tzinfo=UTC)), InvalidInputError),
    (altered(created_at="2024-01-01T00:00:00Z"), TypeError),
    (altered(updated_at=None), TypeError),
]
BAD_SIZE = bad_numbers(too_large=2**63)
BAD_AFTER: list[Refusal] = [
    *BAD_ID,
    (ConversationSummary("", NOW, NOW, 0), InvalidInputError),
    (ConversationSummary("c", NOW, NOW.replace(tzinfo=None), 0), InvalidInputError),
]
BAD_USAGE: list[Refusal] = [
    (5, TypeError),
    ({"input_tokens": 5}, TypeError),
    (TokenUsage(extra={"x": 1}), InvalidInputError),
]
BAD_BOOL: list[Refusal] = [(1, TypeError), (None, TypeError), ("yes", TypeError)]
BAD_MESSAGES: list[Refusal] = [((message,), error) for message, error in [("hello", TypeError), (None, TypeError)]]

BAD_VERSION: list[Refusal] = [
    ("", InvalidInputError),
    ("7", InvalidInputError),
    ("x.7", InvalidInputError),
    ("-1.x", InvalidInputError),
    ("\u0663.x", InvalidInputError),
    ("9007199254740992.x", InvalidInputError),
    ("7." + "\ud800", InvalidInputError),
    (7, TypeError),
    (None, TypeError),
]

BAD: dict[str, dict[str, list[Refusal]]] = {
    "create": {
        "ctx": BAD_CTX,
        "id": BAD_ID,
        "model": none_too(BAD_TEXT),
        "max_turns": none_too(BAD_COUNT),
        "system_message": BAD_TEXT,
        "cwd": none_too(BAD_TEXT),
        "metadata": BAD_TEXTS,
    },
    "save": {"ctx": BAD_CTX, "conversation": BAD_CONVERSATION, "force": BAD_BOOL},
    "load": {"ctx": BAD_CTX, "id": none_too(BAD_ID), "skip_corrupt": BAD_BOOL},
    "delete": {"ctx": BAD_CTX, "id": none_too(BAD_ID)},
    "append": {"ctx": BAD_CTX, "id": none_too(BAD_ID), "messages": BAD_MESSAGES},
    "messages": {
        "ctx": BAD_CTX,
        "id": none_too(BAD_ID),
        "last": BAD_SIZE,
        "whole_turns": BAD_BOOL,
        "skip_corrupt": BAD_BOOL,
    },
    "pop": {"ctx": BAD_CTX, "id": none_too(BAD_ID), "n": [*none_too(BAD_SIZE), (0, InvalidInputError)]},
    "clear": {"ctx": BAD_CTX, "id": none_too(BAD_ID)},
    "compact": {
        "ctx": BAD_CTX,
        "id": none_too(BAD_ID),
        "upto": none_too(bad_numbers(too_large=8)),
        "replacement": [("hello", TypeError), (None, TypeError), (["hello"], TypeError)],
        "version": BAD_VERSION,
    },
    "update_state": {
        "ctx": BAD_CTX,
        "id": none_too(BAD_ID),
        "cwd": BAD_TEXT,
        "add_usage": BAD_USAGE,
        "add_events": none_too(BAD_COUNT),
        "custom": BAD_VALUES,
        "metadata": BAD_TEXTS,
    },
    "list": {"ctx": BAD_CTX, "limit": BAD_SIZE, "after": BAD_AFTER},
    "purge": {"ctx": BAD_CTX},
}
GOOD: dict[str, dict[str, Any]] = {
    "create": {"ctx": OPS},
    "save": {"ctx": OPS, "conversation": Conversation[Message].new("new")},
    "load": {"ctx": OPS, "id": "c"},
    "delete": {"ctx": OPS, "id": "c"},
    "append": {"ctx": OPS, "id": "c", "messages": tuple(said("refused"))},
    "messages": {"ctx": OPS, "id": "c"},
    "pop": {"ctx": OPS, "id": "c"},
    "clear": {"ctx": OPS, "id": "c"},
    "compact": {"ctx": OPS, "id": "c", "upto": 1, "replacement": said("refused"), "version": "7.x"},
    "update_state": {"ctx": OPS, "id": "c"},
    "list": {"ctx": OPS},
    "purge": {"ctx": OPS},
}
BAD_OPTIONS: dict[str, list[Refusal]] = {
    "ttl": [
        (0, InvalidInputError),
        (-1, InvalidInputError),
        (math.nan, InvalidInputError),
        (math.inf, InvalidInputError),
        (2**52 / 1000 + 1, InvalidInputError),
        ("60", TypeError),
        (True, TypeError),
    ],
    "sliding": [(True, InvalidInputError), (1, TypeError), (None, TypeError)],
    "max_message_bytes": [(0, InvalidInputError), (-1, InvalidInputError), (1.5, TypeError), (None, TypeError)],
    "message_type": [(lambda: None, TypeError), (7, TypeError), (SimpleNamespace, TypeError)],
}


def bound(store: ConversationStore[Any], operation: str, values: dict[str, Any]) -> Callable[[], Any]:
    """Return the call of an operation, to be made once."""
    arguments = dict(values)
    ctx = arguments.pop("ctx")
    positional: list[Any] = [arguments.pop("id"), *arguments.pop("messages")] if operation == "append" else []
    return lambda: getattr(store, operation)(ctx, *positional, **arguments)


class ConversationInputsContract:
    """Inputs: what is refused, before any I/O."""

    async def test_what_the_contract_refuses_is_refused(self, store: ConversationStore[Message]) -> None:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("a"))
        before = (await store.list(OPS), await store.load(OPS, "c"))
        for operation, arguments in BAD.items():
            for argument, refusals in arguments.items():
                for value, expected in refusals:
                    call = bound(store, operation, GOOD[operation] | {argument: value})
                    await refused(call, expected, f"{operation}({argument}={ascii(value)[:60]})")
        assert (await store.list(OPS), await store.load(OPS, "c")) == before

    async def test_bad_input_is_refused_where_nothing_could_be_found(self, store: ConversationStore[Message]) -> None:
        wrong: Any = "hello"
        for call, expected in (
            (lambda: store.append(OPS, "absent", wrong), TypeError),
            (lambda: store.messages(OPS, "absent", last=-1), InvalidInputError),
            (lambda: store.update_state(OPS, "absent", add_events=-1), InvalidInputError),
        ):
            await refused(call, expected, "a call about nothing")

    async def test_what_would_be_read_as_something_else_is_refused_and_named(
        self, store: ConversationStore[Message]
    ) -> None:
        """JSON has no NaN, and writes 1 and "1" alike: the error names the field, not the value."""
        await store.create(OPS, id="c")
        worthless = {"order": [{"price": math.nan}]}
        twice = {"order": {1: "s3cret", "1": "s3cret"}}
        called = Message(role="assistant", content=(ToolUseBlock("t", "buy", worthless),))
        conversation = Conversation[Message].new("new")
        conversation.state.custom = {"basket": twice}
        for call, told in (
            (
                lambda: store.append(OPS, "c", called),
                "message cannot be written as JSON: $.content[0].input.order[0].price",
            ),
            (lambda: store.update_state(OPS, "c", custom={"basket": worthless}), "$.basket.order[0].price is not a finite"),
            (lambda: store.update_state(OPS, "c", custom={"basket": twice}), "$.basket.order has two keys"),
            (lambda: store.save(OPS, conversation), "$.basket.order has two keys"),
        ):
            with pytest.raises(InvalidInputError) as caught:
                await call()
            assert told in str(caught.value)
            assert "s3cret" not in str(caught.value)
        assert await store.messages(OPS, "c") == []
        assert (await store.load(OPS, "c")).state.custom == {}
        await store.append(OPS, "c", Message(role="assistant", content=(ToolUseBlock("t", "buy", {"a": None}),)))

    async def test_bad_options_are_refused(self, make_store: MakeConversationStore) -> None:
        for option, refusals in BAD_OPTIONS.items():
            for value, expected in refusals:
                with pytest.raises(expected):
                    make_store(**{option: value})
