"""The rules of a session as functions.

What each decides, and which error comes first where several rules are broken.
"""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from greentic_session import (
    NEVER,
    ClaimedError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ReplyScope,
    SessionData,
    TenantCtx,
    TenantMismatchError,
    TooManyWaitsError,
    transitions,
)
from greentic_session.backend import Parking, Update
from greentic_session.expiry import ttl_ms
from greentic_session.ids import SessionKey
from greentic_session.tenancy import Owner, owner_of

NOW = 1000.0
ALICE, BOB = (TenantCtx.new("dev", "acme", user=user) for user in ("alice", "bob"))
GLOBEX = TenantCtx.new("dev", "globex", user="alice")
CHAT, OTHER = ReplyScope("chat"), ReplyScope("other")
KEY = SessionKey("k")


def data_of(ctx: TenantCtx = ALICE) -> SessionData:
    return SessionData.new(ctx, "flow", "node")


class Stored(Struct):
    """What a backend keeps of a session."""

    data: SessionData = data_of()
    scope: ReplyScope | None = CHAT
    end: float = NOW + 60
    token: str | None = None
    lease_end: float = 0.0

    @property
    def owner(self) -> Owner | None:
        return owner_of(self.data)


def parking(**changes: Any) -> Parking:
    fields = {"owner": owner_of(data_of()), "scope": CHAT, "key": KEY, "data": data_of(), "ttl_ms": 60_000} | changes
    return Parking(**fields)


def error_of(call: Callable[[], object]) -> type[Exception] | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  # its type is what is compared
        return type(error)
    return None


def test_a_new_wait() -> None:
    parked: transitions.Parked[Stored] = transitions.park(parking(), None, None, NOW)
    assert (parked.session, parked.displaced, parked.moves) == (None, None, True)


def test_parking_again_at_the_same_scope_moves_nothing() -> None:
    stored = Stored()
    parked = transitions.park(parking(), stored, stored, NOW)
    assert (parked.session, parked.displaced, parked.moves) == (stored, None, False)


def test_parking_elsewhere_moves_and_displaces() -> None:
    stored, holder = Stored(), Stored(scope=OTHER)
    parked = transitions.park(parking(scope=OTHER), stored, holder, NOW)
    assert (parked.session, parked.displaced, parked.moves) == (stored, holder, True)


@pytest.mark.parametrize("replace", [True, False])
def test_what_has_expired_is_neither_written_over_nor_displaced(replace: bool) -> None:  # noqa: FBT001
    gone = Stored(data=data_of(GLOBEX), end=NOW)
    parked = transitions.park(parking(replace=replace), gone, Stored(end=NOW - 1), NOW)
    assert (parked.session, parked.displaced, parked.moves) == (None, None, True)


def test_the_order_of_what_parking_refuses() -> None:
    """A claim that is over, then whose the session is, then the scope, then the number of waits."""
    foreign, holder = Stored(data=data_of(GLOBEX)), Stored()
    waits = [holder]
    everything = parking(replace=False, token="t", max_waits=1)
    assert error_of(lambda: transitions.park(everything, foreign, holder, NOW, waits)) is ConflictError
    held = Stored(data=data_of(GLOBEX), token="t", lease_end=NOW + 1)
    assert error_of(lambda: transitions.park(everything, held, holder, NOW, waits)) is TenantMismatchError
    mine = Stored(scope=None, token="t", lease_end=NOW + 1)
    assert error_of(lambda: transitions.park(everything, mine, holder, NOW, waits)) is ConflictError
    assert error_of(lambda: transitions.park(everything, mine, None, NOW, waits)) is TooManyWaitsError
    assert error_of(lambda: transitions.park(parking(max_waits=1), mine, holder, NOW, waits)) is None  # one goes, one comes
    assert error_of(lambda: transitions.park(parking(max_waits=1), mine, None, NOW, [Stored(end=NOW)])) is None


def test_the_order_of_what_an_update_refuses() -> None:
    def update(stored: Stored | None, ctx: TenantCtx | None, new: TenantCtx = ALICE) -> type[Exception] | None:
        return error_of(lambda: transitions.check_update(Update(KEY, data_of(new), ctx, None), stored, NOW))

    assert update(None, None) is NotFoundError
    assert update(Stored(end=NOW), None) is NotFoundError
    assert update(Stored(), BOB, BOB) is NotFoundError
    assert update(Stored(), None, BOB) is TenantMismatchError
    assert update(Stored(), ALICE) is None
    assert update(Stored(), ALICE.with_user(None)) is None  # a runner's

    change = Update(KEY, data_of(), None, "v1")
    transitions.check_version(change, "v1")
    assert error_of(lambda: transitions.check_version(change, "v2")) is ConflictError


def test_a_claim_needs_a_wait_that_nobody_holds() -> None:
    assert error_of(lambda: transitions.claim(Stored(token="t", lease_end=NOW + 1), KEY, 5_000, NOW)) is ClaimedError
    held = transitions.claim(Stored(token="t", lease_end=NOW), KEY, 5_000, NOW)
    assert (held.lease_end, held.lengthens) == (NOW + 5, False)
    assert transitions.claim(Stored(end=NOW + 1), KEY, 5_000, NOW).lengthens
    assert transitions.renew(Stored(end=NOW + 5), 5_000, NOW).lengthens is False


@pytest.mark.parametrize(
    ("stored", "is_held"),
    [
        (None, False),
        (Stored(), False),
        (Stored(token="other", lease_end=NOW + 1), False),
        (Stored(token="t", lease_end=NOW), False),
        (Stored(token="t", lease_end=NOW + 1, end=NOW), False),
        (Stored(token="t", lease_end=NOW + 1), True),
    ],
)
def test_a_claim_is_live_with_its_token_lease_and_session(stored: Stored | None, is_held: bool) -> None:  # noqa: FBT001
    assert transitions.is_held(stored, "t", NOW) is is_held


def test_of_several_waits_none_is_the_users() -> None:
    one, other, latest = Stored(), Stored(), Stored(scope=None)
    assert transitions.latest_or_only([one], latest, NOW) is one
    assert transitions.latest_or_only([Stored(end=NOW)], latest, NOW) is latest
    assert transitions.latest_or_only([], Stored(end=NOW), NOW) is None
    assert error_of(lambda: transitions.latest_or_only([one, other], latest, NOW)) is InvalidInputError


def test_ends() -> None:
    assert transitions.end_after(1_500, NOW) == NOW + 1.5
    assert transitions.end_after(ttl_ms(NEVER, None), NOW) == float("inf")
    assert not transitions.is_live(Stored(end=NOW), NOW)
    assert transitions.is_live(Stored(end=NOW + 0.001), NOW)
