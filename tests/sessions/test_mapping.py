"""Session keys made from what a message says.

The reference's without a context, never shared by tenants with one.
"""

import enum
import hashlib
import hmac
import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greentic_session import InvalidInputError, TenantCtx
from greentic_session.ids import MAX_ID_CHARACTERS, check_id
from greentic_session.mapping import (
    canonical_session_key,
    telegram_update_to_session_key,
    text_to_hashed_id,
    text_to_id,
    webhook_to_session_key,
)

Hashed: TypeAlias = Callable[..., str]
HASHED: dict[str, Hashed] = {"tg": telegram_update_to_session_key, "wh": webhook_to_session_key}

ids = st.text("0123a", min_size=1, max_size=3)
maybe = st.none() | ids
contexts = st.builds(
    TenantCtx, env=ids, tenant=ids, tenant_id=ids, team=maybe, team_id=maybe, user=maybe, user_id=maybe, attempt=st.just(0)
)
parts = st.text("0123a:,", max_size=5)  # what the length prefixes are made of, too


def partition(ctx: TenantCtx) -> tuple[str, str, str | None]:
    return ctx.env, ctx.tenant_id, ctx.effective_team


@pytest.mark.parametrize(("prefix", "make"), HASHED.items())
@given(one=parts | st.integers(), two=parts | st.integers(), three=parts | st.integers())
def test_without_a_context_it_is_the_references_recipe(prefix: str, make: Hashed, one: Any, two: Any, three: Any) -> None:
    assert make(one, two, three) == hashlib.sha256(f"{prefix}:{one}:{two}:{three}".encode()).hexdigest()


@given(parts, parts, st.none() | parts, st.none() | parts)
def test_the_canonical_key_is_readable(tenant: str, provider: str, anchor: str | None, user: str | None) -> None:
    anchor_text, user_text = "conversation" if anchor is None else anchor, "user" if user is None else user
    assert canonical_session_key(tenant, provider, anchor, user) == f"{tenant}:{provider}:{anchor_text}:{user_text}"


hashed_calls = st.tuples(st.sampled_from(sorted(HASHED)), contexts, st.tuples(parts, parts, parts))


@given(hashed_calls, hashed_calls)
def test_with_a_context_hashed_keys_are_equal_only_for_equal_parts(one: Any, other: Any) -> None:
    keys = [HASHED[prefix](*texts, ctx=ctx) for prefix, ctx, texts in (one, other)]
    whole = [(prefix, partition(ctx), texts) for prefix, ctx, texts in (one, other)]
    assert (keys[0] == keys[1]) is (whole[0] == whole[1])


@given(contexts, st.tuples(parts, parts, parts).filter(lambda texts: ":" in "".join(texts)))
def test_moving_a_boundary_between_parts_changes_the_key(ctx: TenantCtx, texts: tuple[str, str, str]) -> None:
    joined = ":".join(texts)
    cuts = [place for place, character in enumerate(joined) if character == ":"]
    for first, second in itertools.combinations(cuts, 2):
        moved = (joined[:first], joined[first + 1 : second], joined[second + 1 :])
        for make in HASHED.values():
            assert make(*texts) == make(*moved)
            assert (make(*texts, ctx=ctx) == make(*moved, ctx=ctx)) is (texts == moved)


canonical_calls = st.tuples(contexts, st.tuples(parts, parts, st.none() | parts, st.none() | parts))


@given(canonical_calls, canonical_calls)
def test_with_a_context_canonical_keys_are_equal_only_for_equal_parts(one: Any, other: Any) -> None:
    keys = [canonical_session_key(*texts, ctx=ctx) for ctx, texts in (one, other)]
    assert (keys[0] == keys[1]) is ((partition(one[0]), one[1]) == (partition(other[0]), other[1]))


def test_only_env_tenant_and_team_of_the_context_count() -> None:
    ctx = TenantCtx.new("dev", "acme", team="ops", user="u1")
    same = msgspec.structs.replace(ctx.with_user(None).with_attempt(3), tenant="legacy", team="legacy")
    others = [
        ctx.with_team(None),
        ctx.with_team("ops2"),
        TenantCtx.new("prod", "acme", team="ops"),
        TenantCtx.new("dev", "ac", team="ops"),
    ]
    for make in (*HASHED.values(), canonical_session_key):
        assert make("a", "b", "c", ctx=ctx) == make("a", "b", "c", ctx=same)
        assert len({make("a", "b", "c", ctx=each) for each in (ctx, *others)}) == 5
        assert make("a", "b", "c", ctx=ctx) != make("a", "b", "c")


