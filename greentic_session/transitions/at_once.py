"""The usual delivery in one decision: it claims a wait where nothing else has a say."""

from datetime import datetime

from msgspec import Struct

from greentic_session.backend import Delivering
from greentic_session.limits import ReplyLimits
from greentic_session.reply import Reply

from .waiting import Received, Turn, Waiting

__all__ = ["AtOnce", "claim_at_once"]


class AtOnce(Struct, frozen=True, gc=False):
    """What becomes of a delivery that claims at once, and of its wait.

    Attributes:
        received: The reply, which the claim holds.
        turn: The turn that begins; this is its first attempt.
        deadline: As in `Lifetime`.
        rest_end: The same.
        end: When the storage of the wait ends. It is ready once more when the lease ends.
    """

    received: Received
    turn: Turn
    deadline: float
    rest_end: float
    end: float


def claim_at_once(
    delivering: Delivering, wait: Waiting, accepted_at: datetime, limits: ReplyLimits, now: float
) -> AtOnce | None:
    """Decide about a new delivery to a live wait at whose place nothing lies.

    What comes of it is what `deliver`, `receive`, `begin`, `hold`, `lengthen`, `storage_end` and
    `due_at` say one after the other; they also say what comes of all other deliveries, where None
    is returned: the wait is or was claimed, put off, in a turn, to be resumed at its deadline, or
    is not to be claimed.

    Args:
        delivering: What is delivered, to the first of its scopes.
        wait: The wait.
        accepted_at: This moment by the calendar.
        limits: The options of the store.
        now: The moment.
    """
    token = delivering.token
    if wait.token is not None or wait.turn is not None or wait.put_off != 0.0 or wait.resume or not delivering.claims:
        return None
    reply_id, lease_end = delivering.reply_id, now + delivering.lease_ms / 1000
    reply = Reply(reply_id, delivering.text, delivering.scopes[0], accepted_at, delivering.delivery_id, delivering.sender)
    deadline, rest_end, end = wait.deadline, wait.rest_end, now + limits.reply_grace_ms / 1000
    if deadline < lease_end:  # noqa: PLR1730  # three calls of max are a tenth of a delivery in memory
        deadline = lease_end
    if rest_end < lease_end:  # noqa: PLR1730
        rest_end = lease_end
    if end < rest_end:  # noqa: PLR1730
        end = rest_end
    received = Received(reply, delivering.size, now, 0.0, token, lease_end)
    return AtOnce(received, Turn(reply_id, 0, delivering.turn_key), deadline, rest_end, end)
