"""The wire text of a session.

Any text is read or refused, nothing else, and what is written is read.
"""

import enum
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.models import CTX, DATA, DEPTH, FREE_TEXTS, FULL, I128_MAX, ID_FIELDS, TEXT, U32_MAX, data, deep

from greentic_session import Impersonation, InvocationDeadline, ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session._json import codec
from greentic_session.errors import InvalidInputError


# Subclasses of str and int.
class Text(str):
    __slots__ = ()


class Env(str, enum.Enum):  # noqa: UP042  # the older idiom: its str() is not its value
    DEV = "dev"


class Number(int):
    pass


def test_subclasses_of_str_are_written_as_what_they_hold() -> None:
    plain = data(
        tenant_ctx=CTX.with_attributes({"k": "v"}).with_node("n"), cursor=SessionCursor("ask", "why"), pack_id="pack"
    )
    subclassed = data(
        tenant_ctx=TenantCtx.new(Env.DEV, Text("acme"), team=Text("ops"), user=Text("u1"))
        .with_attributes({Text("k"): Text("v")})
        .with_node(Text("n")),
        flow_id=Text("order"),
        pack_id=Text("pack"),
        cursor=SessionCursor(Text("ask"), Text("why")),
        context_json=Text("{}"),
    )
    assert subclassed == plain
    assert subclassed.to_json() == plain.to_json()
    assert SessionData.from_json(subclassed.to_json()) == plain
    assert ReplyScope(Text("c"), Text("t")).scope_hash() == ReplyScope("c", "t").scope_hash()
    assert DATA.new_context({"a": Text("b")}).context_json == '{"a":"b"}'


def test_a_snapshot_in_a_subclass_of_str_is_read() -> None:
    assert data(context_json=Text('{"a":1}')).context() == {"a": 1}


def test_a_wire_text_in_a_subclass_is_read() -> None:
    class Bytes(bytes):
        __slots__ = ()

    assert SessionData.from_json(Bytes(TEXT)) == DATA
    assert SessionData.from_json(Text(TEXT.decode())) == DATA


@pytest.mark.parametrize("build", [CTX.with_attempt, lambda n: CTX.with_deadline(InvocationDeadline(n))])
def test_a_number_that_a_struct_accepts_is_written(build: Callable[[int], TenantCtx]) -> None:
    assert data(tenant_ctx=build(Number(3))).to_json() == data(tenant_ctx=build(3)).to_json()


# From and to JSON.
@pytest.mark.parametrize("text", [TEXT, TEXT.decode(), b" \n" + TEXT + b"\t "])
def test_read_from_str_and_bytes(text: str | bytes) -> None:
    assert SessionData.from_json(text) == DATA


@pytest.mark.parametrize("wrong", [None, 5, bytearray(TEXT), memoryview(TEXT), json.loads(TEXT), DATA])
def test_read_from_nothing_else(wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"^SessionData is read from str or bytes, not {type(wrong).__name__}$"):
        SessionData.from_json(wrong)


@pytest.mark.parametrize("old", [b'"order"', b'"ask"', b'"{}"', b'"acme"'])
@pytest.mark.parametrize("new", [b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\\ud800"'])
def test_text_that_is_no_unicode_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"^not a SessionData: ") as caught:
        SessionData.from_json(TEXT.replace(old, new))
    assert caught.value.__cause__ is not None


def test_a_str_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"^not a SessionData: the text is not valid Unicode$"):
        SessionData.from_json(TEXT.decode().replace("ask", "\ud800"))


@pytest.mark.parametrize(
    "broken",
    [
        data(context_json="\ud800"),
        data(cursor=SessionCursor("\ud800")),
        data(tenant_ctx=CTX.with_node("\ud800")),
        data(tenant_ctx=CTX.with_attributes({"\ud800": "a"})),
        data(tenant_ctx=CTX.with_impersonation(Impersonation("u1", "\ud800"))),
    ],
    ids=range(5),
)
def test_a_lone_surrogate_is_refused_when_written(broken: SessionData) -> None:
    with pytest.raises(InvalidInputError, match=r"^SessionData must be valid Unicode: it holds a lone surrogate$"):
        broken.to_json()


MINUS_ZERO = TEXT.replace(b'"attempt":0', b'"attempt": -0')