def test_the_weakness_without_a_context() -> None:
    for make in (*HASHED.values(), canonical_session_key):
        assert make("a:b", "c", "d") == make("a", "b:c", "d")
    ctx = TenantCtx.new("dev", "acme")
    for make in (*HASHED.values(), canonical_session_key):
        assert make("a:b", "c", "d", ctx=ctx) != make("a", "b:c", "d", ctx=ctx)


@pytest.mark.parametrize("make", HASHED.values())
def test_integers_are_as_good_as_their_digits(make: Hashed) -> None:
    for ctx in (None, TenantCtx.new("dev", "acme")):
        assert make(1, -100123, 2**70, ctx=ctx) == make("1", "-100123", str(2**70), ctx=ctx)


class Channel(str, enum.Enum):  # noqa: UP042  # the older idiom: its str() is not its value
    CHAT = "chat"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize("ctx", [None, TenantCtx.new("dev", "acme")])
def test_a_subclass_counts_as_the_text_or_number_that_it_holds(ctx: TenantCtx | None) -> None:
    for make in HASHED.values():
        assert make(Channel.CHAT, Number.ONE, "x", ctx=ctx) == make("chat", 1, "x", ctx=ctx)
    assert canonical_session_key(Channel.CHAT, "b", ctx=ctx) == canonical_session_key("chat", "b", ctx=ctx)


def test_ids_of_a_subclass_lead_to_the_same_key() -> None:
    ctx, plain = TenantCtx.new(Channel.CHAT, "acme"), TenantCtx.new("chat", "acme")
    assert ctx == plain
    for make in (*HASHED.values(), canonical_session_key):
        assert make("a", "b", "c", ctx=ctx) == make("a", "b", "c", ctx=plain)


@pytest.mark.parametrize("wrong", [None, True, False, 1.5, b"a", ["a"]])
@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("make", HASHED.values())
def test_no_part(make: Hashed, position: int, wrong: Any) -> None:
    given_parts: list[Any] = ["a", "b", "c"]
    given_parts[position] = wrong
    with pytest.raises(TypeError, match=f"must be a str or an int, not {type(wrong).__name__}$"):
        make(*given_parts)


@pytest.mark.parametrize("wrong", [True, 1, 1.5, b"a", ["a"]])
@pytest.mark.parametrize("position", range(4))
def test_no_part_of_a_canonical_key(position: int, wrong: Any) -> None:
    given_parts: list[Any] = ["a", "b", "c", "d"]
    given_parts[position] = wrong
    with pytest.raises(TypeError, match=f"must be a str, not {type(wrong).__name__}$"):
        canonical_session_key(*given_parts)


@pytest.mark.parametrize("ctx", [None, TenantCtx.new("dev", "acme")])
@pytest.mark.parametrize("make", [*HASHED.values(), canonical_session_key])
def test_a_lone_surrogate_is_refused(make: Hashed, ctx: TenantCtx | None) -> None:
    with pytest.raises(InvalidInputError, match="lone surrogate"):
        make("a", "\ud800", "c", ctx=ctx)
    assert make("a", "\U0001f600", "c", ctx=ctx)


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["positive", "negative"])
@pytest.mark.parametrize("make", HASHED.values())
def test_a_number_of_thousands_of_digits_is_refused(make: Hashed, number: int) -> None:
    with pytest.raises(InvalidInputError, match="too long a number"):
        make("a", number, "c")


