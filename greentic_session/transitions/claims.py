"""Claims: who may take a wait, and what a claim does to the session."""

from msgspec import Struct

from greentic_session import tenancy

from .session import Session, end_after

__all__ = ["Held", "claim", "is_held", "renew"]


class Held(Struct, frozen=True, gc=False):
    """Effect of a claim on a session.

    Attributes:
        lease_end: When the claim ends.
        lengthens: Whether the lifetime of the session ends earlier, and is set to the lease.
    """

    lease_end: float
    lengthens: bool


def claim(session: Session, key: str, lease_ms: int, now: float) -> Held:
    """Decide whether a live wait may be claimed.

    Raises:
        ClaimedError: Another runner holds it.
    """
    if session.token is not None and session.lease_end > now:
        raise tenancy.claimed(key)
    lease_end = now + lease_ms / 1000  # `renew`, without its calls: every answer comes by
    return Held(lease_end, session.end < lease_end)


def renew(session: Session, lease_ms: int, now: float) -> Held:
    """Return what a lease that begins now does to a session that is held."""
    lease_end = end_after(lease_ms, now)
    return Held(lease_end, session.end < lease_end)


def is_held(session: Session | None, token: str, now: float) -> bool:
    """Say whether this claim on a session is live.

    Only then may it be parked, completed, released or renewed.
    """
    return session is not None and session.end > now and session.token == token and session.lease_end > now
