"""State of a wait as operators see it: for backends that keep sessions in Python."""

from typing import TypedDict

from greentic_session.admin import SOON_MS, Tally
from greentic_session.transitions import Standing

__all__ = ["StandingDetails", "details_of", "tally_of"]


class StandingDetails(TypedDict):
    """Return the fields of `admin.Details` that tell the state of a wait."""

    deadline_ms: int | None
    ready_ms: int | None
    put_off_ms: int
    attempts: int


def details_of(standing: Standing) -> StandingDetails:
    """Return what `admin.Details` has of it."""
    return {
        "deadline_ms": None if standing.deadline_s is None else round(standing.deadline_s * 1000),
        "ready_ms": None if standing.ready_s is None else round(standing.ready_s * 1000),
        "put_off_ms": round(standing.put_off_s * 1000),
        "attempts": standing.attempts,
    }


def tally_of(standing: Standing, *, waits: bool, left_ms: int | None, size: int, replies: int) -> Tally:
    """Return what one session counts for.

    Args:
        standing: How it stands.
        waits: Whether it is a wait.
        left_ms: How long it lives, in milliseconds; None for ever.
        size: The length of its text, in bytes.
        replies: How many unsettled replies lie at its place.
    """
    deadline = standing.deadline_s
    return Tally(
        sessions=1,
        waits=waits,
        soon=left_ms is not None and left_ms <= SOON_MS,
        size=size,
        claimed=waits and standing.is_claimed,
        ready=standing.ready_s is not None,
        oldest_ms=0 if standing.ready_s is None else round(standing.ready_s * 1000),
        due=waits and deadline is not None and 0 < deadline * 1000 <= SOON_MS,
        overdue=standing.is_overdue,
        put_off=waits and standing.put_off_s > 0,
        replies=replies,
    )
