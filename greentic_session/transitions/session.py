"""One session: whether it is there, who sees it, and what an update of it needs."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from greentic_session import tenancy
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.backend import Update
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.tenancy import Owner

__all__ = ["Session", "check_update", "check_version", "end_after", "is_live", "latest_or_only", "visible"]


class Lasting(Protocol):
    """Stored object with a lifetime."""

    @property
    def end(self) -> float:
        """When it expires, in seconds by the clock of the backend."""
        raise NotImplementedError


class Session(Lasting, Protocol):
    """Stored state of one session."""

    @property
    def data(self) -> SessionData:
        """The snapshot."""
        raise NotImplementedError

    @property
    def owner(self) -> Owner | None:
        """Owner of the session; None where it has no user."""
        raise NotImplementedError

    @property
    def scope(self) -> ReplyScope | None:
        """Where it waits; None where it is no wait."""
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


def is_live(session: Lasting | None, now: float) -> bool:
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
