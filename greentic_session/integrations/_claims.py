"""What handlers of a runner have in common, whatever the framework."""

from abc import ABC, abstractmethod

from greentic_session.claim import Claim
from greentic_session.reply import Reply

__all__ = ["ReplyTurns"]


class ReplyTurns(ABC):
    """Handler of a `Runner` for replies; a place at its deadline is over."""

    async def work(self, claim: Claim) -> None:
        """Work on what was delivered, and wait for more.

        Raises:
            ConflictError: Another attempt has taken the turn over.
            InvalidInputError: What was delivered is nothing that this handler takes.
        """
        if claim.reply is None:
            await (claim.complete() if claim.timed_out else claim.stay())
        else:
            await self._answer(claim, claim.reply)

    @abstractmethod
    async def _answer(self, claim: Claim, reply: Reply) -> None:
        """Work on a reply."""
