"""The structs of a session: what may be built, that nothing of it changes, and what is equal."""

import copy
import pickle
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.models import ATTRIBUTED, CTX, DATA, FREE_TEXTS, FULL, I128_MAX, ID_FIELDS, TEXT, U32_MAX, data

from greentic_session import (
    FlowId,
    Impersonation,
    InvalidInputError,
    InvocationDeadline,
    ReplyScope,
    SessionCursor,
    SessionData,
    SessionKey,
    TenantCtx,
    Wait,
)
from greentic_session.models import version_of


def ctx(**fields: Any) -> TenantCtx:
    usual: dict[str, Any] = {"env": "dev", "tenant": "acme", "tenant_id": "acme", "attempt": 0}
    return TenantCtx(**usual | fields)


# Built by hand.
WRONG = [5, b"text", ["text"], {"a": "b"}, True, 1.5]


def builders() -> list[tuple[Callable[[Any], Any], str]]:
    """Each field that holds an id: how to build a struct with it, and what the id is called."""
    made: list[tuple[Callable[[Any], Any], str]] = [
        (lambda value, field=field: ctx(**{field: value}), kind)  # type: ignore[misc]  # of a lambda with a default it infers nothing
        for field, kind in ID_FIELDS.items()
    ]
    made.append((lambda value: data(flow_id=value), "FlowId"))
    made.append((lambda value: data(pack_id=value), "PackId"))
    made.append((Impersonation, "UserId"))
    return made


@pytest.mark.parametrize(("build", "kind"), builders())
def test_ids_are_checked_where_a_struct_is_built(build: Callable[[Any], Any], kind: str) -> None:
    build("a.B-c_9")
    with pytest.raises(InvalidInputError, match=f"^{kind} must not be empty$"):
        build("")
    for wrong in ("a b", "a:b", "\u00e9", "a\n", "\ud800"):
        with pytest.raises(InvalidInputError, match=f"^{kind} must contain only ASCII letters"):
            build(wrong)
    for no_text in WRONG:
        with pytest.raises(TypeError, match=f"^{kind} must be a str, not {type(no_text).__name__}$"):
            build(no_text)


@pytest.mark.parametrize("field", ["env", "tenant", "tenant_id"])
def test_some_ids_are_not_optional(field: str) -> None:
    with pytest.raises(TypeError, match="must be a str, not NoneType"):
        ctx(**{field: None})


TEXT_BUILDERS: list[Callable[[Any], Any]] = [
    *[lambda value, field=field: ctx(**{field: value}) for field in FREE_TEXTS],
    SessionCursor,
    lambda value: SessionCursor("n", value),
    lambda value: SessionCursor("n", None, value),
    lambda value: Impersonation("u1", value),
    lambda value: data(context_json=value),
    ReplyScope,
    lambda value: ReplyScope("c", value),
    lambda value: ReplyScope("c", None, value),
    lambda value: ReplyScope("c", None, None, value),
]


@pytest.mark.parametrize("build", TEXT_BUILDERS)
def test_texts_are_checked_where_a_struct_is_built(build: Callable[[Any], Any]) -> None:
    build("any text: \u00e9\n")
    for wrong in WRONG:
        with pytest.raises(TypeError, match=rf"must be a str( or None)?, not {type(wrong).__name__}$"):
            build(wrong)


@pytest.mark.parametrize("build", [SessionCursor, ReplyScope, lambda value: data(context_json=value)])
def test_some_texts_are_not_optional(build: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"must be a str, not NoneType$"):
        build(None)


@pytest.mark.parametrize(
    ("build", "field", "kind"),
    [
        (data, "tenant_ctx", "TenantCtx"),
        (data, "cursor", "SessionCursor"),
        (ctx, "deadline", "InvocationDeadline"),
        (ctx, "impersonation", "Impersonation"),
    ],
)
def test_structs_are_checked_where_a_struct_is_built(build: Callable[..., Any], field: str, kind: str) -> None:
    wrong: list[Any] = [{}, "text", 5, ReplyScope("c")]
    for value in wrong:
        with pytest.raises(TypeError, match=f"^{field} must be a {kind}, not {type(value).__name__}$"):
            build(**{field: value})


