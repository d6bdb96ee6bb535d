"""Terms of a claim: its lease, and whether the lease is kept alive."""

from typing import Final

from msgspec import Struct

__all__ = ["PLAIN", "Terms"]


class Terms(Struct, frozen=True, gc=False):
    """Terms of a claim; `sent` is by `time.monotonic`, and counts where the lease is kept alive."""

    lease_ms: int
    sent: float
    is_plain: bool
    keeps_alive: bool


PLAIN: Final = Terms(lease_ms=0, sent=0.0, is_plain=True, keeps_alive=False)
"""The terms of a plain claim, which nobody renews but its holder."""
