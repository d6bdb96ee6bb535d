"""The arguments and answers of a backend's operations on sessions, waits and claims."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from greentic_session._base.dates import date_of
from greentic_session._base.hiding import Outlined
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

__all__ = ["NOTHING_ELSE", "Claimed", "Claiming", "Creation", "Parking", "Settled", "Update"]

_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)


class Creation(Outlined, Struct, frozen=True, gc=False):
    """A new session that waits for nothing.

    Attributes:
        key: The session key.
        data: The snapshot.
        pointer: Whose latest session it becomes; None for nobody's.
        ttl_ms: Its lifetime.
        text: The wire text of `data`, for a backend that keeps texts (`SessionBackend.keeps_text`).
    """

    key: SessionKey
    data: SessionData
    pointer: Owner | None
    ttl_ms: int | None
    text: bytes | None = None


class Update(Outlined, Struct, frozen=True, gc=False):
    """New data of a session.

    Attributes:
        key: The session key.
        data: The new snapshot.
        ctx: The caller, who has to reach the session; None for anybody.
        if_version: The version that the session must have; None for any.
        text: As in `Creation`.
    """

    key: SessionKey
    data: SessionData
    ctx: TenantCtx | None
    if_version: str | None
    text: bytes | None = None


class Parking(Outlined, Struct, frozen=True, gc=False):
    """A session that waits at a scope from now on.

    Attributes:
        owner: Whose wait it is.
        scope: Where the answer will come in.
        key: The session key.
        data: The snapshot.
        ttl_ms: The lifetime of wait and session.
        text: As in `Creation`.
        replace: Whether another live session is displaced from the scope; else it is a conflict.
        token: Of the claim by which the session is parked, and which ends with it; None where
            nobody claimed it.
        max_waits: How many waits the owner may have, once there is one more; None for any number.
        resume: Whether a runner resumes the wait at its deadline; else it is forgotten then. None
            keeps what the session has.
    """

    owner: Owner
    scope: ReplyScope
    key: SessionKey
    data: SessionData
    ttl_ms: int | None
    text: bytes | None = None
    replace: bool = True
    token: str | None = None
    max_waits: int | None = None
    resume: bool | None = False


class Claiming(Outlined, Struct, frozen=True, gc=False):
    """A claim on the wait of the first of some scopes that has one.

    Attributes:
        owner: Whose wait it is.
        scopes: Where it may wait, best first.
        token: A new random one; only who knows it can act by the claim.
        lease_ms: How long the claim lives, in milliseconds.
    """

    owner: Owner
    scopes: tuple[ReplyScope, ...]
    token: str
    lease_ms: int


class Claimed(Outlined, Struct, frozen=True, gc=False):
    """A claim that was made.

    Attributes:
        wait: The session, with the scope that matched.
        turn_key: The idempotency key of its turn; None for a plain claim that joined none.
        attempt: Which attempt of its turn it is, from 1.
        replies: What the claim holds, oldest first.
        deadline: When the wait is forgotten or resumed, in seconds since the Unix epoch; None where
            it has no deadline.
        timed_out: Whether it was claimed for its deadline.
        is_new: Whether a `Beginning` made the session, and its first verdict is still due.
    """

    wait: Wait
    turn_key: str | None = None
    attempt: int = 1
    replies: tuple[Reply, ...] = ()
    deadline: float | None = None
    timed_out: bool = False
    is_new: bool = False

    @property
    def deadline_date(self) -> datetime | None:
        """The deadline by the calendar, in UTC."""
        if self.deadline is None:
            return None
        try:
            return date_of(self.deadline)
        except OverflowError:  # a lifetime may be longer than the calendar
            return _LAST_MOMENT


class Settled(Outlined, Struct, frozen=True, gc=False):
    """Result of a verdict or a registration.

    Attributes:
        displaced: The key of the session that lost its scope; None where none did.
        leftovers: The unsettled replies of the place that a verdict left, oldest first; they are in
            the store no more.
    """

    displaced: SessionKey | None = None
    leftovers: tuple[Reply, ...] = ()


NOTHING_ELSE: Final = Settled()
"""Result of most verdicts and registrations: nothing was displaced or left over."""
