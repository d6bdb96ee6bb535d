"""Terms of a claim: its lease, and whether the lease is kept alive."""

import time
from typing import Final

from msgspec import Struct, field

__all__ = ["PLAIN", "Terms"]


class Terms(Struct, frozen=True, gc=False):
    """Terms of a claim that is about to be asked for; by default, of one that may hold a reply.

    `sent` is this moment by `time.monotonic`, and counts where the lease is kept alive.
    """

    lease_ms: int
    sent: float = field(default_factory=time.monotonic)
    is_plain: bool = False
    keeps_alive: bool = True


PLAIN: Final = Terms(lease_ms=0, sent=0.0, is_plain=True, keeps_alive=False)
"""The terms of a plain claim, which nobody renews but its holder."""
