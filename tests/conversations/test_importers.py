"""Import of neuron_runtime's and fluers_runtime's sessions: each part is kept."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greentic_session import InvalidInputError, SchemaVersionError, TenantCtx
from greentic_session.conversation import Conversation, Extra, InMemoryConversationStore, Message, TextBlock, TokenUsage
from greentic_session.conversation.blocks import ImageBlock, OtherBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from greentic_session.conversation.envelope import write_envelope
from greentic_session.conversation.message import write_message
from greentic_session.conversation.packing import pack

CTX = TenantCtx.new("dev", "acme")

NEURON: dict[str, Any] = {
    "id": "session-1",
    "messages": [
        {"role": "System", "content": [{"Text": "Be brief."}]},
        {
            "role": "User",
            "content": [
                {"Text": "What is this?"},
                {"Image": {"source": {"Base64": {"media_type": "image/png", "data": "AAAA"}}}},
            ],
        },
        {
            "role": "Assistant",
            "content": [
                {"Thinking": {"thinking": "Hm.", "signature": "c2ln"}},
                {"RedactedThinking": {"data": "b3BhcXVl"}},
                {"ToolUse": {"id": "t1", "name": "look", "input": {"depth": 2}}},
            ],
        },
        {
            "role": "User",
            "content": [
                {
                    "ToolResult": {
                        "tool_use_id": "t1",
                        "content": [
                            {"Text": "a cat"},
                            {"Image": {"source": {"Base64": {"media_type": "image/gif", "data": "R0lG"}}}},
                            {"Image": {"source": {"Url": {"url": "https://example.org/cat.png"}}}},
                        ],
                        "is_error": True,
                    }
                },
                {"Image": {"source": {"Url": {"url": "https://example.org/cat.png"}}}},
                {"Document": {"source": {"PlainText": {"data": "All about cats."}}}},
                {"Compaction": {"content": "They spoke of cats."}},
            ],
        },
    ],
    "state": {
        "cwd": "/srv/agent",
        "token_usage": {
            "input_tokens": 10,
            "output_tokens": 20,
            "cache_read_tokens": 0,
            "cache_creation_tokens": None,
            "reasoning_tokens": 5,
            "iterations": [
                {"input_tokens": 4, "output_tokens": 6, "cache_read_tokens": None, "cache_creation_tokens": None},
            ],
        },
        "event_count": 7,
        "custom": {"plan": ["a", {"b": 1.5}], "nothing": None},
    },
    "created_at": "2024-01-15T10:30:00.123456789Z",
    "updated_at": "2024-01-15T10:31:00Z",
}

FLUERS: dict[str, Any] = {
    "schema_version": 1,
    "model": "claude",
    "max_turns": 2**64 - 1,
    "system_message": "Be brief.",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
        {"role": "user", "content": [{"type": "image", "image": {"media_type": "image/png", "data": "AAAA"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"depth": 2}}]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": ["a cat"]}]},
        {"role": "signal"},
        {"role": "system", "content": []},
    ],
    "metadata": {"created_at": "yesterday", "tag": "cats"},
}


def test_a_session_of_neuron() -> None:
    read = Conversation.from_neuron(json.dumps(NEURON))
    url = {"Image": {"source": {"Url": {"url": "https://example.org/cat.png"}}}}
    assert read.id == "session-1"
    assert read.messages == [
        Message.system("Be brief."),
        Message("user", (TextBlock("What is this?"), ImageBlock("image/png", "AAAA"))),
        Message(
            "assistant",
            (
                ThinkingBlock("Hm.", "c2ln"),
                OtherBlock(Extra({"RedactedThinking": {"data": "b3BhcXVl"}})),
                ToolUseBlock("t1", "look", {"depth": 2}),
            ),
        ),
        Message(
            "user",
            (
                ToolResultBlock(
                    "t1",
                    [
                        {"type": "text", "text": "a cat"},
                        {"type": "image", "media_type": "image/gif", "data": "R0lG"},
                        url,
                    ],
                    is_error=True,
                ),
                OtherBlock(Extra(url)),
                OtherBlock(Extra({"Document": {"source": {"PlainText": {"data": "All about cats."}}}})),
                OtherBlock(Extra({"Compaction": {"content": "They spoke of cats."}})),
            ),
        ),
    ]
    state = read.state
    iterations = [{"input_tokens": 4, "output_tokens": 6, "cache_read_tokens": None, "cache_creation_tokens": None}]
    assert state.token_usage == TokenUsage(10, 20, 0, None, 5, {"iterations": iterations})
    assert (state.cwd, state.event_count) == ("/srv/agent", 7)
    assert state.custom == {"plan": ["a", {"b": 1.5}], "nothing": None}
    assert (read.created_at, read.updated_at) == (
        datetime(2024, 1, 15, 10, 30, 0, 123457, UTC),
        datetime(2024, 1, 15, 10, 31, tzinfo=UTC),
    )
    assert (read.model, read.max_turns, read.system_message, read.metadata, read.extra) == ("", 0, None, {}, {})


def test_a_session_of_fluers() -> None:
    read = Conversation.from_fluers(json.dumps(FLUERS).encode(), "c")
    assert (read.id, read.model, read.max_turns, read.system_message) == ("c", "claude", 2**64 - 1, "Be brief.")
    assert read.messages == [
        Message.user("What is this?"),
        Message("user", (ImageBlock("image/png", "AAAA"),)),
        Message("assistant", (ToolUseBlock("t1", "look", {"depth": 2}),)),
        Message("tool", (ToolResultBlock("t1", ["a cat"]),)),
        Message("signal"),
        Message("system"),
    ]
    assert read.metadata == {"created_at": "yesterday", "tag": "cats"}
    assert read.created_at == read.updated_at
    assert abs(read.created_at - datetime.now(UTC)).total_seconds() < 60
    assert read.extra == {}


def test_what_has_no_counterpart_is_found_beside_what_has_one() -> None:
    block = {"Thinking": {"thinking": "a", "signature": "b", "type": "c", "more": 1, "neuron": 2}}
    image = {"Image": {"source": {"Base64": {"media_type": "a", "data": "b", "x": 1}}, "data": 2, "y": 3}}
    odd = {"type": "text"}
    message = {"role": "User", "content": [block, image, odd], "at": 5}
    state = NEURON["state"] | {"mood": "good"}
    read = Conversation.from_neuron(
        json.dumps(NEURON | {"messages": [message], "state": state, "model": 7, "neuron": 8, "later": 9})
    )
    assert read.messages == [
        Message(
            "user",
            (
                ThinkingBlock("a", "b", extra=Extra({"more": 1, "neuron": {"type": "c", "neuron": 2}})),
                ImageBlock("a", "b", extra=Extra({"y": 3, "source": {"x": 1}, "neuron": {"data": 2}})),
                OtherBlock(Extra({"neuron": odd})),
            ),
            extra=Extra({"at": 5}),
        )
    ]
    assert read.extra == {"later": 9, "neuron": {"model": 7, "neuron": 8}}
    assert read.state.extra == {"mood": "good"}

    result = {"type": "tool_result", "tool_use_id": "t", "content": "", "is_error": "yes", "ms": 3}
    flag = {"type": "tool_result", "tool_use_id": "t", "content": "", "is_error": True}
    picture = {"type": "image", "image": {"media_type": "a", "data": "b", "x": 1}, "data": 2, "y": 3}
    content = [result, flag, picture, {"type": "thinking", "deep": 1}, {"type": "video", "url": "u"}, {}]
    fluers = {"schema_version": 0, "messages": [{"role": "tool", "content": content}], "id": 1, "fluers": 2, "later": 3}
    read = Conversation.from_fluers(json.dumps(fluers), "c")
    assert read.messages == [
        Message(
            "tool",
            (
                ToolResultBlock("t", "", extra=Extra({"ms": 3, "fluers": {"is_error": "yes"}})),
                ToolResultBlock("t", "", is_error=True),
                ImageBlock("a", "b", extra=Extra({"y": 3, "image": {"x": 1}, "fluers": {"data": 2}})),
                OtherBlock(Extra({"fluers": {"type": "thinking", "deep": 1}})),
                OtherBlock(Extra({"type": "video", "url": "u"})),
                OtherBlock(Extra({})),
            ),
        )
    ]
    assert read.extra == {"later": 3, "fluers": {"id": 1, "fluers": 2}}


# -- bad input

SECRET = "s3cret"  # what no message may quote


def neuron_with(**fields: Any) -> str:
    return json.dumps(NEURON | fields)


def neuron_saying(*blocks: Any) -> str:
    return neuron_with(messages=[NEURON["messages"][0], {"role": "User", "content": list(blocks)}])


def fluers_with(**fields: Any) -> str:
    return json.dumps(FLUERS | fields)


def fluers_saying(*blocks: Any) -> str:
    return fluers_with(messages=[FLUERS["messages"][0], {"role": "user", "content": list(blocks)}])


def without(fields: dict[str, Any], name: str) -> str:
    return json.dumps({key: value for key, value in fields.items() if key != name})


def each(text: Callable[..., str], name: str, *values: Any) -> list[str]:
    return [text(**{name: value}) for value in values]


def state_with(**fields: Any) -> str:
    return neuron_with(state=NEURON["state"] | fields)


def usage_with(**counters: Any) -> str:
    return state_with(token_usage=counters)


def neuron_message(**fields: Any) -> str:
    return neuron_with(messages=[{"role": "User", "content": []} | fields])


def fluers_message(**fields: Any) -> str:
    return fluers_with(messages=[{"role": "user"} | fields])


NO_JSON: list[str | bytes] = [
    "",
    SECRET,
    "{",
    f'"{SECRET}"',
    "null",
    "[]",
    "7",
    b"\xff",
    b'{"id": "\xff"}',
    '{"id": "\\ud800"}',
    "\ud800",
    "[" * 99_999,
    '{"a":1e999}',
]
BAD_NEURON = [
    *NO_JSON,
    "{}",
    *[without(NEURON, name) for name in NEURON],
    *each(neuron_with, "id", "", SECRET * 99, f"{SECRET}\0", 7, None, [SECRET]),
    *each(neuron_with, "messages", None, {}, SECRET, [SECRET], [None], [{}], [{"content": []}]),
    *each(neuron_with, "created_at", SECRET, 7, None, "1969-12-31T23:59:59Z", "2024-01-15T10:30:00", "9999-01-01T00:00:00Z"),
    *each(neuron_with, "updated_at", "2024-13-01T00:00:00Z"),
    *each(neuron_with, "state", None, [], SECRET),
    *each(state_with, "cwd", None, 7, [SECRET]),
    *each(state_with, "custom", None, [], SECRET),
    *each(state_with, "event_count", -1, 2**53, "1", 1.5, None, True),  # noqa: FBT003  # a value
    *each(state_with, "token_usage", None, [], 7),
    *each(usage_with, "input_tokens", -1, 2**53, 2**70, "1", 1.5),
    *each(usage_with, "reasoning_tokens", -1, 2**64, SECRET),
    *each(neuron_message, "role", SECRET, "user", "Tool", 7, None, [SECRET]),
    *each(neuron_message, "content", SECRET, None, {}, [SECRET], [None]),
    *[neuron_saying({"Text": value}) for value in (None, 7, [SECRET])],
    *[neuron_saying({tag: SECRET}) for tag in ("Thinking", "ToolUse", "ToolResult", "Image")],
    *[neuron_saying({tag: {}}) for tag in ("Thinking", "ToolUse", "ToolResult", "Image")],
    neuron_saying({"Thinking": {"thinking": 7, "signature": SECRET}}),
    neuron_saying({"ToolUse": {"id": "t", "name": SECRET}}),
    neuron_saying({"ToolResult": {"tool_use_id": "t", "content": SECRET, "is_error": False}}),
    neuron_saying({"ToolResult": {"tool_use_id": "t", "content": [SECRET], "is_error": False}}),
    neuron_saying({"ToolResult": {"tool_use_id": "t", "content": [], "is_error": SECRET}}),
    neuron_saying({"ToolResult": {"tool_use_id": "t", "content": [{"Image": {}}], "is_error": False}}),
    neuron_saying({"Image": {"source": SECRET}}),
    neuron_saying({"Image": {"source": {"Base64": {"media_type": SECRET}}}}),
    neuron_saying({"Image": {"source": {"Base64": {"media_type": SECRET, "data": 7}}}}),
]
BAD_FLUERS = [
    *NO_JSON,
    "{}",
    without(FLUERS, "schema_version"),
    without(FLUERS, "messages"),
    *each(fluers_with, "schema_version", -1, "1", SECRET, None, 1.5, True),  # noqa: FBT003  # a value
    *each(fluers_with, "model", None, 7, [SECRET]),
    *each(fluers_with, "max_turns", -1, 2**64, "1", None),
    *each(fluers_with, "system_message", 7, [SECRET]),
    *each(fluers_with, "metadata", None, [SECRET], {"a": 1}, {SECRET: None}),
    *each(fluers_with, "messages", None, {}, SECRET, [SECRET], [{}]),
    *each(fluers_message, "role", SECRET, "User", 7, None),
    *each(fluers_message, "content", SECRET, None, {}, [SECRET], [None]),
    *[fluers_saying({"type": kind, SECRET: 1}) for kind in ("text", "image", "tool_use", "tool_result")],
    fluers_saying({"type": "text", "text": 7}),
    fluers_saying({"type": "image", "image": SECRET}),
    fluers_saying({"type": "image", "image": {"media_type": SECRET, "data": 7}}),
    fluers_saying({"type": "image", "media_type": "a", "data": SECRET}),
    fluers_saying({"type": "tool_use", "id": 7, "name": SECRET, "input": {}}),
    fluers_saying({"type": "tool_result", "tool_use_id": 7, "content": SECRET}),
]


def read_fluers(text: str | bytes) -> Conversation[Message]:
    return Conversation.from_fluers(text, "c")


@pytest.mark.parametrize(("read", "texts"), [(Conversation.from_neuron, BAD_NEURON), (read_fluers, BAD_FLUERS)])
def test_what_is_no_session(read: Callable[[Any], Any], texts: list[str | bytes]) -> None:
    for text in texts:
        with pytest.raises(InvalidInputError) as caught:
            read(text)
        assert SECRET not in str(caught.value), text
        assert caught.type is InvalidInputError


@pytest.mark.parametrize("text", [None, 7, bytearray(b"{}"), NEURON])
def test_a_text_is_str_or_bytes(text: Any) -> None:
    for read in (Conversation.from_neuron, read_fluers):
        with pytest.raises(TypeError, match="is read from str or bytes"):
            read(text)


def test_the_message_that_is_none_is_named() -> None:
    for read, text in ((Conversation.from_neuron, neuron_saying(7)), (read_fluers, fluers_saying(7))):
        with pytest.raises(InvalidInputError, match="the message at position 1 cannot be read") as caught:
            read(text)
        assert caught.value.position == 1


def test_a_newer_schema_is_refused_by_name() -> None:
    with pytest.raises(SchemaVersionError) as caught:
        Conversation.from_fluers(fluers_with(schema_version=2, messages="of a form that nobody knows"), "c")
    assert str(caught.value) == "unsupported session schema version 2 for the id (expected 1)"
    assert caught.value.conversation_id == "c"


@pytest.mark.parametrize(("id", "error"), [("", InvalidInputError), ("\0", InvalidInputError), (7, TypeError)])
def test_an_id_of_ones_own_is_checked(id: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Conversation.from_fluers(json.dumps(FLUERS), id)


# -- nothing is lost

names = st.text(max_size=6) | st.sampled_from(
    ["type", "text", "data", "id", "messages", "model", "birth", "extra", "*", "neuron", "fluers", "is_error", "source"]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=5
)
objects = st.dictionaries(names, anything, max_size=3)
texts = st.text(max_size=8)
counts = st.integers(0, 2**53 - 1)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.isoformat() + "Z")  # noqa: DTZ001


def known(more: st.SearchStrategy[dict[str, Any]] = objects, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with these fields, and with others that nobody knows."""
    return st.builds(lambda extra, value: extra | value, more, st.fixed_dictionaries(fields))


