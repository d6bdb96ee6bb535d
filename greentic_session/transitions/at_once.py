"""The usual delivery in one decision: it claims a wait where nothing else has a say."""

from datetime import datetime

from greentic_session.backend import Delivering
from greentic_session.limits import ReplyLimits
from greentic_session.reply import Reply

from .waiting import Received, Turn, Waiting

__all__ = ["AtOnce", "claim_at_once"]


class AtOnce(Turn, frozen=True, gc=False):
    """The turn that begins with a delivery that claims at once, and what else becomes of both.

    Attributes:
        about: The id of the reply.
        failed: How many attempts failed: none.
        key: As in `Turn`.
        delivering: What was delivered; the claim has its token.
        reply: The reply, which the claim holds.
        accepted: As in `Received`.
        lease_end: When the claim ends; the wait is ready once more then.
        deadline: As in `Lifetime`.
        rest_end: The same.
        end: When the storage of the wait ends.
    """

    delivering: Delivering
    reply: Reply
    accepted: float
    lease_end: float
    deadline: float
    rest_end: float
    end: float

    @property
    def received(self) -> Received:
        """The reply as it lies in the inbox of its place."""
        return Received(self.reply, self.delivering.size, self.accepted, 0.0, self.delivering.token, self.lease_end)


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
    return AtOnce(reply_id, 0, delivering.turn_key, delivering, reply, now, lease_end, deadline, rest_end, end)
