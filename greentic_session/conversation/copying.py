"""Copies of conversations from one storage to another, whatever each of them is.

Both may be in use meanwhile: the later change wins, and of two alike the longer lifetime. A copy
that was interrupted may be repeated.
"""

from enum import Enum
from typing import Final, Protocol

from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.header import Header, Lifetime, Revision, Stored
from greentic_session.errors import ConflictError, CorruptSessionError, NotFoundError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = ["Copied", "CopySource", "copy_conversation"]

_NEAR_MS: Final = 1000
"""Lifetimes that differ by no more count as one."""


class Copied(Enum):
    """What became of one conversation."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    CORRUPT = "corrupt"
    ABSENT = "absent"


class CopySource(Protocol):
    """Where conversations come from: a `ConversationBackend`, or what reads them as one does."""

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        """As `ConversationBackend.peek`."""
        ...

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        """As `ConversationBackend.load`."""
        ...


async def copy_conversation(source: CopySource, target: ConversationBackend, partition: Partition, id: str) -> Copied:
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
        await target.messages(partition, id, 0, Lifetime(left, sliding=True))  # which renews it
    except NotFoundError:
        return Copied.ABSENT
    return Copied.WRITTEN


async def _write(
    source: CopySource, target: ConversationBackend, partition: Partition, id: str, theirs: Glimpse, ours: Glimpse | None
) -> Copied:
    try:
        header, messages = await source.load(partition, id, Lifetime())
    except NotFoundError:
        return Copied.ABSENT
    except (CorruptSessionError, SchemaVersionError):
        return Copied.CORRUPT
    expected: Revision | Stored = Stored.NOTHING if ours is None else ours.revision
    if ours is not None and _is_another(header, theirs, ours):
        try:
            await target.delete(partition, id)
        except NotFoundError:
            pass
        expected = Stored.NOTHING
    left = theirs.left_ms()
    if left is not None and left <= 0:
        return Copied.ABSENT
    try:
        await target.put(partition, id, header, messages, expected, Lifetime(left, sliding=left is not None))
    except (ConflictError, SchemaVersionError):
        return Copied.KEPT
    return Copied.WRITTEN


def _is_another(header: Header, theirs: Glimpse, ours: Glimpse) -> bool:
    """Say whether a copy has to be removed first.

    That is so for another conversation of this id, or one whose lifetime ends: a `put` would keep
    the creation, or the end, of what was there.
    """
    return ours.revision.birth != header.birth or (theirs.ttl_ms is None and ours.ttl_ms is not None)