def tagged(tag: str, inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return inside.map(lambda value: {tag: value})


def those_without(*taken: str) -> st.SearchStrategy[dict[str, Any]]:
    return objects.filter(lambda value: not set(value) & set(taken))


neuron_image = tagged(
    "Image",
    known(
        source=tagged("Base64", known(media_type=texts, data=texts))
        | tagged("Url", known(url=texts))
        | those_without("Base64")
    ),
)
neuron_unknown = (
    tagged("RedactedThinking", known(data=texts))
    | tagged("Document", known(source=objects))
    | tagged("Compaction", known(content=texts))
    | those_without("Text", "Image", "Thinking", "ToolUse", "ToolResult")
)
neuron_item = tagged("Text", texts) | neuron_image | neuron_unknown
neuron_block = st.one_of(
    neuron_item,
    tagged("Thinking", known(thinking=texts, signature=texts)),
    tagged("ToolUse", known(id=texts, name=texts, input=anything)),
    tagged("ToolResult", known(tool_use_id=texts, content=st.lists(neuron_item, max_size=3), is_error=st.booleans())),
)
neuron_texts = known(
    id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8),
    messages=st.lists(
        known(role=st.sampled_from(["User", "Assistant", "System"]), content=st.lists(neuron_block, max_size=4)), max_size=3
    ),
    state=known(
        cwd=texts,
        token_usage=known(
            input_tokens=counts, output_tokens=counts, cache_read_tokens=st.none() | counts, iterations=st.lists(objects)
        ),
        event_count=counts,
        custom=objects,
    ),
    created_at=moments,
    updated_at=moments,
)
fluers_block = st.one_of(
    known(type=st.just("text"), text=texts),
    known(type=st.just("image"), image=known(media_type=texts, data=texts)),
    known(type=st.just("tool_use"), id=texts, name=texts, input=anything),
    known(type=st.just("tool_result"), tool_use_id=texts, content=anything),
    known(type=texts.filter(lambda kind: kind not in ("text", "image", "tool_use", "tool_result")) | st.just("thinking")),
)
fluers_texts = known(
    schema_version=st.sampled_from([0, 1]),
    model=texts,
    max_turns=st.integers(0, 2**64 - 1),
    system_message=st.none() | texts,
    messages=st.lists(
        known(
            role=st.sampled_from(["system", "user", "assistant", "tool", "signal"]),
            content=st.lists(fluers_block, max_size=4),
        ),
        max_size=3,
    ),
    metadata=st.dictionaries(names, texts, max_size=3),
)