@pytest.mark.parametrize(
    ("build", "low", "high"),
    [
        (lambda value: ctx(attempt=value).attempt, 0, U32_MAX),
        (lambda value: InvocationDeadline(value).unix_millis, -I128_MAX - 1, I128_MAX),
    ],
    ids=["u32", "i128"],
)
def test_the_ranges_of_numbers(build: Callable[[Any], int], low: int, high: int) -> None:
    assert (build(low), build(high)) == (low, high)
    for out in (low - 1, high + 1, 10**5000):
        with pytest.raises(InvalidInputError, match=rf"must be from {low} to {high}$"):
            build(out)
    for wrong in (True, False, None, 1.0, "1"):
        with pytest.raises(TypeError, match=f"must be an int, not {type(wrong).__name__}$"):
            build(wrong)


@pytest.mark.parametrize("wrong", [None, [("a", "b")], "ab", 5])
def test_attributes_are_a_mapping(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^attributes must be a mapping, not "):
        ctx(attributes=wrong)


@pytest.mark.parametrize("wrong", [{"a": 1}, {1: "a"}, {"a": None}, {"a": "b", "c": b"d"}])
def test_attributes_map_text_to_text(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^attributes must map str to str$"):
        ctx(attributes=wrong)


def test_session_keys() -> None:
    for key in ("k", "any \u00fc text", "x" * 1024, "\u00fc" * 512, "a:b\n"):
        assert SessionKey(key) == key
    for wrong in ("", "x" * 1025, "\u00fc" * 513, "\ud800", "k\udfff"):
        with pytest.raises(InvalidInputError, match=r"^SessionKey must ") as caught:
            SessionKey(wrong)
        assert wrong == "" or wrong not in str(caught.value)
    for no_text in (None, 5, b"k"):
        with pytest.raises(TypeError, match=r"^SessionKey must be a str, not "):
            SessionKey(no_text)  # type: ignore[arg-type]  # that is what is refused
    with pytest.raises(TypeError, match=r"^FlowId must be a str, not int$"):
        FlowId(5)  # type: ignore[arg-type]  # that is what is refused


# A context and its copies.
def test_new_fills_both_fields_of_each_pair() -> None:
    assert ctx(team="ops", team_id="ops", user="u1", user_id="u1") == CTX
    assert TenantCtx.new("dev", "acme") == ctx()
    assert CTX.attempt == 0


def test_the_field_that_counts() -> None:
    both = ctx(team="legacy", team_id="counts", user="old", user_id="new")
    assert (both.effective_team, both.effective_user) == ("counts", "new")
    legacy = ctx(team="legacy", user="old")
    assert (legacy.effective_team, legacy.effective_user) == ("legacy", "old")
    assert (ctx().effective_team, ctx().effective_user) == (None, None)


@pytest.mark.parametrize(
    ("method", "value", "fields", "cleared"),
    [
        ("with_team", "x", ("team", "team_id"), None),
        ("with_user", "x", ("user", "user_id"), None),
        ("with_session", "any text", ("session_id",), None),
        ("with_flow", "any text", ("flow_id",), None),
        ("with_node", "any text", ("node_id",), None),
        ("with_provider", "any text", ("provider_id",), None),
        ("with_attributes", {"a": "b"}, ("attributes",), {}),
        ("with_attempt", 7, ("attempt",), 0),
        ("with_deadline", InvocationDeadline(5), ("deadline",), None),
        ("with_impersonation", Impersonation("u2"), ("impersonation",), None),
    ],
)
def test_changed_copies(method: str, value: Any, fields: tuple[str, ...], cleared: Any) -> None:
    before = msgspec.to_builtins(CTX)
    changed: TenantCtx = getattr(CTX, method)(value)
    assert {name for name in TenantCtx.__struct_fields__ if getattr(changed, name) != getattr(CTX, name)} == set(fields)
    assert [getattr(changed, name) for name in fields] == [value] * len(fields)
    without: TenantCtx = getattr(changed, method)(None)
    assert [getattr(without, name) for name in fields] == [cleared] * len(fields)
    assert msgspec.to_builtins(CTX) == before


def test_a_changed_copy_is_checked() -> None:
    wrong: Any = 5
    with pytest.raises(InvalidInputError, match=r"^TeamId must "):
        CTX.with_team("a b")
    with pytest.raises(TypeError, match=r"^UserId must be a str"):
        CTX.with_user(wrong)
    with pytest.raises(InvalidInputError, match=r"^attempt must be from 0"):
        CTX.with_attempt(-1)
    with pytest.raises(TypeError, match=r"^attributes must map"):
        CTX.with_attributes({"a": wrong})


CHANGES: list[Callable[[Any], object]] = [
    lambda held: held.__setitem__("c", "3"),
    lambda held: held.__delitem__("a"),
    lambda held: held.clear(),
    lambda held: held.pop("a"),
    lambda held: held.popitem(),
    lambda held: held.setdefault("c", "3"),
    lambda held: held.update(c="3"),
    lambda held: held.__ior__({"c": "3"}),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("held", [ATTRIBUTED.attributes, ctx().attributes, copy.copy(ATTRIBUTED).attributes])
def test_attributes_refuse_every_change(held: Any, change: Callable[[Any], object]) -> None:
    before = dict(held)
    with pytest.raises(TypeError, match=r"^attributes cannot be changed"):
        change(held)
    assert held == before


def test_attributes_refuse_to_be_extended_by_an_operator() -> None:
    held: Any = ATTRIBUTED.attributes
    with pytest.raises(TypeError, match=r"^attributes cannot be changed"):
        held |= {"c": "3"}
    assert ATTRIBUTED.attributes == {"a": "1", "b": "2"}


def test_every_mutator_of_a_dict_is_refused() -> None:
    changing = {"clear", "pop", "popitem", "setdefault", "update", "__setitem__", "__delitem__", "__ior__"}
    reading = {"copy", "fromkeys", "get", "items", "keys", "values"}
    assert {name for name in vars(dict) if not name.startswith("__")} | {
        "__setitem__",
        "__delitem__",
        "__ior__",
    } == changing | reading


def test_what_happens_to_a_map_that_was_handed_in_changes_nothing() -> None:
    mine = {"a": "1"}
    for built in (ctx(attributes=mine), CTX.with_attributes(mine), CTX.with_attributes(MappingProxyType(mine))):
        mine["a"] = "2"
        assert built.attributes == {"a": "1"}
        mine["a"] = "1"


@pytest.mark.parametrize(
    ("struct", "field"),
    [
        (CTX, "env"),
        (DATA, "context_json"),
        (DATA.cursor, "node_pointer"),
        (ReplyScope("c"), "thread"),
        (InvocationDeadline(1), "unix_millis"),
        (Impersonation("u"), "reason"),
    ],
)
def test_structs_are_frozen(struct: Any, field: str) -> None:
    before = getattr(struct, field)
    with pytest.raises(AttributeError):
        setattr(struct, field, "other")
    with pytest.raises(AttributeError):
        delattr(struct, field)
    assert getattr(struct, field) is before


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        *[lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, 6)],
    ],
)
@pytest.mark.parametrize("value", [DATA, FULL, FULL.tenant_ctx.attributes, ReplyScope("c", "t")])
def test_copies_and_pickles_are_equal_and_as_immutable(value: Any, duplicate: Callable[[Any], Any]) -> None:
    again = duplicate(value)
    assert type(again) is type(value)
    assert again == value
    assert hash(again) == hash(value)
    if isinstance(again, SessionData):
        assert again.to_json() == value.to_json()
        again = again.tenant_ctx.attributes
    if isinstance(again, dict):
        with pytest.raises(TypeError, match=r"^attributes cannot be changed"):
            again["c"] = "3"


