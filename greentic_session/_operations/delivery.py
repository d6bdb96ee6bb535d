"""Result of a delivery."""

from msgspec import Struct

from greentic_session._base.hiding import Hiding
from greentic_session.claim import Claim
from greentic_session.reply import DeliveryOutcome, Reply

__all__ = ["Delivery"]


class Delivery(Hiding, Struct, frozen=True, gc=False):
    """Result of `SessionStore.deliver`.

    Attributes:
        outcome: One word for it.
        reply: The reply that was delivered; None for ``duplicate`` and ``unmatched``.
        claim: The claim on its wait, where the outcome is ``claimed``. It holds the oldest reply,
            which need not be this one.
    """

    outcome: DeliveryOutcome
    reply: Reply | None = None
    claim: Claim | None = None

    @property
    def accepted(self) -> bool:
        """Whether the reply is, or was before, accepted: its sender need not deliver it again."""
        return self.outcome is not DeliveryOutcome.UNMATCHED

    def __repr__(self) -> str:
        return f"Delivery(outcome={str(getattr(self, 'outcome', None))!r})"
