"""What lies in a store in memory, without making anything of it that was not there before."""

import copy
from typing import Any

from greentic_session.backends.memory.inbox import Inbox

__all__ = ["all_inboxes", "inbox_at"]


def inbox_at(entry: Any) -> Inbox | None:
    """Return the inbox at the place of a wait, or one like that which it would be."""
    found: Inbox | None = copy.copy(entry).inbox
    return found


def all_inboxes(memory: Any) -> list[Inbox]:
    """Return all inboxes of a backend: those at whose place nothing waits come last."""
    placed = [inbox_at(entry) for waits in memory.waits.values() for entry in waits.values()]
    loose = [inbox for inboxes in memory.loose.values() for inbox in inboxes.values()]
    return [*[inbox for inbox in placed if inbox is not None], *loose]
