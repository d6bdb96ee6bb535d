"""Replies: what a delivery does, and what becomes of an inbox when its wait leaves."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from greentic_session.backend import Delivering
from greentic_session.limits import ReplyLimits
from greentic_session.reply import DeliveryOutcome, Reply, inbox_full, owner_full

from .readiness import busy_until, is_free, is_held_now
from .session import end_after
from .waiting import Received, Waiting

__all__ = [
    "Kept",
    "Leaving",
    "Left",
    "deliver",
    "give_back",
    "hold",
    "id_end",
    "kept_until",
    "lapse",
    "leave",
    "receive",
    "takeable",
]


class Kept(Struct, frozen=True, gc=False):
    """Kept replies of one owner: those at places where nothing waits.

    Attributes:
        count: How many.
        size: Their bodies together, in bytes of UTF-8.
    """

    count: int = 0
    size: int = 0


class Leaving(Enum):
    """Reason for which a wait leaves its place, or a reply its inbox."""

    SETTLED = "settled"
    LEFT_OVER = "left over"
    REMOVED = "removed"
    EXPIRED = "expired"


class Left(Struct, frozen=True, gc=False):
    """Effect on an inbox when its wait leaves.

    Attributes:
        gone: The replies that leave the store.
        staying: Those that stay: a live claim of another session holds them, or their sender has
            named a time that has not run out.
    """

    gone: tuple[Received, ...]
    staying: tuple[Received, ...]


def deliver(
    delivering: Delivering,
    wait: Waiting | None,
    inbox: Sequence[Received],
    known: Received | None,
    kept: Kept,
    limits: ReplyLimits,
    now: float,
) -> DeliveryOutcome:
    """Decide what becomes of a delivery that is no duplicate.

    Args:
        delivering: What is delivered.
        wait: The live wait at the place; None where nothing waits.
        inbox: That of the place.
        known: The reply that the same delivery was accepted as before; the place is that reply's.
        kept: What the owner has of kept replies.
        limits: The options of the store.
        now: The moment.

    Raises:
        InboxFullError: The reply would be queued or kept, and is one too many.
    """
    if known is not None:
        if wait is None:
            return DeliveryOutcome.KEPT
        return DeliveryOutcome.CLAIMED if delivering.claims and is_free(wait, inbox, now) else DeliveryOutcome.QUEUED
    if wait is None and delivering.beginning is None:
        if delivering.keep_ms is None:
            return DeliveryOutcome.UNMATCHED
        _check_size(delivering, inbox, limits)
        if kept.count >= limits.max_kept_replies or kept.size + delivering.size > limits.max_kept_bytes:
            raise owner_full()
        return DeliveryOutcome.KEPT
    # What is parked now is claimed by nobody, but a claim that was displaced there may be at work.
    free = busy_until(inbox, now) == 0.0 if wait is None else is_free(wait, inbox, now)
    if delivering.claims and free:
        return DeliveryOutcome.CLAIMED  # whatever lies there: so a backlog can be worked off
    _check_size(delivering, inbox, limits)
    return DeliveryOutcome.QUEUED


def _check_size(delivering: Delivering, inbox: Sequence[Received], limits: ReplyLimits) -> None:
    size = sum(received.size for received in inbox)
    if len(inbox) >= limits.max_replies or size + delivering.size > limits.max_inbox_bytes:
        raise inbox_full()


def receive(delivering: Delivering, outcome: DeliveryOutcome, accepted_at: datetime, now: float) -> Received:
    """Return the reply that is accepted now, as it lies in its inbox.

    Args:
        delivering: What is delivered.
        outcome: What `deliver` has decided.
        accepted_at: This moment by the calendar.
        now: The moment.
    """
    reply = Reply(
        delivering.reply_id,
        delivering.text,
        delivering.scopes[0],
        accepted_at,
        delivering.delivery_id,
        delivering.sender,
    )
    keep_ms = delivering.keep_ms if outcome is DeliveryOutcome.KEPT else None
    return Received(reply, delivering.size, now, 0.0 if keep_ms is None else end_after(keep_ms, now))


def hold(received: Received, token: str, until: float) -> Received:
    """Return a reply that a claim holds until its lease ends."""
    return Received(received.reply, received.size, received.accepted, received.keep_until, token, until)


def takeable(inbox: Sequence[Received], limit: int, now: float) -> tuple[Received, ...]:
    """Return what a claim may take: so many of the oldest replies that no live claim holds."""
    return tuple([received for received in inbox if not is_held_now(received, now)][:limit])


def give_back(received: Received, now: float, limits: ReplyLimits, *, waits: bool) -> Received:
    """Return a reply whose claim ends now without a verdict; where nothing waits, it is kept.

    One whose lease had ended before is as that has left it: see `lapse`.
    """
    return _let_go(received, now, limits, waits=waits) if received.held_until > now else received


def _let_go(received: Received, now: float, limits: ReplyLimits, *, waits: bool) -> Received:
    keep_until = received.keep_until if waits else max(received.keep_until, now + limits.reply_grace_ms / 1000)
    return replace(received, token=None, held_until=0.0, keep_until=keep_until)


def lapse(received: Received, now: float, limits: ReplyLimits) -> Received:
    """Return a reply at a place where nothing waits, once the lease of its claim has ended."""
    if received.token is None or received.held_until > now:
        return received
    return _let_go(received, received.held_until, limits, waits=False)


def kept_until(received: Received, limits: ReplyLimits) -> float:
    """Return how long a reply is kept where nothing waits.

    The claim that holds it, or held it until its lease ended, gives it some time more.
    """
    if received.token is None:
        return received.keep_until
    return max(received.keep_until, received.held_until + limits.reply_grace_ms / 1000)


def leave(
    inbox: Sequence[Received], token: str | None, leaving: Leaving, left_at: float, now: float, limits: ReplyLimits
) -> Left:
    """Decide what becomes of the unsettled replies of a place that a wait leaves, and none takes.

    Args:
        inbox: That of the place, without what the verdict has settled.
        token: Of the last claim on the session that leaves; None where there was none.
        leaving: How it leaves.
        left_at: When it left: now, or when it expired.
        now: The moment.
        limits: The options of the store.
    """
    gone, staying = [], []
    for received in inbox:
        is_others = is_held_now(received, left_at) and received.token != token
        rest = received if is_others else replace(received, token=None, held_until=0.0)
        if kept_until(rest, limits) > now and (is_others or leaving is Leaving.EXPIRED):
            staying.append(rest)
        else:
            gone.append(received)
    return Left(tuple(gone), tuple(staying))


def id_end(received: Received, leaving: Leaving, now: float, limits: ReplyLimits) -> float | None:
    """Return until when the `delivery_id` of a reply that leaves the store is remembered.

    None where it is forgotten at once, so that the same may be delivered anew.
    """
    if leaving is Leaving.LEFT_OVER:
        return None
    begun = received.accepted if leaving is Leaving.EXPIRED else now
    return begun + limits.dedupe_window_ms / 1000
