"""Copies of conversations from one storage to another, whatever each of them is.

Both may be in use meanwhile: the later change wins, and of two alike the longer lifetime. A copy
that was interrupted may be repeated.
"""

import time
from abc import ABC, abstractmethod
from enum import Enum
from typing import Final

from msgspec import Struct

from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.header import Header, Lifetime, Revision, Stored
from greentic_session.errors import ConflictError, CorruptSessionError, NotFoundError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = ["ConversationSide", "Copied", "Glimpse", "copy_conversation"]

_NEAR_MS: Final = 1000
"""Lifetimes that differ by no more count as one."""


class Copied(Enum):
    """What became of one conversation."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    CORRUPT = "corrupt"
    ABSENT = "absent"


class Glimpse(Struct, frozen=True):
    """What is known of a conversation before it is read.

    Attributes:
        revision: Its revision.
        ttl_ms: The lifetime that was left, in milliseconds; None for ever.
        seen_at: When, by `time.monotonic`.
    """

    revision: Revision
    ttl_ms: int | None
    seen_at: float

    def left_ms(self) -> int | None:
        """Return what is left of the lifetime now, in milliseconds; None for ever."""
        if self.ttl_ms is None:
            return None
        return self.ttl_ms - round((time.monotonic() - self.seen_at) * 1000)


class ConversationSide(ABC):
    """One side of a copy.

    Attributes:
        backend: The storage.
    """

    backend: ConversationBackend

    @abstractmethod
    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        """Return what is known of a conversation; None if it is absent."""


async def copy_conversation(source: ConversationSide, target: ConversationSide, partition: Partition, id: str) -> Copied:
    """Copy a conversation, if it is newer than the target's.

    Raises:
        GreenticError: A side failed.
    """
    theirs = await source.peek(partition, id)
    if theirs is None:
        return Copied.ABSENT
    ours = await target.peek(partition, id)
    if ours is None or ours.revision.updated_at < theirs.revision.updated_at:
        return await _write(source, target, partition, id, theirs, ours)
    if ours.revision != theirs.revision:
        return Copied.KEPT
    left = theirs.left_ms()
    if ours.ttl_ms is None or (left is not None and left <= ours.ttl_ms + _NEAR_MS):
        return Copied.UNCHANGED
    if left is None:
        return await _write(source, target, partition, id, theirs, ours)
    try:
        await target.backend.messages(partition, id, 0, Lifetime(left, sliding=True))  # which renews it
    except NotFoundError:
        return Copied.ABSENT
    return Copied.WRITTEN


async def _write(
    source: ConversationSide, target: ConversationSide, partition: Partition, id: str, theirs: Glimpse, ours: Glimpse | None
) -> Copied:
    try:
        header, messages = await source.backend.load(partition, id, Lifetime())
    except NotFoundError:
        return Copied.ABSENT
    except (CorruptSessionError, SchemaVersionError):
        return Copied.CORRUPT
    expected: Revision | Stored = Stored.NOTHING if ours is None else ours.revision
    if ours is not None and _is_another(header, theirs, ours):
        try:
            await target.backend.delete(partition, id)
        except NotFoundError:
            pass
        expected = Stored.NOTHING
    left = theirs.left_ms()
    if left is not None and left <= 0:
        return Copied.ABSENT
    try:
        await target.backend.put(partition, id, header, messages, expected, Lifetime(left, sliding=left is not None))
    except (ConflictError, SchemaVersionError):
        return Copied.KEPT
    return Copied.WRITTEN


def _is_another(header: Header, theirs: Glimpse, ours: Glimpse) -> bool:
    """Say whether a copy has to be removed first.

    That is so for another conversation of this id, or one whose lifetime ends: a `put` would keep
    the creation, or the end, of what was there.
    """
    return ours.revision.birth != header.birth or (theirs.ttl_ms is None and ours.ttl_ms is not None)