def scalars_of(value: Any) -> Iterator[tuple[type, Any]]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from scalars_of(part)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield int, value
    else:
        yield type(value), value


def envelope_of(conversation: Conversation[Message]) -> Any:
    """Return what a store writes of a conversation."""
    header = pack(conversation, "")
    return json.loads(write_envelope(header, [write_message(message) for message in conversation.messages], conversation.id))


def translated(value: tuple[type, Any]) -> tuple[type, Any]:
    """Return the imported form of a neuron session's scalar: roles and times change theirs."""
    return (str, value[1].lower()) if value[1] in ("User", "Assistant", "System") else value


def check_nothing_lost(told: dict[str, Any], read: Conversation[Message], **translations: Any) -> None:
    kept = list(scalars_of(envelope_of(read)))
    for scalar in scalars_of(told | translations):
        # A role is translated; the same word elsewhere is not.
        found = scalar if scalar in kept else translated(scalar)
        assert found in kept
        kept.remove(found)

    async def there_and_back() -> Conversation[Message]:
        async with InMemoryConversationStore() as store:
            await store.save(CTX, read)
            return await store.load(CTX, read.id)

    assert asyncio.run(there_and_back()) == read


@settings(max_examples=60)
@given(neuron_texts)
def test_nothing_of_neuron_is_lost(told: dict[str, Any]) -> None:
    read = Conversation.from_neuron(json.dumps(told))
    for name in ("created_at", "updated_at"):
        assert getattr(read, name) == datetime.fromisoformat(told[name])
    usage = {
        name: count
        for name, count in told["state"]["token_usage"].items()
        if count is not None or name != "cache_read_tokens"
    }
    times = {name: json.loads(json.dumps(envelope_of(read)))[name] for name in ("created_at", "updated_at")}
    check_nothing_lost(told, read, state=told["state"] | {"token_usage": usage}, **times)


@settings(max_examples=60)
@given(fluers_texts)
def test_nothing_of_fluers_is_lost(told: dict[str, Any]) -> None:
    read = Conversation.from_fluers(json.dumps(told).encode(), "c")
    check_nothing_lost(told, read, schema_version=1)
