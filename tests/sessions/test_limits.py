"""How large a session may be: exactly as large as its wire text, however the check gets there."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentic_session import (
    NEVER,
    Impersonation,
    InvalidInputError,
    InvocationDeadline,
    SessionCursor,
    SessionData,
    TenantCtx,
    create_session_store,
)
from greentic_session.limits import DEFAULT_MAX_SNAPSHOT_BYTES, Limits, ReplyLimits

CTX = TenantCtx.new("dev", "acme")
FULL = (
    CTX.with_team("ops")
    .with_user("u1")
    .with_attributes({"k": "\x00", "\u00e9": '"'})
    .with_deadline(InvocationDeadline(-(2**127)))
    .with_impersonation(Impersonation("u2", "why"))
)

snapshots = (
    st.text()
    | st.text(st.characters(max_codepoint=127))
    | st.text("\x00\x1f\x7f")
    | st.text('"\\/')
    | st.text("\u00e9\u2028\U0001f600")
)
ids = st.text("ab.-_", min_size=1, max_size=40)
sessions = st.builds(
    SessionData,
    tenant_ctx=st.sampled_from([CTX, FULL]),
    flow_id=ids,
    pack_id=st.none() | ids,
    cursor=st.builds(SessionCursor, st.text(), st.none() | st.text(), st.none() | st.text()),
    context_json=snapshots,
)


def limit(size: int) -> Limits:
    return Limits.of({"max_snapshot_bytes": size})


def session(snapshot: str) -> SessionData:
    return SessionData(tenant_ctx=CTX, flow_id="f", cursor=SessionCursor("n"), context_json=snapshot)


def accepts(data: SessionData, size: int) -> bool:
    """Say whether data of this size is accepted, with its text returned and without alike."""
    outcomes = set()
    for as_text in (True, False):
        try:
            text = limit(size).admit(data, as_text=as_text)
        except InvalidInputError:
            outcomes.add("refused")
        else:
            outcomes.add("accepted")
            assert text == (data.to_json() if as_text else None)
    assert len(outcomes) == 1
    return outcomes == {"accepted"}


@given(sessions, st.data())
def test_what_fits_is_accepted_and_nothing_else(data: SessionData, draw: st.DataObject) -> None:
    size = len(data.to_json())
    assert accepts(data, size)
    assert not accepts(data, size - 1)
    # Around the quick bound, too: up to six bytes for each character of the snapshot.
    near = draw.draw(st.integers(1, size * 6 + 200))
    assert accepts(data, near) is (size <= near)


@pytest.mark.parametrize("character", ["\x00", "\x1f", '"', "\\", "/", "a", "\x7f", "\u00e9", "\u2028", "\U0001f600"])
def test_a_snapshot_of_one_character(character: str) -> None:
    data = session(character * 10_000)
    size = len(data.to_json())
    assert accepts(data, size)
    assert not accepts(data, size - 1)


@pytest.mark.parametrize("as_text", [True, False])
def test_the_message_names_both_sizes_and_nothing_of_the_snapshot(*, as_text: bool) -> None:
    data = session("secret" * 100)
    with pytest.raises(InvalidInputError) as caught:
        limit(100).admit(data, as_text=as_text)
    assert str(caught.value) == f"the session is {len(data.to_json())} bytes long, and the limit is 100"


@pytest.mark.parametrize("size", [1, DEFAULT_MAX_SNAPSHOT_BYTES])
@pytest.mark.parametrize(
    "data",
    [
        session("\ud800"),
        SessionData(tenant_ctx=CTX.with_node("\ud800"), flow_id="f", cursor=SessionCursor("n"), context_json=""),
        SessionData(tenant_ctx=CTX, flow_id="f", cursor=SessionCursor("\ud800"), context_json=""),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_lone_surrogate_is_refused_wherever_it_is(data: SessionData, size: int, *, as_text: bool) -> None:
    with pytest.raises(InvalidInputError, match="lone surrogate"):
        limit(size).admit(data, as_text=as_text)


@pytest.mark.parametrize("wrong", [None, {}, b"{}", CTX])
@pytest.mark.parametrize("as_text", [True, False])
def test_no_session(wrong: Any, *, as_text: bool) -> None:
    with pytest.raises(TypeError, match=f"^data must be a SessionData, not {type(wrong).__name__}$"):
        limit(100).admit(wrong, as_text=as_text)


def test_options() -> None:
    assert Limits.of({"default_session_ttl": NEVER, "max_snapshot_bytes": 1}) == Limits(None, None, 1)
    assert Limits.of({"default_wait_ttl": 1.5, "default_session_ttl": 2, "max_snapshot_bytes": 3}) == Limits(1500, 2000, 3)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(0, InvalidInputError), (-1, InvalidInputError), (True, TypeError), (1.5, TypeError), (None, TypeError)],
)
def test_no_size(wrong: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^max_snapshot_bytes must be "):
        limit(wrong)


def test_no_lifetime() -> None:
    with pytest.raises(InvalidInputError, match=r"^default_wait_ttl must be "):
        Limits.of({"default_wait_ttl": 0})
    with pytest.raises(InvalidInputError, match=r"^default_session_ttl must be "):
        Limits.of({"default_session_ttl": math.inf})


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("snapshot", ["{}", "é", "x" * 100_000])
def test_a_context_that_is_too_long(snapshot: str, *, as_text: bool) -> None:
    limits = Limits.of({})
    long = TenantCtx.new("dev", "acme").with_attributes({"note": "x" * 65_536})
    data = SessionData(tenant_ctx=long, flow_id="f", cursor=SessionCursor("n"), context_json=snapshot)
    with pytest.raises(InvalidInputError, match=r"^the tenant context is \d+ bytes long, and the limit is 65536$"):
        limits.admit(data, as_text=as_text)
    fits = TenantCtx.new("dev", "acme").with_attributes({"note": "x" * 65_000})
    limits.admit(SessionData(tenant_ctx=fits, flow_id="f", cursor=data.cursor, context_json=snapshot), as_text=as_text)


@pytest.mark.parametrize("url", ["memory://", "redis://localhost", "sqlite:///unused.db"])
def test_every_store_has_the_options_for_replies(url: str) -> None:
    options: dict[str, Any] = {
        "dedupe_window": 1.5,
        "reply_grace": timedelta(seconds=2),
        "timeout_grace": 3,
        "max_replies": 4,
        "max_inbox_bytes": 5,
        "max_reply_bytes": 6,
    }
    store = create_session_store(url, **options)
    assert store.backend.reply_limits == ReplyLimits(1500, 2000, 3000, 4, 5, 6)
    assert create_session_store(url).backend.reply_limits == ReplyLimits()
    for name in options:
        with pytest.raises(InvalidInputError):
            create_session_store(url, **{name: 0})
        with pytest.raises(TypeError):
            create_session_store(url, **{name: "1"})
    with pytest.raises(TypeError):
        create_session_store("memory://", max_answers=1)
