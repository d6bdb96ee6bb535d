"""Parking: what becomes of the session, and of the one that it displaces."""

from collections.abc import Collection
from typing import Generic, TypeVar

from msgspec import Struct

from greentic_session import tenancy
from greentic_session.backend import Parking

from .claims import is_held
from .session import Session, is_live
from .waiting import Waiting

__all__ = ["Parked", "park", "resumes"]

S = TypeVar("S", bound=Session)


class Parked(Struct, Generic[S], frozen=True, gc=False):
    """Effect of parking besides storing the data, the scope and the lifetime.

    Attributes:
        session: The live session under the key, which is written over; None where a new one is
            made.
        displaced: The session that loses the scope, stays readable and is no wait any more; None
            where nobody does.
        moves: Whether `session` has to take the scope (it waited elsewhere, or nowhere).
    """

    session: S | None
    displaced: S | None
    moves: bool


def park(parking: Parking, session: S | None, holder: S | None, now: float, waits: Collection[S] = ()) -> Parked[S]:
    """Decide what parking does.

    Args:
        parking: What is asked for.
        session: What is stored under its key.
        holder: What waits at its scope.
        now: The moment.
        waits: All waits of the owner, the expired ones too.

    Raises:
        ConflictError: The claim by which it is parked is over; or another live session holds the
            scope, and it is not to be displaced.
        TenantMismatchError: The session under the key is somebody else's.
        TooManyWaitsError: It would be one more wait than the owner may have.
    """
    if parking.token is not None and not is_held(session, parking.token, now):
        raise tenancy.claim_over(parking.key)
    current = session if is_live(session, now) else None
    if current is not None and current.owner != parking.owner:
        tenancy.check_preservation(current.data, parking.data, parking.key)
    displaced = holder if holder is not session and is_live(holder, now) else None
    if displaced is not None and not parking.replace:
        raise tenancy.scope_held(parking.key)
    adds_one = displaced is None and (current is None or current.scope is None)
    if adds_one and _is_full(parking.max_waits, waits, now):
        raise tenancy.too_many_waits(parking.key)
    return Parked(current, displaced, current is None or holder is not current)


def _is_full(most: int | None, waits: Collection[Session], now: float) -> bool:
    """Say whether an owner has as many live waits as it may have."""
    return most is not None and len(waits) >= most and sum(wait.end > now for wait in waits) >= most


def resumes(parking: Parking, session: Waiting | None) -> bool:
    """Say whether a runner resumes what is parked at its deadline."""
    if parking.resume is not None:
        return parking.resume
    return session is not None and session.resume