def test_equal_values_hash_alike_however_they_were_built() -> None:
    assert hash(CTX.with_attributes({"a": "1", "b": "2"})) == hash(ATTRIBUTED)
    assert len({DATA, SessionData.from_json(TEXT), FULL, SessionData.from_json(FULL.to_json())}) == 2


def test_a_decoded_context_is_as_immutable() -> None:
    held: Any = SessionData.from_json(FULL.to_json()).tenant_ctx.attributes
    with pytest.raises(TypeError, match=r"^attributes cannot be changed"):
        held["c"] = "3"


def test_the_repr_hides_the_snapshot() -> None:
    secret = data(context_json='"the secret"')
    assert "the secret" not in repr(secret)
    assert "context_json=<12 characters>" in repr(secret)
    assert "flow_id='order'" in repr(secret)
    wait = Wait(SessionKey("the-key"), secret, ReplyScope("c"), b"the secret")
    assert "the-key" not in repr(wait)
    assert "the secret" not in repr(wait)
    assert "conversation='c'" in repr(wait)


def test_the_version_of_a_wait_is_that_of_the_stored_text() -> None:
    assert Wait(SessionKey("k"), DATA).version == version_of(TEXT)
    assert Wait(SessionKey("k"), DATA, text=b"other").version == version_of(b"other") != version_of(TEXT)
    assert version_of(b"abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"


# ReplyScope.
def test_a_scope_with_empty_parts_is_the_scope_without_them() -> None:
    bare, empty = ReplyScope("c"), ReplyScope("c", "", "", "")
    assert empty.normalized() == bare
    assert bare.normalized() is bare
    assert ReplyScope("", "t", "", "x").normalized() == ReplyScope("", "t", None, "x")
    assert ReplyScope("c", "t", "r", "x").normalized() == ReplyScope("c", "t", "r", "x")
    assert empty.canonical() == bare.canonical() == "c\n\n\n"
    assert empty.scope_hash() == bare.scope_hash()
    assert ReplyScope("c", "t", "r", "x").canonical() == "c\nt\nr\nx"


short = st.text("ab", max_size=2)
scopes = st.builds(ReplyScope, short, *[st.none() | short] * 3)


@given(scopes, scopes)
def test_scopes_hash_alike_exactly_when_they_are_one_place(one: ReplyScope, other: ReplyScope) -> None:
    assert (one.scope_hash() == other.scope_hash()) is (one.normalized() == other.normalized())
    assert one.normalized().scope_hash() == one.scope_hash()


@pytest.mark.parametrize("position", range(4))
def test_a_scope_with_a_lone_surrogate_has_no_hash(position: int) -> None:
    parts = ["c", "t", "r", "x"]
    parts[position] = "\ud800"
    with pytest.raises(InvalidInputError, match=r"^ReplyScope must be valid Unicode"):
        ReplyScope(*parts).scope_hash()


def test_a_session_in_one_call() -> None:
    ctx = TenantCtx.new("dev", "acme", user="u1")
    data = SessionData.new(ctx, "order", "ask", context={"ticket": 123}, pack_id="p")
    assert data == SessionData(
        tenant_ctx=ctx, flow_id="order", pack_id="p", cursor=SessionCursor("ask"), context_json='{"ticket":123}'
    )
    assert SessionData.new(ctx, "order", "ask").context() is None
    with pytest.raises(InvalidInputError):
        SessionData.new(ctx, "or:der", "ask")


def test_a_new_cursor_is_a_copys() -> None:
    data = SessionData.new(TenantCtx.new("dev", "acme", user="u1"), "order", "ask")
    moved = data.new_cursor("pay", wait_reason="card")
    assert (data.cursor, moved.cursor) == (SessionCursor("ask"), SessionCursor("pay", "card"))
    assert moved.new_cursor("end").cursor == SessionCursor("end")


@pytest.mark.parametrize(
    ("args", "fields"), [(("dev", "acme"), {}), ((), {"env": "dev", "tenant": "acme"}), ((), {"users": "u"})]
)
def test_a_context_made_by_hand_points_to_new(args: tuple[Any, ...], fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"; TenantCtx\.new\(env, tenant, team=, user=\) fills what belongs together$"):
        TenantCtx(*args, **fields)
    with pytest.raises(TypeError, match=r"^deadline must be an? InvocationDeadline, not int$"):
        TenantCtx(env="dev", tenant="acme", tenant_id="acme", attempt=0, deadline=7)  # type: ignore[arg-type]  # refused
