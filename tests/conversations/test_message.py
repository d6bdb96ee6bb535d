"""Messages and blocks: which may be built, reading and writing, and unknown fields, which stay."""

import copy
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentic_session import InvalidInputError
from greentic_session.conversation import Extra, Message, TextBlock
from greentic_session.conversation.blocks import ImageBlock, OtherBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from greentic_session.conversation.message import read_message, write_message


class Text(str):
    """A subclass of str."""

    __slots__ = ()


WIRE: list[tuple[Message, str]] = [
    (Message.user("hi"), '{"role":"user","content":[{"type":"text","text":"hi"}]}'),
    (Message.assistant("hi"), '{"role":"assistant","content":[{"type":"text","text":"hi"}]}'),
    (Message.system("hi"), '{"role":"system","content":[{"type":"text","text":"hi"}]}'),
    (Message("signal"), '{"role":"signal","content":[]}'),
    (
        Message("user", (ImageBlock("image/png", "aGk="),)),
        '{"role":"user","content":[{"type":"image","media_type":"image/png","data":"aGk="}]}',
    ),
    (
        Message("assistant", (ToolUseBlock("t", "search", {"q": 1}),)),
        '{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"search","input":{"q":1}}]}',
    ),
    (
        Message("tool", (ToolResultBlock("t", ["x"], is_error=True), ToolResultBlock("u", None), ToolResultBlock("v"))),
        (
            '{"role":"tool","content":[{"type":"tool_result","tool_use_id":"t","content":["x"],"is_error":true},'
            '{"type":"tool_result","tool_use_id":"u","content":null},{"type":"tool_result","tool_use_id":"v"}]}'
        ),
    ),
    (
        Message("assistant", (ThinkingBlock("hm", "sig"),)),
        '{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"sig"}]}',
    ),
    (
        Message(
            "user",
            (TextBlock("a", extra=Extra({"cache": True})), OtherBlock(Extra({"type": "audio", "*": [1]}))),
            extra=Extra({"name": "bob", "*": 1}),
        ),
        '{"role":"user","content":[{"type":"text","text":"a","cache":true},{"type":"audio","*":[1]}],"name":"bob","*":1}',
    ),
]


@pytest.mark.parametrize(("message", "text"), WIRE)
def test_the_wire(message: Message, text: str) -> None:
    assert write_message(message).decode() == text
    assert read_message(text.encode()) == message
    for again in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert again == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"role":"developer","content":[]}', Message("developer")),
        (b' {"content" : [ {"text":"a","type":"text"} ] , "role":"user"}', Message.user("a")),
        (b'{"role":"user","content":[{"type":"thinking","thinking":"t"}]}', Message("user", (ThinkingBlock("t"),))),
        (b'{"role":"user","content":[{"type":null}]}', Message("user", (OtherBlock(Extra({"type": None})),))),
        (b'{"role":"user","content":[{"type":"*"}]}', Message("user", (OtherBlock(Extra({"type": "*"})),))),
        (b'{"role":"user","content":[{"type":"*","fields":{}}]}',
         Message("user", (OtherBlock(Extra({"type": "*", "fields": {}})),))),
        (b'{"role":"user","*":{},"content":[]}', Message("user", extra=Extra({"*": {}}))),
    ],
)  # fmt: skip
def test_what_is_read(text: bytes, message: Message) -> None:
    assert read_message(text) == message
    assert read_message(write_message(message)) == message


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"user"',
        b"{}",
        b'{"role":"nobody"}',
        b'{"role":7}',
        b'{"role":"user","content":7}',
        b'{"role":"user","content":{}}',
        b'{"role":"user","content":["hi"]}',
        b'{"role":"user","content":[{"type":"text"}]}',
        b'{"role":"user","content":[{"type":"text","text":7}]}',
        b'{"role":"user","content":[{"type":"text","text":null,"x":1}]}',
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":1,"is_error":"no"}]}',
        b'{"role":"user"} x',
    ],
)
def test_what_is_no_message(text: bytes) -> None:
    with pytest.raises((InvalidInputError, TypeError, msgspec.MsgspecError)):
        read_message(text)


