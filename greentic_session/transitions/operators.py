"""Operators: how a wait stands, for who looks on; and what may be done about it by hand."""

from collections.abc import Sequence

from msgspec import Struct

from greentic_session import tenancy
from greentic_session._expiry.expiring import NEVER_ENDS

from .readiness import is_held_now
from .session import is_live
from .waiting import Received, Waiting

__all__ = ["Standing", "drop", "retry", "standing"]


class Standing(Struct, frozen=True, gc=False):
    """State of a live wait.

    Attributes:
        is_claimed: Whether a live claim is on it.
        is_overdue: Whether its deadline has passed, and no verdict has heard it.
        ready_s: For how many seconds it has been ready; None where it is not.
        put_off_s: For how many seconds it is put off; 0 where it is not.
        deadline_s: How many seconds are left until its deadline, negative once that has passed;
            None where it has none.
        attempts: How many attempts its open turn has had, that of a live claim included.
    """

    is_claimed: bool
    is_overdue: bool
    ready_s: float | None
    put_off_s: float
    deadline_s: float | None
    attempts: int


def standing(wait: Waiting, due: float, now: float) -> Standing:
    """Say how a live wait stands; `due` is what `due_at` told of it last."""
    turn = wait.turn
    return Standing(
        wait.token is not None and wait.lease_end > now,
        wait.resume and wait.deadline <= now,
        now - due if due <= now else None,
        max(wait.put_off - now, 0.0),
        None if wait.deadline == NEVER_ENDS else wait.deadline - now,
        0 if turn is None else turn.failed + (wait.token is not None),
    )


def retry(session: Waiting | None, key: str, now: float) -> bool:
    """Say whether an operator ends the delay of a wait that is put off; False where it is not.

    Its turn goes on: the next attempt is counted as the next one.

    Raises:
        NotFoundError: No live session has the key.
    """
    if session is None or not is_live(session, now):
        raise tenancy.absent(key)
    return session.put_off > now


def drop(session: Waiting | None, key: str, inbox: Sequence[Received], now: float) -> Received | None:
    """Return the reply that an operator removes from the inbox of a wait: the oldest.

    It leaves as `Leaving.REMOVED`: its `delivery_id` stays remembered, so that it does not come
    again. None where nothing lies there.

    Raises:
        ClaimedError: A live claim holds that reply; its verdict is to come.
        NotFoundError: No live session has the key.
    """
    if session is None or not is_live(session, now):
        raise tenancy.absent(key)
    oldest = next(iter(inbox), None)
    if oldest is not None and is_held_now(oldest, now):
        raise tenancy.claimed(key)
    return oldest
