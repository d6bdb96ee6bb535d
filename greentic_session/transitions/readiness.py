"""Readiness: which wait a runner may take, since when, and what its turn is about."""

from collections.abc import Sequence

from greentic_session._expiry.expiring import NEVER_ENDS

from .deadlines import name_of_deadline
from .waiting import Received, Waiting

__all__ = ["about", "busy_until", "due_at", "is_free", "is_held_now", "oldest", "subject"]


def is_held_now(received: Received, now: float) -> bool:
    """Say whether a live claim holds a reply."""
    return received.token is not None and received.held_until > now


def busy_until(inbox: Sequence[Received], now: float) -> float:
    """Return when no live claim holds anything of a place; 0 where none does."""
    until = 0.0
    for received in inbox:
        if received.held_until > until and is_held_now(received, now):
            until = received.held_until
    return until


def oldest(inbox: Sequence[Received], now: float) -> Received | None:
    """Return the oldest unsettled reply that no live claim holds."""
    for received in inbox:
        if not is_held_now(received, now):
            return received
    return None


def subject(wait: Waiting, inbox: Sequence[Received], now: float) -> str | None:
    """Return what a turn that begins now is about: the oldest reply, else the passed deadline."""
    return about(wait, oldest(inbox, now), now)


def about(wait: Waiting, first: Received | None, now: float) -> str | None:
    """Return what a turn is about that begins with this reply, or with none."""
    if first is not None:
        return first.reply.id
    return name_of_deadline(wait.deadline) if wait.resume and wait.deadline <= now else None


def is_free(wait: Waiting, inbox: Sequence[Received], now: float) -> bool:
    """Say whether a delivery may claim a live wait: unclaimed, not put off, its place not busy."""
    is_claimed = wait.token is not None and wait.lease_end > now
    return not is_claimed and wait.put_off <= now and busy_until(inbox, now) == 0.0


def due_at(wait: Waiting, inbox: Sequence[Received], now: float, was_due: float) -> float:
    """Return since when a wait is ready, or when it becomes ready by itself.

    Args:
        wait: The wait, with all that has just been changed.
        inbox: That of its place.
        now: The moment.
        was_due: What was returned before that change: what was ready and still is, is ready since
            then.
    """
    if not inbox and not wait.resume:
        return NEVER_ENDS
    due = 0.0 if inbox else wait.deadline
    if wait.token is not None:
        due = max(due, wait.lease_end)
    due = max(due, wait.put_off, busy_until(inbox, now))
    if due > now:
        return due
    return min(was_due, now)