def test_a_canonical_key_is_a_session_key_and_no_longer_than_one() -> None:
    room_left = 1024 - len("t:p:") - len(":u")
    assert len(canonical_session_key("t", "p", "x" * room_left, "u")) == 1024
    for anchor in ("x" * (room_left + 1), "\u00e9" * (room_left // 2 + 1)):
        with pytest.raises(InvalidInputError, match="at most 1024 UTF-8 bytes"):
            canonical_session_key("t", "p", anchor, "u")
        assert len(webhook_to_session_key("t", "p", anchor)) == 64


@pytest.mark.parametrize("make", [*HASHED.values(), canonical_session_key])
def test_the_context_is_checked(make: Hashed) -> None:
    with pytest.raises(TypeError, match=r"^ctx must be a TenantCtx, not str$"):
        make("a", "b", "c", ctx="acme")
    with pytest.raises(InvalidInputError, match="team id '-' is reserved"):
        make("a", "b", "c", ctx=TenantCtx.new("dev", "acme", team="-"))


@given(st.text(min_size=1))
def test_text_to_id_gives_legal_ids(text: str) -> None:
    assume(not any("\ud800" <= character <= "\udfff" for character in text))
    made = text_to_id(text)
    assert check_id("UserId", made) == made
    assert made != "-"
    assert len(made) <= MAX_ID_CHARACTERS
    TenantCtx.new("dev", made, team=made, user=made)


UNICODE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
TEXTS = st.text("abhkx_-.04@é", min_size=1, max_size=12) | UNICODE | st.text("aé", min_size=40, max_size=300)
"""Short texts of the letters of outputs, any texts, and texts of about an id's longest length."""


@given(
    st.lists(
        TEXTS
        | TEXTS.map(text_to_id)
        | TEXTS.map(text_to_id).map(text_to_id)
        | TEXTS.map(lambda text: text_to_hashed_id(text, b"0123456789abcdef")),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_no_two_texts_have_one_id(texts: list[str]) -> None:
    """What looks like an output is encoded, too; so is the reserved team."""
    one, other = texts
    assert text_to_id(one) != text_to_id(other)
    assert text_to_id(text_to_id(one)) != text_to_id(one) or text_to_id(one) == one


@pytest.mark.parametrize("text", ["user-7", "a.b_c", "0", "x-y", "_", "a" * 1024])
def test_a_legal_id_stays_itself(text: str) -> None:
    assert text_to_id(text) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("ann@example.org", "x--ann_40example.org"),
        ("auth0|5f7c", "x--auth0_7c5f7c"),
        ("@user:server", "x--_40user_3aserver"),
        ("+4930123", "x--_2b4930123"),
        ("Jürgen_1", "x--J_c3_bcrgen_5f1"),
        ("-", "x---"),
        ("x--ann_40example.org", "x--x--ann_5f40example.org"),
        ("ä" * 1000, "x--_h" + hashlib.sha256(("ä" * 1000).encode()).hexdigest()),
        ("b" * 1025, "x--_h" + hashlib.sha256(b"b" * 1025).hexdigest()),
    ],
)
def test_recorded_ids_of_texts(text: str, made: str) -> None:
    """On every machine, in every version: whoever is stored under one is found under it."""
    assert text_to_id(text) == made


def test_a_hashed_id_hides_the_text_and_needs_the_secret() -> None:
    secret = b"0123456789abcdef"
    made = text_to_hashed_id("ann@example.org", secret)
    assert made == "x--_k" + hmac.new(secret, b"ann@example.org", hashlib.sha256).hexdigest()
    assert made != text_to_hashed_id("ann@example.org", b"another secret, long")
    assert text_to_id(made) != made  # nobody can call themselves so
    assert check_id("UserId", made) == made


@pytest.mark.parametrize("call", [text_to_id, lambda text: text_to_hashed_id(text, b"0123456789abcdef")])
@pytest.mark.parametrize(
    ("text", "error"), [("", InvalidInputError), ("\ud800", InvalidInputError), (7, TypeError), (None, TypeError)]
)
def test_texts_that_are_refused(call: Any, text: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(text)


@pytest.mark.parametrize(("secret", "error"), [(b"short", InvalidInputError), ("0123456789abcdef", TypeError)])
def test_secrets_that_are_refused(secret: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        text_to_hashed_id("ann@example.org", secret)
    assert "short" not in str(caught.value).replace("must have at least", "")


def test_the_message_of_an_illegal_id_names_the_way() -> None:
    with pytest.raises(InvalidInputError, match=r"greentic_session\.mapping\.text_to_id .*text_to_hashed_id") as caught:
        TenantCtx.new("dev", "acme", user="ann@example.org")
    assert "ann" not in str(caught.value)