@pytest.mark.parametrize(
    "text",
    [
        MINUS_ZERO,
        MINUS_ZERO.decode(),
        MINUS_ZERO.replace(b'"attempt"', b'"\\u0061ttempt"'),
        MINUS_ZERO.replace(b'"{}"', b'"{\\"attempt\\":0}"'),
        MINUS_ZERO[:-1] + b',"unknown":{"attempt":0}}',
        MINUS_ZERO[:-1] + b',"unknown":' + b"[" * 4_000 + b"]" * 4_000 + b"}",
    ],
    ids=["bytes", "str", "escaped name", "in the snapshot", "in an unknown field", "deep"],
)
def test_minus_zero_is_no_attempt(text: str | bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"^not a SessionData: -0 is no attempt"):
        SessionData.from_json(text)


def test_an_attempt_of_zero_is_read_however_it_is_spaced() -> None:
    assert SessionData.from_json(TEXT.replace(b'"attempt":0', b'"attempt" :\n0')) == DATA


def with_unknown(value: str) -> str:
    return TEXT.decode()[:-1] + f',"unknown":{value}}}'


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "1",
        "-1.5e3",
        "1e999",
        "1" * 5000,
        '"]}[{"',
        r'"\"]" , "\\"',
        '{"a":[{}],"a":null}',
        '"\u00e9\U0001f600"',
        " \n",
        "true,false , null",
        '{"":{"":{}}}',
    ],
    ids=lambda inside: ascii(inside)[:20],
)
def test_unknown_fields_are_skipped_at_any_depth(inside: str) -> None:
    assert SessionData.from_json(with_unknown(f"[{inside}]")) == DATA
    assert SessionData.from_json(with_unknown(deep(inside))) == DATA
    assert SessionData.from_json(with_unknown(deep(inside)).encode()) == DATA


def test_known_fields_beside_a_deep_one_keep_their_values() -> None:
    text = FULL.to_json().decode()[:-1] + f',"x":{deep("{}", 4_000)},"y":"[[["}}'
    assert SessionData.from_json(text) == FULL
    inside = FULL.to_json().decode().replace('"env"', f'"x":{deep("{}")},"env"')
    assert SessionData.from_json(inside) == FULL


@pytest.mark.parametrize(
    "inside",
    ["]", "[", "}", "{", '"', "1 2", ",", "[,]", "[1,]", '{"a"}', '{"a":}', "{1:2}", "nul", "01", "\x00", '"\n"', "\\"],
    ids=ascii,
)
def test_malformed_text_is_refused_at_any_depth(inside: str) -> None:
    for depth in (1, 60, 70, DEPTH):
        with pytest.raises(InvalidInputError, match=r"^not a SessionData: "):
            SessionData.from_json(with_unknown(deep(inside, depth)))


NEST = '[{"a":' * 60 + "[" * 1000 + "]" * 1000 + "}]" * 60
BRACKETS = [place for place, character in enumerate(NEST) if character in "[]{}"]
CLOSE = {"[": "]", "{": "}", "]": "[", "}": "{"}
OTHER = {"[": "{", "{": "[", "]": "}", "}": "]"}


@pytest.mark.parametrize(
    "mutate",
    [lambda _: "", lambda c: c + c, CLOSE.get, OTHER.get, lambda _: "1", lambda _: '"'],
    ids=["drop", "twice", "turn", "swap", "number", "quote"],
)
def test_no_bracket_of_a_deep_text_may_be_changed(mutate: Callable[[str], str]) -> None:
    SessionData.from_json(with_unknown(NEST))
    middle = BRACKETS[150:-150]
    for place in [*BRACKETS[:150:7], *middle[::211], *BRACKETS[-150::7]]:
        mutated = NEST[:place] + mutate(NEST[place]) + NEST[place + 1 :]
        with pytest.raises(InvalidInputError, match=r"^not a SessionData: "):
            SessionData.from_json(with_unknown(mutated))


