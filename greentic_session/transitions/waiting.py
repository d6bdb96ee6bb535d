"""Stored state of a wait that takes part in replies and deadlines, beside the session itself."""

from typing import Protocol

from msgspec import Struct

from greentic_session.reply import Reply

from .session import Session

__all__ = ["Received", "Turn", "Waiting"]


class Turn(Struct, frozen=True, gc=False):
    """Turn of a wait: one piece of work, through several attempts.

    Attributes:
        about: The id of the oldest reply, or the name of a deadline.
        failed: How many attempts ended by their lease or were put off.
        key: The idempotency key.
    """

    about: str
    failed: int
    key: str


class Received(Struct, frozen=True, gc=False):
    """An unsettled reply in the inbox of a place.

    An inbox is a sequence of them in the order of their acceptance.

    Attributes:
        reply: The reply.
        size: The length of its plain body, in bytes of UTF-8.
        accepted: When it was accepted, in seconds by the clock of the backend.
        keep_until: Until when it is kept where nothing waits; 0 where nobody said so.
        token: Of the claim that holds it; None where none ever did, or the last one gave it back.
        held_until: When the lease of that claim ends.
    """

    reply: Reply
    size: int
    accepted: float
    keep_until: float = 0.0
    token: str | None = None
    held_until: float = 0.0


class Waiting(Session, Protocol):
    """Stored state of one session, where a backend keeps replies.

    Attributes:
        deadline: When the wait is forgotten or resumed; infinity where it has no deadline.
        resume: Whether a runner resumes it then.
        rest_end: When the session ends, once nothing unsettled lies at its place.
        put_off: When it may be ready again after it was put off; 0 where it was not.
        turn: Its latest turn that no verdict has ended.
    """

    deadline: float
    resume: bool
    rest_end: float
    put_off: float
    turn: Turn | None
