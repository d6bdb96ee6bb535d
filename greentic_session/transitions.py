"""The rules of a session: what an operation makes of what is stored. Pure functions, no I/O.

A backend that keeps sessions in Python looks up what an operation is about, asks here, and applies
the answer; it decides nothing itself. On Redis the same rules stand once more in Lua
(`backends/redis/lua`), because there the server decides.

What a function is given is what is stored, expired or not: whether it is live is decided here, by
`now`. All moments are seconds by the clock of the backend. A function returns the decision, or
raises the documented error; where several rules are broken, the order of the checks says which
error that is.
"""

from collections.abc import Collection, Iterable
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from . import tenancy
from ._expiry.expiring import NEVER_ENDS
from .backend import Parking, Update
from .models import ReplyScope, SessionData, TenantCtx
from .tenancy import Owner

__all__ = [
    "Held",
    "Parked",
    "Session",
    "check_update",
    "check_version",
    "claim",
    "end_after",
    "is_held",
    "is_live",
    "latest_or_only",
    "park",
    "renew",
    "visible",
]


class Session(Protocol):
    """What is stored of one session."""

    @property
    def data(self) -> SessionData:
        """The snapshot."""
        raise NotImplementedError

    @property
    def owner(self) -> Owner | None:
        """Whose it is; None where it has no user."""
        raise NotImplementedError

    @property
    def scope(self) -> ReplyScope | None:
        """Where it waits; None where it is no wait."""
        raise NotImplementedError

    @property
    def end(self) -> float:
        """When it expires, in seconds by the clock of the backend."""
        raise NotImplementedError

    @property
    def token(self) -> str | None:
        """The token of the claim on it; None where there is none."""
        raise NotImplementedError

    @property
    def lease_end(self) -> float:
        """When that claim ends, as `end`."""
        raise NotImplementedError


S = TypeVar("S", bound=Session)


class Parked(Struct, Generic[S], frozen=True, gc=False):
    """What parking does besides storing the data, the scope and the lifetime.

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


class Held(Struct, frozen=True, gc=False):
    """What a claim does to a session.

    Attributes:
        lease_end: When the claim ends.
        lengthens: Whether the lifetime of the session ends earlier, and is set to the lease.
    """

    lease_end: float
    lengthens: bool


def is_live(session: Session | None, now: float) -> bool:
    """Say whether a session is there: one that has expired is absent from every operation."""
    return session is not None and session.end > now


def end_after(ttl_ms: int | None, now: float) -> float:
    """Return when a lifetime that begins now ends."""
    return NEVER_ENDS if ttl_ms is None else now + ttl_ms / 1000


def visible(session: S | None, ctx: TenantCtx | None, now: float) -> S | None:
    """Return the session that an operation by key acts on; None if it is absent for the caller."""
    if session is None or session.end <= now:
        return None
    return session if ctx is None or tenancy.reaches(ctx, session.data) else None


def check_update(change: Update, session: S | None, now: float) -> S:
    """Return the session whose data an update replaces.

    Raises:
        NotFoundError: It is absent, or absent for the caller.
        TenantMismatchError: The update would change whose it is.
    """
    found = visible(session, change.ctx, now)
    if found is None:
        raise tenancy.absent(change.key)
    tenancy.check_preservation(found.data, change.data, change.key)
    return found


def check_version(change: Update, version: str) -> None:
    """Refuse an update of another version than the one that it is meant for.

    It is the last check of an update.

    Raises:
        ConflictError: The stored session has another version.
    """
    if change.if_version is not None and change.if_version != version:
        raise tenancy.changed(change.key)


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


def claim(session: Session, key: str, lease_ms: int, now: float) -> Held:
    """Decide whether a live wait may be claimed.

    Raises:
        ClaimedError: Another runner holds it.
    """
    if session.token is not None and session.lease_end > now:
        raise tenancy.claimed(key)
    return renew(session, lease_ms, now)


def renew(session: Session, lease_ms: int, now: float) -> Held:
    """Return what a lease that begins now does to a session that is held."""
    lease_end = end_after(lease_ms, now)
    return Held(lease_end, session.end < lease_end)


def is_held(session: Session | None, token: str, now: float) -> bool:
    """Say whether this claim on a session is live.

    Only then may it be parked, completed, released or renewed.
    """
    return session is not None and session.end > now and session.token == token and session.lease_end > now


def latest_or_only(waits: Iterable[S], latest: S | None, now: float) -> S | None:
    """Return the session of a user: the only wait, or else the latest session that was created.

    Args:
        waits: All waits of the user; two live ones of them are looked at.
        latest: The latest session; whose it is was checked when it became that.
        now: The moment.

    Raises:
        InvalidInputError: The user has several waits.
    """
    live = (wait for wait in waits if wait.end > now)
    first = next(live, None)
    if next(live, None) is not None:
        raise tenancy.several_waits()
    if first is not None:
        return first
    return latest if is_live(latest, now) else None