def test_a_hostile_text_is_refused_in_reasonable_time() -> None:
    # Quotes that never end, behind nesting that msgspec does not follow; looking for each one's end
    # would take minutes.
    hostile = with_unknown("[" * 20_000 + '"' + '\\"' * 40_000)
    begin = time.process_time()
    with pytest.raises(InvalidInputError, match=r"^not a SessionData: "):
        SessionData.from_json(hostile)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "unknown",
    [deep("", 100_000), deep(deep("", 2) + ',"a"' * 20_000), "[" * 500_000, "[" + ",".join([deep("", 1_500)] * 50) + "]"],
    ids=["deep", "long", "open", "many"],
)
def test_no_more_than_some_thousand_brackets_are_looked_at(unknown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes to the storage decides how long a text keeps the event loop of its readers.

    Not for long.
    """
    seen = 0
    token = codec._TOKEN

    class Counted:
        def finditer(self, text: bytes) -> Iterator[re.Match[bytes]]:
            nonlocal seen
            for match in token.finditer(text):
                seen += 1
                yield match

    monkeypatch.setattr(codec, "_TOKEN", Counted())
    try:
        SessionData.from_json(with_unknown(unknown))
    except InvalidInputError as error:
        assert error.message == "not a SessionData: it is nested too deeply, and too long for that"  # noqa: PT017  # or none is raised
    else:
        assert seen == 0  # since Python 3.12 the decoder itself reads what is nested some thousand levels deep
    assert seen <= codec._MAX_TOKENS + 1


# Anything at all.
ids = st.text("abzABZ019._-", min_size=1)
texts = st.none() | st.text()
contexts = st.builds(
    TenantCtx,
    env=ids,
    tenant=ids,
    tenant_id=ids,
    team=st.none() | ids,
    team_id=st.none() | ids,
    user=st.none() | ids,
    user_id=st.none() | ids,
    session_id=texts,
    flow_id=texts,
    node_id=texts,
    provider_id=texts,
    trace_id=texts,
    i18n_id=texts,
    correlation_id=texts,
    attributes=st.dictionaries(st.text(), st.text()),
    deadline=st.none() | st.builds(InvocationDeadline, st.integers(-I128_MAX - 1, I128_MAX)),
    attempt=st.integers(0, U32_MAX),
    idempotency_key=texts,
    impersonation=st.none() | st.builds(Impersonation, ids, texts),
)
sessions = st.builds(
    SessionData,
    tenant_ctx=contexts,
    flow_id=ids,
    pack_id=st.none() | ids,
    cursor=st.builds(SessionCursor, st.text(), texts, texts),
    context_json=st.text(),
)


def test_every_field_has_a_strategy() -> None:
    ids_and_texts = [*ID_FIELDS, *FREE_TEXTS[:-1]]
    rest = ["attributes", "deadline", "attempt", "idempotency_key", "impersonation"]
    assert TenantCtx.__struct_fields__ == (*ids_and_texts, *rest)
    assert SessionData.__struct_fields__ == ("tenant_ctx", "flow_id", "pack_id", "cursor", "context_json")


@given(sessions)
def test_what_is_written_is_read(session: SessionData) -> None:
    text = session.to_json()
    again = SessionData.from_json(text)
    assert again == session
    assert again.to_json() == text
    assert SessionData.from_json(text.decode()) == session


@given(sessions)
def test_the_wire_text_is_compact_json_without_empty_fields(session: SessionData) -> None:
    text = session.to_json().decode()
    read = json.loads(text)
    assert list(read) == [name for name in SessionData.__struct_fields__ if getattr(session, name) is not None]
    inside = session.tenant_ctx
    assert list(read["tenant_ctx"]) == [
        name for name in TenantCtx.__struct_fields__ if getattr(inside, name) is not None and getattr(inside, name) != {}
    ]
    written = list(read["tenant_ctx"].get("attributes", {}))
    assert written == sorted(written, key=str.encode)
    assert json.loads(json.dumps(read)) == read


fields = st.sampled_from(
    [*TenantCtx.__struct_fields__, *SessionData.__struct_fields__, "unix_millis", "actor_id", "node_pointer"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields | st.text(max_size=3), inner, max_size=5),
    max_leaves=10,
)
pieces = st.sampled_from(
    [b"", b"[", b"]", b"{", b"}", b'"', b",", b":", b"-", b"0", b"\\", b"\\ud800", b"\xff", b"null", b"1e999", b"\x00"]
)


def read_or_refused(text: str | bytes) -> SessionData | None:
    try:
        return SessionData.from_json(text)
    except InvalidInputError:
        return None


@given(st.binary() | st.text() | values.map(json.dumps))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    read_or_refused(text)


@given(values, st.sampled_from(["", *TenantCtx.__struct_fields__]), st.sampled_from(SessionData.__struct_fields__))
def test_any_value_in_any_field_is_read_or_refused(value: Any, inner: str, outer: str) -> None:
    whole = json.loads(TEXT)
    if inner:
        whole["tenant_ctx"][inner] = value
    else:
        whole[outer] = value
    found = read_or_refused(json.dumps(whole))
    assert found is None or SessionData.from_json(found.to_json()) == found


@given(
    st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 3), pieces | st.binary(max_size=2)), min_size=1, max_size=3)
)
def test_a_damaged_text_is_read_or_refused(damages: list[tuple[int, int, bytes]]) -> None:
    text = TEXT
    for place, length, piece in damages:
        text = text[:place] + piece + text[place + length :]
    found = read_or_refused(text)
    assert found is None or SessionData.from_json(found.to_json()) == found
