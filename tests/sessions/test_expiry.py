"""Seconds and timedeltas become milliseconds in one place, and this is what it promises."""

import copy
import math
import pickle
import sys
import warnings
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentic_session import NEVER, InMemorySessionStore, InvalidInputError, ReplyScope, SessionData, TenantCtx
from greentic_session.conversation import create_conversation_store
from greentic_session.expiry import MAX_TTL_MS, Seconds, default_ttl_ms, milliseconds, ttl_ms

pytestmark = pytest.mark.filterwarnings("ignore:.* is longer than ten years:UserWarning")

MICROSECOND = timedelta(microseconds=1)
LONGEST = timedelta(milliseconds=MAX_TTL_MS)

lengths = (
    st.integers(1, MAX_TTL_MS // 1000)
    | st.floats(0, MAX_TTL_MS / 1000, exclude_min=True)
    | st.timedeltas(MICROSECOND, LONGEST)
)


def exact(value: Seconds) -> Fraction:
    """Return the true number of milliseconds."""
    return Fraction(value // MICROSECOND, 1000) if isinstance(value, timedelta) else Fraction(value) * 1000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1000),
        (30.0, 30_000),
        (0.001, 1),
        (0.0014, 1),
        (0.0016, 2),
        (1.9996, 2000),
        (0.0001, 1),
        (5e-324, 1),
        (2**40, 2**40 * 1000),
        (2.0**41, 2**41 * 1000),
        (MAX_TTL_MS / 1000, MAX_TTL_MS),
        (MAX_TTL_MS // 1000, MAX_TTL_MS // 1000 * 1000),
        (timedelta(days=1), 86_400_000),
        (timedelta(days=1, seconds=2, milliseconds=3), 86_402_003),
        (MICROSECOND, 1),
        (timedelta(microseconds=1400), 1),
        (timedelta(microseconds=1600), 2),
        (LONGEST, MAX_TTL_MS),
    ],
)
def test_table(value: Seconds, expected: int) -> None:
    assert milliseconds(value) == expected
    assert type(milliseconds(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        0,
        0.0,
        -0.0,
        timedelta(0),
        -1,
        -0.5,
        -5e-324,
        -1e300,
        -(10**400),
        timedelta(microseconds=-1),
        timedelta.min,
        math.nan,
        math.inf,
        -math.inf,
        1.7976931348623157e308,
        MAX_TTL_MS / 1000 + 1,
        MAX_TTL_MS // 1000 + 1,
        float(MAX_TTL_MS),
        10**400,
        LONGEST + timedelta(milliseconds=1),
        timedelta.max,
    ],
    ids=lambda value: repr(value) if not isinstance(value, int) else hex(value),
)
def test_out_of_range(value: Seconds) -> None:
    with pytest.raises(InvalidInputError, match=r"^lease must be "):
        milliseconds(value, "lease")
    with pytest.raises(InvalidInputError, match=r"^ttl must be "):
        ttl_ms(value, None)
    with pytest.raises(InvalidInputError, match=r"^default_wait_ttl must be "):
        default_ttl_ms(value, "default_wait_ttl")


@pytest.mark.parametrize("value", ["1", b"1", True, False, Decimal(1), Fraction(1), 1j, [1], object()])
def test_no_length_of_time(value: Any) -> None:
    for refuse in (milliseconds, lambda v: ttl_ms(v, 5), lambda v: default_ttl_ms(v, "ttl")):
        with pytest.raises(TypeError, match=rf"number of seconds or a timedelta, not {type(value).__name__}$"):
            refuse(value)


@pytest.mark.parametrize("value", [None, NEVER])
def test_only_a_ttl_may_be_left_out(value: Any) -> None:
    with pytest.raises(TypeError):
        milliseconds(value)


def test_none_asks_for_the_default_and_never_for_none() -> None:
    assert ttl_ms(None, None) is None
    assert ttl_ms(None, 5) == 5
    assert ttl_ms(NEVER, 5) is None
    assert ttl_ms(2, 5) == 2000
    assert default_ttl_ms(None, "x") is None
    assert default_ttl_ms(NEVER, "x") is None
    assert default_ttl_ms(2.5, "x") == 2500


@given(lengths)
def test_the_nearest_millisecond_and_at_least_one(value: Seconds) -> None:
    result = milliseconds(value)
    assert 1 <= result <= MAX_TTL_MS
    # A float's product with 1000 is itself rounded, to one part in 2**53.
    slack = exact(value) / 2**53 if isinstance(value, float) else 0
    assert result == 1 or abs(result - exact(value)) <= Fraction(1, 2) + slack


@given(st.timedeltas(MICROSECOND, timedelta(days=3650)))
def test_a_timedelta_and_its_seconds_agree(value: timedelta) -> None:
    # Half a millisecond lies between two nearest ones, and a float is seldom exactly there.
    tie = value.microseconds % 1000 == 500
    assert abs(milliseconds(value) - milliseconds(value.total_seconds())) <= tie


@given(st.integers(1, MAX_TTL_MS // 1000))
def test_whole_seconds_agree_however_they_are_given(seconds: int) -> None:
    assert (
        milliseconds(seconds) == milliseconds(float(seconds)) == milliseconds(timedelta(seconds=seconds)) == seconds * 1000
    )


@given(*[st.floats(0, MAX_TTL_MS / 1000, exclude_min=True)] * 2)
def test_longer_floats_are_not_shorter(one: float, other: float) -> None:
    assert milliseconds(min(one, other)) <= milliseconds(max(one, other))


@given(*[st.timedeltas(MICROSECOND, LONGEST)] * 2)
def test_longer_timedeltas_are_not_shorter(one: timedelta, other: timedelta) -> None:
    assert milliseconds(min(one, other)) <= milliseconds(max(one, other))


def test_never_is_one_object() -> None:
    assert repr(NEVER) == "NEVER"
    assert copy.copy(NEVER) is NEVER
    assert copy.deepcopy({"ttl": NEVER})["ttl"] is NEVER
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(NEVER, protocol)) is NEVER


TEN_YEARS = 3_653 * 86_400


LONG = r"^lease is longer than ten years \(\d+ days\): a number counts seconds, not milliseconds$"


@pytest.mark.parametrize("value", [86_400_000 * 10, TEN_YEARS + 1.0, timedelta(days=3_654), 2.0**41 + 5])
def test_more_than_ten_years_is_warned_of(value: Seconds) -> None:
    """Somebody means milliseconds, most often; the value counts all the same."""
    with pytest.warns(UserWarning, match=LONG) as caught:
        assert milliseconds(value, "lease") > TEN_YEARS * 1000
    assert [warning.filename for warning in caught] == [__file__]


def test_a_legal_lifetime_does_not_fail_where_warnings_are_errors(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert milliseconds(2**52 / 1000) == MAX_TTL_MS
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_ten_years_are_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        milliseconds(TEN_YEARS)
        milliseconds(timedelta(days=3_653))


@pytest.mark.asyncio
async def test_a_warning_names_the_line_that_gave_a_long_lifetime(tmp_path: Path) -> None:
    """However deep in the package it is found.

    The defaults of stores, lifetimes and leases of operations.
    """
    long, ctx, scope = 86_400_000 * 10, TenantCtx.new("dev", "acme", user="u1"), ReplyScope("c")
    data = SessionData.new(ctx, "f", "n")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = sys._getframe().f_lineno + 1
        store = InMemorySessionStore(default_wait_ttl=long)
        conversations = create_conversation_store(f"sqlite:///{tmp_path}/notes.db", ttl=long)
        key = await store.create_session(ctx, data, ttl=long)
        await store.touch(key, long)
        await store.register_wait(ctx, "u1", scope, key, data, ttl=long)
        claim = await store.claim_wait(ctx, "u1", scope, lease=long)
    assert claim is not None
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, first + step) for step in range(6)]
    left = await store.remaining_ttl(key)
    assert isinstance(left, float)
    assert TEN_YEARS < left <= long
    await store.aclose()
    await conversations.aclose()
