"""Deadlines and lifetimes: when a wait is forgotten or resumed, and how long its storage lives."""

from collections.abc import Sequence

from msgspec import Struct

from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.limits import ReplyLimits

from .session import end_after
from .waiting import Received, Waiting

__all__ = [
    "Lifetime",
    "begin_lifetime",
    "is_heard",
    "lengthen",
    "lifetime_end",
    "name_of_deadline",
    "stay",
    "storage_end",
    "take_deadline",
    "touch",
]


class Lifetime(Struct, frozen=True, gc=False):
    """Lifetime of a wait, apart from what lies in its inbox.

    Attributes:
        deadline: When it is forgotten or resumed; infinity for no deadline.
        rest_end: When the session ends, once nothing unsettled lies at its place.
    """

    deadline: float
    rest_end: float


def begin_lifetime(ttl_ms: int | None, now: float, limits: ReplyLimits, *, resume: bool) -> Lifetime:
    """Return the lifetime of a wait that is parked or touched now.

    A wait that is to be resumed outlives its deadline, so that somebody may hear it.
    """
    deadline = end_after(ttl_ms, now)
    return Lifetime(deadline, deadline + limits.timeout_grace_ms / 1000 if resume else deadline)


def lengthen(wait: Waiting, until: float) -> Lifetime:
    """Return the lifetime of a wait that lives until then at least: a lease's end, or a delay's.

    Where a wait is to be resumed that moves no deadline; where it is to be forgotten, the deadline
    is the end of its lifetime.
    """
    deadline = wait.deadline if wait.resume else max(wait.deadline, until)
    return Lifetime(deadline, max(wait.rest_end, until))


def take_deadline(session: Waiting) -> Lifetime:
    """Return the lifetime of a session that loses its place.

    It ends when its storage would have.
    """
    return Lifetime(NEVER_ENDS, session.end)


def touch(session: Waiting, ttl_ms: int | None, now: float, limits: ReplyLimits) -> Lifetime:
    """Return the lifetime of a session that is touched now; one that is no wait has no deadline."""
    if session.scope is None:
        return Lifetime(NEVER_ENDS, end_after(ttl_ms, now))
    return begin_lifetime(ttl_ms, now, limits, resume=session.resume)


def stay(wait: Waiting, now: float, limits: ReplyLimits) -> Lifetime:
    """Return the lifetime of a wait that stays: a deadline that was heard is used up by that."""
    if wait.scope is not None and wait.resume and is_heard(wait):
        return Lifetime(NEVER_ENDS, now + limits.timeout_grace_ms / 1000)
    return Lifetime(wait.deadline, wait.rest_end)


def lifetime_end(session: Waiting, now: float) -> float:
    """Return the end of the lifetime that was asked for; once that has passed, the storage's."""
    return session.deadline if now < session.deadline < NEVER_ENDS else session.end


def storage_end(wait: Waiting, inbox: Sequence[Received], limits: ReplyLimits) -> float:
    """Return when a wait ends: not before the unsettled replies have had their time.

    A reply, or a deadline that is to be heard, has the same time again behind a delay.
    """
    grace, end = limits.reply_grace_ms / 1000, wait.rest_end
    if inbox:
        last = inbox[0].accepted if len(inbox) == 1 else max(received.accepted for received in inbox)
        end = max(end, last + grace)
    if wait.put_off and (inbox or wait.resume):
        end = max(end, wait.put_off + grace)
    return end


def name_of_deadline(deadline: float) -> str:
    """Return what a turn for a deadline is about."""
    return f"deadline:{deadline!r}"


def is_heard(wait: Waiting) -> bool:
    """Say whether the open turn of a wait is for the deadline that it has now.

    It is not where somebody has set another one since.
    """
    return wait.turn is not None and wait.turn.about == name_of_deadline(wait.deadline)
