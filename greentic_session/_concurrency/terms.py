"""How a claim was made: what whoever keeps it alive has to know."""

from typing import Final

from msgspec import Struct

__all__ = ["PLAIN", "Terms"]


class Terms(Struct, frozen=True, gc=False):
    """How a claim was made; `sent` is by `time.monotonic`, and counts where it is kept alive."""

    lease_ms: int
    sent: float
    is_plain: bool
    keeps_alive: bool


PLAIN: Final = Terms(lease_ms=0, sent=0.0, is_plain=True, keeps_alive=False)
"""The terms of a plain claim, which nobody renews but its holder."""