anything: Any = None
text: Any = "hi"
number: Any = 1
mapping: Any = {1: 2}
fields: Any = {"x": 1}


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: Message(anything), TypeError),
        (lambda: Message(text), InvalidInputError),
        (lambda: Message("user", anything), TypeError),
        (lambda: Message("user", text), TypeError),
        (lambda: Message("user", (text,)), TypeError),
        (lambda: Message("user", extra=anything), TypeError),
        (lambda: Message("user", extra=Extra({"role": 1})), InvalidInputError),
        (lambda: TextBlock(anything), TypeError),
        (lambda: TextBlock("a", extra=Extra({"type": "b"})), InvalidInputError),
        (lambda: TextBlock("a", extra=mapping), TypeError),
        (lambda: ImageBlock("image/png", number), TypeError),
        (lambda: ToolUseBlock("a", anything, {}), TypeError),
        (lambda: ToolResultBlock(anything, ""), TypeError),
        (lambda: ToolResultBlock("a", "", is_error=number), TypeError),
        (lambda: ThinkingBlock("a", anything), TypeError),
        (lambda: OtherBlock(Extra({"type": "image"})), InvalidInputError),
        (lambda: OtherBlock(anything), TypeError),
        (lambda: OtherBlock(Extra({"type": "text", "text": "a"})), InvalidInputError),
        (lambda: OtherBlock(mapping), TypeError),
    ],
)
def test_what_cannot_be_built(build: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        build()
    assert caught.type is error


def test_what_is_made_plain() -> None:
    role: Any = Text("user")
    content: Any = [TextBlock(Text("a"), extra=Extra({}))]
    message = Message(role, content)
    assert type(message.role) is str
    assert message.content == (TextBlock("a"),)
    block = message.content[0]
    assert isinstance(block, TextBlock)
    assert type(block.text) is str
    assert message == Message.user("a")
    assert TextBlock("a", extra=fields) == TextBlock("a", extra=Extra({"x": 1}))


def test_subclasses_inside_json_are_written_as_what_they_hold() -> None:
    message = Message("assistant", (ToolUseBlock("t", "f", {"q": Text("a")}),))
    assert b'"input":{"q":"a"}' in write_message(message)


def test_text() -> None:
    assert Message("user").text == ""
    assert Message("user", (TextBlock("a"), ImageBlock("b", "c"), TextBlock("d"))).text == "ad"


def test_extra() -> None:
    extra: Any = Extra({"a": 1})
    assert (extra["a"], dict(extra), len(extra), repr(extra)) == (1, {"a": 1}, 1, "Extra(<1>)")
    with pytest.raises(TypeError):
        extra["b"] = 2


def test_text_of_other_programs() -> None:
    content = [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": 7}, {"type": "x", "text": "b"}]
    assert Message.from_dict({"role": "user", "content": content}).text == "a"


@pytest.mark.parametrize(
    "text",
    [
        '{"role":"user","content":"hi"}',
        '{"role":"user","content":""}',
        '{"role":"assistant","content":null}',
        '{"role":"assistant"}',
        '{"role":"assistant","tool_calls":[{"id":"1"}]}',
        '{"role":"model","parts":[{"text":"hi"}],"*":1,"**":"text"}',
        '{"role":"user","content":"hi","**":{"name":"null"},"name":"bob"}',
        '{"role":"user","content":[{"type":"image","source":{"type":"url","url":"u"}}]}',
        '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":false,"x":1}]}',
    ],
)
def test_the_forms_of_other_programs(text: str) -> None:
    message = Message.from_json(text)
    assert msgspec.json.decode(message.to_json()) == msgspec.json.decode(text) == message.to_dict()
    assert Message.from_dict(message.to_dict()) == message
    for again in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert again == message
        assert again.to_json() == message.to_json()


def test_a_content_of_one_text_is_a_block() -> None:
    message = Message.from_json(b'{"role":"user","content":"hi"}')
    assert (message.content, message.text) == ((TextBlock("hi"),), "hi")
    assert message != Message.user("hi")  # which is other JSON
    assert "hi" not in repr(message)


@pytest.mark.parametrize("text", ["", "[]", '{"role":"s3cret"}', '{"role":"user","content":[7]}', b"\xff", "\ud800"])
def test_what_is_no_json_of_a_message(text: str | bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Message.from_json(text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", [7, None, b"{}", {"role": object()}])
def test_what_is_no_object_of_a_message(value: Any) -> None:
    with pytest.raises(TypeError):
        Message.from_dict(value)
    with pytest.raises(InvalidInputError):
        Message.from_dict({"role": "nobody"})
    if not isinstance(value, bytes):
        with pytest.raises(TypeError):
            Message.from_json(value)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json, max_size=4)
known_blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}),
    st.fixed_dictionaries({"type": st.just("image"), "media_type": st.text(), "data": st.text()}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": st.text(), "name": st.text(), "input": json}),
    st.fixed_dictionaries({"type": st.just("image"), "source": json}),
    st.fixed_dictionaries(
        {"type": st.just("tool_result"), "tool_use_id": st.text()}, optional={"content": json, "is_error": st.booleans()}
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text()}, optional={"signature": st.text()}),
)
blocks = st.one_of(known_blocks, st.builds(lambda extra, block: extra | block, objects, known_blocks), objects)
messages = st.builds(
    lambda extra, role, content: (
        {name: part for name, part in extra.items() if name != "content"} | {"role": role} | content
    ),
    objects,
    st.sampled_from(["system", "user", "assistant", "tool", "signal", "developer", "model", "function"]),
    st.fixed_dictionaries({"content": st.lists(blocks, max_size=4)})
    | st.fixed_dictionaries({"content": st.text() | st.none()})
    | st.just({}),
)


@given(messages)
def test_nothing_is_lost(value: dict[str, Any]) -> None:
    message = read_message(msgspec.json.encode(value))
    text = write_message(message)
    assert msgspec.json.decode(text) == value
    assert read_message(text) == message
