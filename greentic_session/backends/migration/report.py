"""What a copy did."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

__all__ = ["OnProgress", "Progress", "Report"]

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told how many keys were looked at so far, and how many there are to be looked at, roughly."""


class Report(msgspec.Struct, kw_only=True):
    """What a copy did.

    Attributes:
        copied: How many sessions were written.
        unchanged: How many were there already, and alike.
        kept: How many the target has changed, removed or never had from this source; they were left
            alone. So was what would have displaced them.
        removed: How many copies were removed because the source has the session no more.
        corrupt: How many texts of the source nothing tells the owner of; they were not copied.
        replies: How many unsettled replies were written.
        waits: How many waits were written that only a scope key of the reference's tells of.
        conversations: How many conversations were written.
        conversations_unchanged: How many of them were there already, and alike.
        conversations_kept: How many the target has changed later.
        conversations_corrupt: How many cannot be read, or were written by a newer version.
    """

    copied: int = 0
    unchanged: int = 0
    kept: int = 0
    removed: int = 0
    corrupt: int = 0
    replies: int = 0
    waits: int = 0
    conversations: int = 0
    conversations_unchanged: int = 0
    conversations_kept: int = 0
    conversations_corrupt: int = 0


class Progress:
    """Counts what was looked at.

    Args:
        on_progress: Who is told.
        total: How much there is, roughly. More makes no count go beyond it.
    """

    def __init__(self, on_progress: OnProgress | None, total: int) -> None:
        self._tell = on_progress
        self._total = total
        self._done = 0

    def advance(self, count: int) -> None:
        """Take note of so many more."""
        self._done = min(self._done + count, self._total)
        if self._tell is not None:
            self._tell(self._done, self._total)

    def finish(self) -> None:
        """Take note that all was looked at."""
        self.advance(self._total)
