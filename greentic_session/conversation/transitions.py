"""Changes of a conversation, as pure functions: what a backend stores, or why it refuses.

They are the same for all backends, as those of a session are in `greentic_session.transitions`.
"""

from typing import TypeVar

from msgspec.structs import replace

from greentic_session.conversation.header import MAX_COUNT, Change, Edit, Expected, Header, Stored
from greentic_session.conversation.moments import later
from greentic_session.conversation.rules import changed, check_schema, taken
from greentic_session.errors import InvalidInputError

__all__ = ["changed_header", "end_of_edit", "replacing"]

T = TypeVar("T")


def replacing(stored: Header | None, new: Header, expected: Expected, conversation_id: str) -> Header:
    """Return the header that `put` stores: `new`, with times that follow those of `stored`.

    Args:
        stored: What is there; None if nothing is, or if it cannot be read and `expected` is
            ANYTHING.
        new: What is to be written.
        expected: The requirement on the stored conversation.
        conversation_id: The id for errors.

    Raises:
        ConflictError: The stored conversation is not the `expected` one.
        SchemaVersionError: A newer version wrote it, and `expected` is not ANYTHING.
    """
    if expected is not Stored.ANYTHING:
        if stored is not None:
            check_schema(stored.schema_version, conversation_id)
        if expected is Stored.NOTHING:
            if stored is not None:
                raise taken(conversation_id)
        elif stored is None or stored.revision != expected:
            raise changed(conversation_id)
    if stored is None:
        return new
    return replace(new, created_at=stored.created_at, updated_at=later(new.updated_at, stored.updated_at))


def changed_header(stored: Header, change: Change, now: int) -> Header:
    """Return a header with the changes of an `update`.

    Raises:
        InvalidInputError: A counter would exceed 2**53 - 1.
    """
    usage = dict(stored.usage)
    for name, count in change.usage.items():
        usage[name] = _sum(name, usage.get(name, 0), count)
    return replace(
        stored,
        updated_at=later(now, stored.updated_at),
        cwd=stored.cwd if change.cwd is None else change.cwd,
        usage=usage,
        event_count=_sum("event_count", stored.event_count, change.events),
        custom=_removed(stored.custom, change.remove_custom) | change.custom,
        metadata=_removed(stored.metadata, change.remove_metadata) | change.metadata,
    )


def end_of_edit(birth: str, total: int, edit: Edit, conversation_id: str) -> int:
    """Return the position behind the last message that goes.

    What was read must still be there. An edit that goes to the end must know all messages: it would
    remove one that was appended meanwhile.

    Args:
        birth: `Header.birth` of the stored conversation.
        total: The number of its messages.
        edit: The change.
        conversation_id: The id for errors.

    Raises:
        ConflictError: The messages are not those that the caller has read.
    """
    read = edit.read
    if read is not None and (read.birth != birth or read.total > total or (edit.end is None and read.total < total)):
        raise changed(conversation_id)
    return total if edit.end is None else edit.end


def _removed(fields: dict[str, T], names: frozenset[str]) -> dict[str, T]:
    return {name: value for name, value in fields.items() if name not in names} if names else fields


def _sum(name: str, a: int, b: int) -> int:
    if a + b > MAX_COUNT:
        raise InvalidInputError(f"{name} would exceed 2**53 - 1")
    return a + b
