"""Rules of conversations that need no storage: partitions, ids, and errors."""

import logging
from typing import Final

from greentic_session import tenancy
from greentic_session._base.refusal import Refusal
from greentic_session.errors import ConflictError, CorruptSessionError, InvalidInputError, NotFoundError, SchemaVersionError
from greentic_session.ids import plain
from greentic_session.models import TenantCtx
from greentic_session.tenancy import Partition

__all__ = [
    "MAX_ID_CHARACTERS",
    "SCHEMA_VERSION",
    "absent",
    "changed",
    "check_conversation_id",
    "check_schema",
    "corrupt",
    "corrupt_message",
    "partition_of",
    "taken",
    "warn_skipped",
]

SCHEMA_VERSION: Final = 1
"""The version of written envelopes. Older ones are migrated when read, newer ones refused."""

MAX_ID_CHARACTERS: Final = 255
"""The longest id of a conversation, in characters."""

_log: Final = logging.getLogger("greentic_session")


def partition_of(ctx: TenantCtx) -> Partition:
    """Return the partition of a caller: env, tenant and effective team.

    A user in `ctx` does not matter.

    Raises:
        InvalidInputError: The team is ``-``, which is reserved for no team.
        TypeError: `ctx` is no TenantCtx.
    """
    tenancy.check_ctx(ctx)
    return (ctx.env, ctx.tenant_id, ctx.effective_team)


def check_conversation_id(value: object) -> str:
    """Return `value` as a plain str if it is a valid id of a conversation.

    Any text is valid, also ``..`` and ``a/b``: backends derive safe names from it.

    Raises:
        InvalidInputError: The id is empty, has more than 255 characters, or holds a NUL or a lone
            surrogate.
        TypeError: The id is no str.

    >>> check_conversation_id("../a:b")
    '../a:b'
    """
    if not isinstance(value, str):
        raise TypeError(f"a conversation id must be a str, not {type(value).__name__}")
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        raise InvalidInputError(f"a conversation id must have from 1 to {MAX_ID_CHARACTERS} characters, not {len(value)}")
    if "\0" in value:
        raise InvalidInputError("a conversation id must not hold a NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError("a conversation id must be valid Unicode: it holds a lone surrogate") from error
    return plain(value)


def check_schema(version: int, conversation_id: str, *, newest: int = SCHEMA_VERSION) -> None:
    """Refuse an envelope of a newer version.

    Raises:
        SchemaVersionError: The version is newer than `newest`.
    """
    if version > newest:
        raise SchemaVersionError(
            f"unsupported session schema version {version} for the id (expected {newest})",
            conversation_id=conversation_id,
        )


absent: Final = Refusal(NotFoundError, "there is no conversation with this id", about="conversation_id")
"""There is none in the caller's partition."""
taken: Final = Refusal(ConflictError, "a conversation has this id", about="conversation_id")
"""One in the caller's partition has it."""
changed: Final = Refusal(ConflictError, "the conversation was changed meanwhile", about="conversation_id")
"""It changed since the caller loaded or saved it."""
corrupt: Final = Refusal(CorruptSessionError, "the stored text is no conversation", about="conversation_id")
"""A stored header, or its file, cannot be read."""


def corrupt_message(conversation_id: str, position: int) -> CorruptSessionError:
    """Return the error for a stored message that does not decode; `position` counts from 0."""
    return CorruptSessionError(
        f"the message at position {position} of the conversation cannot be read",
        conversation_id=conversation_id,
        position=position,
    )


def warn_skipped(what: str, count: int) -> None:
    """Log how many items could not be read and were left out; call it once an operation."""
    if count:
        _log.warning("left out what cannot be read: %d %s", count, what)
