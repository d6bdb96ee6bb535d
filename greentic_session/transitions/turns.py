"""Turns: which attempt a claim is, what it begins with, and by which key handlers know it."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from .readiness import about, oldest, subject
from .waiting import Received, Turn, Waiting

__all__ = ["Begun", "backoff_s", "begin", "fail", "join", "take_turn"]


_MAX_BACKOFF_S: Final = 300
_MAX_DOUBLINGS: Final = 9
"""2 ** 9 is beyond the longest backoff."""


class Begun(Struct, frozen=True, gc=False):
    """An attempt that begins.

    Attributes:
        turn: What the session keeps of it.
        held: The reply that the claim holds; None where it is there for the deadline.
    """

    turn: Turn
    held: Received | None

    @property
    def attempt(self) -> int:
        """Which attempt of its turn it is, from 1."""
        return self.turn.failed + 1


def begin(wait: Waiting, inbox: Sequence[Received], turn_key: str, now: float) -> Begun:
    """Begin an attempt of a wait that is free: of its open turn, or of a new one.

    Args:
        wait: The wait; what it keeps of an earlier claim tells how that one ended.
        inbox: That of its place.
        turn_key: The idempotency key of a new turn.
        now: The moment.
    """
    first = oldest(inbox, now)
    subject_now = about(wait, first, now) or ""
    return Begun(_open_turn(wait, subject_now) or Turn(subject_now, 0, turn_key), first)


def join(wait: Waiting, inbox: Sequence[Received], now: float) -> Turn | None:
    """Return the open turn that a plain claim joins; None where there is none.

    It holds nothing for that.
    """
    if wait.turn is None:
        return None
    subject_now = subject(wait, inbox, now)
    return None if subject_now is None else _open_turn(wait, subject_now)


def take_turn(wait: Waiting, taken: Sequence[Received], turn_key: str) -> Turn | None:
    """Return the turn of a claim that takes replies: a plain one begins its turn by that."""
    if not taken or (wait.turn is not None and wait.turn.key == turn_key):
        return wait.turn
    return Turn(taken[0].reply.id, 0, turn_key)


def fail(turn: Turn | None) -> Turn | None:
    """Return a turn whose attempt was put off or ended by its lease."""
    return None if turn is None else Turn(turn.about, turn.failed + 1, turn.key)


def backoff_s(attempt: int) -> int:
    """Return for how many seconds a wait is put off after so many attempts without a verdict."""
    return min(1 << min(attempt - 1, _MAX_DOUBLINGS), _MAX_BACKOFF_S)


def _open_turn(wait: Waiting, subject_now: str) -> Turn | None:
    turn = wait.turn
    if turn is None or turn.about != subject_now:
        return None
    # A claim that was given back took its token along; one that is still there ended by its lease.
    return turn if wait.token is None else fail(turn)
