"""The rules of replies, deadlines, readiness and turns as functions."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from greentic_session import InboxFullError, Reply, ReplyScope, SessionData, TenantCtx, transitions
from greentic_session.backend import Beginning, Delivering, Parking
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.tenancy import Owner, owner_of
from greentic_session.transitions import Kept, Leaving, Lifetime, Received, Turn

NOW = 1000.0
NEVER = float("inf")
CHAT = ReplyScope("chat")
DATA = SessionData.new(TenantCtx.new("dev", "acme", user="alice"), "flow", "node")
LIMITS = ReplyLimits(
    dedupe_window_ms=50_000, reply_grace_ms=20_000, timeout_grace_ms=40_000, max_replies=2, max_inbox_bytes=10
)


class Stored(Struct):
    """Stored state of a wait, as a backend keeps it."""

    data: SessionData = DATA
    scope: ReplyScope | None = CHAT
    end: float = NOW + 60
    token: str | None = None
    lease_end: float = 0.0
    deadline: float = NOW + 60
    resume: bool = False
    rest_end: float = NOW + 60
    put_off: float = 0.0
    turn: Turn | None = None

    @property
    def owner(self) -> Owner | None:
        return owner_of(self.data)


def received(reply_id: str = "r1", **changes: Any) -> Received:
    reply = Reply(reply_id, "x", CHAT, datetime(2026, 1, 1, tzinfo=UTC))
    return replace(Received(reply, 1, NOW - 5), **changes)


def held(reply_id: str = "r1", token: str = "t", until: float = NOW + 10) -> Received:
    return transitions.hold(received(reply_id), token, until)


def delivering(**changes: Any) -> Delivering:
    return replace(Delivering(("dev", "acme", None, "alice"), (CHAT,), "new", "x", 1, "t", "key", 30_000), **changes)


# -- deliveries


@pytest.mark.parametrize("lease", [1.0, 30.0, 90.0])
@pytest.mark.parametrize(
    ("deadline", "rest_end"), [(NOW + 60, NOW + 60), (NOW + 5, NOW + 5), (NEVER, NOW + 40), (NEVER, NEVER)]
)
def test_the_usual_delivery_is_what_the_steps_say(lease: float, deadline: float, rest_end: float) -> None:
    wait, at = Stored(deadline=deadline, rest_end=rest_end), datetime(2026, 1, 2, tzinfo=UTC)
    one, lease_end = delivering(lease_ms=int(lease * 1000), delivery_id="d", sender="s"), NOW + lease
    outcome = transitions.deliver(one, wait, [], None, Kept(), LIMITS, NOW)
    begun = transitions.begin(wait, [transitions.receive(one, outcome, at, NOW)], one.turn_key, NOW)
    assert (outcome, begun.attempt) == ("claimed", 1)
    assert begun.held is not None
    held = transitions.hold(begun.held, one.token, lease_end)
    life = transitions.lengthen(wait, lease_end)
    after = replace(wait, token=one.token, lease_end=lease_end, deadline=life.deadline, rest_end=life.rest_end)
    assert transitions.due_at(after, [held], NOW, NEVER) == lease_end
    end = transitions.storage_end(after, [held], LIMITS)
    made = transitions.claim_at_once(one, wait, at, LIMITS, NOW)
    assert made is not None
    assert Turn(made.about, made.failed, made.key) == begun.turn
    assert made.received == held
    assert (made.lease_end, made.deadline, made.rest_end, made.end) == (lease_end, life.deadline, life.rest_end, end)


@pytest.mark.parametrize(
    "changes",
    [{"token": "t"}, {"turn": Turn("r1", 0, "key")}, {"put_off": NOW - 1}, {"resume": True}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_delivery_takes_more_thought(changes: dict[str, Any]) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    assert transitions.claim_at_once(delivering(), Stored(**changes), at, LIMITS, NOW) is None
    assert transitions.claim_at_once(delivering(claims=False), Stored(), at, LIMITS, NOW) is None


@pytest.mark.parametrize(
    ("wait", "inbox", "known", "changes", "outcome"),
    [
        (None, [], False, {}, "unmatched"),
        (None, [], False, {"keep_ms": 1}, "kept"),
        (None, [], False, {"beginning": Beginning(SessionKey("k"), DATA, None)}, "claimed"),
        (None, [held()], False, {"beginning": Beginning(SessionKey("k"), DATA, None)}, "queued"),
        (None, [], True, {"beginning": Beginning(SessionKey("k"), DATA, None)}, "kept"),
        (Stored(), [], False, {}, "claimed"),
        (Stored(), [], False, {"claims": False}, "queued"),
        (Stored(), [], True, {}, "claimed"),
        (Stored(), [], True, {"claims": False}, "queued"),
        (Stored(token="t", lease_end=NOW + 1), [], False, {}, "queued"),
        (Stored(token="t", lease_end=NOW), [], False, {}, "claimed"),
        (Stored(put_off=NOW + 1), [], False, {}, "queued"),
        (Stored(put_off=NOW), [], False, {}, "claimed"),
        (Stored(), [held()], False, {}, "queued"),
        (Stored(), [held(until=NOW)], False, {}, "claimed"),
        (Stored(token="t", lease_end=NOW + 1), [], True, {}, "queued"),
    ],
)
def test_what_becomes_of_a_delivery(
    wait: Stored | None,
    inbox: list[Received],
    known: bool,  # noqa: FBT001
    changes: dict[str, Any],
    outcome: str,
) -> None:
    again = received() if known else None
    assert transitions.deliver(delivering(**changes), wait, inbox, again, Kept(), LIMITS, NOW) == outcome


@pytest.mark.parametrize(
    ("inbox", "size", "kept", "fits"),
    [
        ([received()], 1, Kept(), True),
        ([received(), received("r2")], 1, Kept(), False),
        ([received(size=10)], 1, Kept(), False),
        ([received(size=9)], 1, Kept(), True),
        ([], 11, Kept(), False),
        ([], 1, Kept(19, 99), True),
        ([], 1, Kept(20, 0), False),
        ([], 1, Kept(0, 100), False),
    ],
)
def test_bounds(inbox: list[Received], size: int, kept: Kept, fits: bool) -> None:  # noqa: FBT001
    early, queued = delivering(size=size, keep_ms=1), delivering(size=size, claims=False)

    def deliver(one: Delivering, wait: Stored | None) -> bool:
        try:
            transitions.deliver(one, wait, inbox, None, kept, LIMITS, NOW)
        except InboxFullError:
            return False
        return True

    assert deliver(early, None) is fits
    assert deliver(queued, Stored()) is (fits or kept != Kept())  # what the owner has kept is no matter there
    assert deliver(delivering(size=size), Stored())  # what is free always takes one more


# -- readiness


def test_since_when_a_wait_is_ready() -> None:
    def due(wait: Stored, *inbox: Received, was: float = NEVER) -> float:
        return transitions.due_at(wait, inbox, NOW, was)

    assert due(Stored()) == NEVER
    assert due(Stored(), received()) == NOW
    assert due(Stored(), received(), was=NOW - 3) == NOW - 3  # it was ready, and is
    assert due(Stored(), received(), was=NOW + 3) == NOW  # it is ready again
    assert due(Stored(token="t", lease_end=NOW + 7), received(), was=NOW - 3) == NOW + 7
    assert due(Stored(put_off=NOW + 9, token="t", lease_end=NOW + 7), received()) == NOW + 9
    assert due(Stored(), held(until=NOW + 4), received("r2")) == NOW + 4
    assert due(Stored(resume=True)) == NOW + 60
    assert due(Stored(resume=True, deadline=NOW - 2), was=NOW - 2) == NOW - 2
    assert due(Stored(resume=True, deadline=NEVER)) == NEVER
    assert due(Stored(resume=True), received()) == NOW


def test_what_a_turn_is_about() -> None:
    late = Stored(resume=True, deadline=NOW)
    assert transitions.subject(Stored(deadline=NOW), [], NOW) is None
    assert transitions.subject(late, [], NOW) == transitions.name_of_deadline(NOW)
    assert transitions.subject(late, [received(), received("r2")], NOW) == "r1"
    assert transitions.subject(late, [held(), received("r2")], NOW) == "r2"
    assert transitions.subject(late, [held()], NOW) == transitions.name_of_deadline(NOW)


# -- turns


def test_attempts() -> None:
    inbox = [received()]
    new = transitions.begin(Stored(), inbox, "key", NOW)
    assert (new.turn, new.attempt, new.held) == (Turn("r1", 0, "key"), 1, inbox[0])
    given_back = Stored(turn=new.turn)
    assert transitions.begin(given_back, inbox, "other", NOW).turn == new.turn
    lapsed = Stored(turn=new.turn, token="t", lease_end=NOW)
    assert transitions.begin(lapsed, inbox, "other", NOW).attempt == 2
    put_off = Stored(turn=transitions.fail(new.turn))
    assert transitions.begin(put_off, inbox, "other", NOW).attempt == 2
    another = transitions.begin(Stored(turn=new.turn), [received("r2")], "other", NOW)
    assert (another.turn, another.attempt) == (Turn("r2", 0, "other"), 1)
    deadline = transitions.begin(Stored(resume=True, deadline=NOW), [], "key", NOW)
    assert deadline.held is None
    assert transitions.fail(None) is None


def test_plain_claims_join() -> None:
    turn = Turn("r1", 1, "key")
    assert transitions.join(Stored(), [received()], NOW) is None
    assert transitions.join(Stored(turn=turn), [], NOW) is None
    assert transitions.join(Stored(turn=turn), [received("r2")], NOW) is None
    assert transitions.join(Stored(turn=turn), [received()], NOW) == turn
    assert transitions.join(Stored(turn=turn, token="t", lease_end=NOW), [received()], NOW) == Turn("r1", 2, "key")


def test_taking_begins_a_turn() -> None:
    assert transitions.take_turn(Stored(), [], "key") is None
    assert transitions.take_turn(Stored(), [received()], "key") == Turn("r1", 0, "key")
    open_turn = Turn("r0", 3, "key")
    assert transitions.take_turn(Stored(turn=open_turn), [received()], "key") is open_turn
    assert transitions.take_turn(Stored(turn=open_turn), [received()], "other") == Turn("r1", 0, "other")
    inbox = [held(), received("r2"), received("r3")]
    assert transitions.takeable(inbox, 1, NOW) == (inbox[1],)
    assert transitions.takeable(inbox, 9, NOW) == (inbox[1], inbox[2])


def test_backoff() -> None:
    assert [transitions.backoff_s(attempt) for attempt in (1, 2, 3, 9, 10, 11, 10**9)] == [1, 2, 4, 256, 300, 300, 300]


# -- deadlines and lifetimes


def test_lifetimes() -> None:
    assert transitions.begin_lifetime(5_000, NOW, LIMITS, resume=False) == Lifetime(NOW + 5, NOW + 5)
    assert transitions.begin_lifetime(5_000, NOW, LIMITS, resume=True) == Lifetime(NOW + 5, NOW + 45)
    assert transitions.begin_lifetime(None, NOW, LIMITS, resume=True) == Lifetime(NEVER, NEVER)
    assert transitions.lengthen(Stored(), NOW + 90) == Lifetime(NOW + 90, NOW + 90)
    assert transitions.lengthen(Stored(resume=True), NOW + 90) == Lifetime(NOW + 60, NOW + 90)
    assert transitions.lengthen(Stored(), NOW + 9) == Lifetime(NOW + 60, NOW + 60)
    assert transitions.take_deadline(Stored(end=NOW + 70)) == Lifetime(NEVER, NOW + 70)
    assert transitions.touch(Stored(scope=None, resume=True), 5_000, NOW, LIMITS) == Lifetime(NEVER, NOW + 5)
    assert transitions.touch(Stored(resume=True), 5_000, NOW, LIMITS) == Lifetime(NOW + 5, NOW + 45)


def test_stay_uses_up_the_deadline_that_was_heard() -> None:
    heard = Turn(transitions.name_of_deadline(NOW), 0, "key")
    late = Stored(resume=True, deadline=NOW, rest_end=NOW + 40, turn=heard)
    assert transitions.stay(late, NOW, LIMITS) == Lifetime(NEVER, NOW + 40)
    touched = replace(late, deadline=NOW + 5)
    assert transitions.stay(touched, NOW, LIMITS) == Lifetime(NOW + 5, NOW + 40)
    about_a_reply = replace(late, turn=Turn("r1", 0, "key"))
    assert transitions.stay(about_a_reply, NOW, LIMITS) == Lifetime(NOW, NOW + 40)
    displaced = replace(late, scope=None, deadline=NEVER)
    assert transitions.stay(displaced, NOW, LIMITS) == Lifetime(NEVER, NOW + 40)


def test_storage() -> None:
    short = Stored(rest_end=NOW + 1)
    assert transitions.storage_end(short, [], LIMITS) == NOW + 1
    assert transitions.storage_end(short, [received(accepted=NOW - 9), received("r2", accepted=NOW)], LIMITS) == NOW + 20
    delayed = replace(short, put_off=NOW + 100)
    assert transitions.storage_end(delayed, [], LIMITS) == NOW + 1
    assert transitions.storage_end(delayed, [received()], LIMITS) == NOW + 120
    assert transitions.storage_end(replace(delayed, resume=True), [], LIMITS) == NOW + 120
    assert transitions.lifetime_end(Stored(end=NOW + 90), NOW) == NOW + 60
    assert transitions.lifetime_end(Stored(end=NOW + 90, deadline=NOW), NOW) == NOW + 90
    assert transitions.lifetime_end(Stored(end=NOW + 90, deadline=NEVER), NOW) == NOW + 90


def test_who_decides_whether_a_wait_is_resumed() -> None:
    def resumes(choice: bool | None, session: Stored | None) -> bool:  # noqa: FBT001
        parking = Parking(("dev", "acme", None, "alice"), CHAT, SessionKey("k"), DATA, None, resume=choice)
        return transitions.resumes(parking, session)

    wait = Stored(resume=True)
    assert [resumes(choice, session) for choice, session in ((True, None), (False, wait))] == [True, False]
    assert [resumes(None, session) for session in (None, Stored(), wait)] == [False, False, True]


# -- leaving


def test_what_becomes_of_an_inbox() -> None:
    own, others, free = held("r1", "mine"), held("r2", "other"), received("r3")
    for leaving in (Leaving.REMOVED, Leaving.LEFT_OVER):
        left = transitions.leave([own, others, free], "mine", leaving, NOW, NOW, LIMITS)
        assert (left.gone, left.staying) == ((own, free), (others,))
    kept = received("r4", keep_until=NOW + 1)
    left = transitions.leave([own, others, free, kept], "mine", Leaving.EXPIRED, NOW, NOW, LIMITS)
    assert (left.gone, left.staying) == ((own, free), (others, kept))
    # It expired some time ago: a claim that lived then, and ended since, keeps its reply.
    ended = held("r2", "other", NOW - 1)
    assert transitions.leave([ended], "mine", Leaving.EXPIRED, NOW - 2, NOW, LIMITS).staying == (ended,)
    assert transitions.leave([ended], "mine", Leaving.EXPIRED, NOW - 1, NOW, LIMITS).gone == (ended,)
    long_ago = held("r2", "other", NOW - 30)
    assert transitions.leave([long_ago], "mine", Leaving.EXPIRED, NOW - 40, NOW, LIMITS).gone == (long_ago,)


def test_what_is_kept_where_nothing_waits() -> None:
    assert transitions.give_back(held(), NOW, LIMITS, waits=True) == received()
    assert transitions.give_back(held(), NOW, LIMITS, waits=False) == received(keep_until=NOW + 20)
    assert transitions.kept_until(received(keep_until=NOW + 3), LIMITS) == NOW + 3
    assert transitions.kept_until(held(until=NOW - 4), LIMITS) == NOW + 16
    assert transitions.lapse(held(until=NOW - 4), NOW, LIMITS) == received(keep_until=NOW + 16)
    assert transitions.lapse(held(), NOW, LIMITS) == held()
    assert transitions.lapse(received(), NOW, LIMITS) == received()


def test_how_long_ids_are_remembered() -> None:
    one = received()
    assert transitions.id_end(one, Leaving.SETTLED, NOW, LIMITS) == NOW + 50
    assert transitions.id_end(one, Leaving.REMOVED, NOW, LIMITS) == NOW + 50
    assert transitions.id_end(one, Leaving.EXPIRED, NOW, LIMITS) == NOW - 5 + 50
    assert transitions.id_end(one, Leaving.LEFT_OVER, NOW, LIMITS) is None
