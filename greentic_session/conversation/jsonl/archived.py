"""A conversation as a file has it, and the error for a file that has none."""

from msgspec import Struct

from greentic_session._base.hiding import Outlined
from greentic_session.conversation.header import Header
from greentic_session.conversation.rules import check_conversation_id, partition_of
from greentic_session.errors import InvalidInputError
from greentic_session.models import TenantCtx
from greentic_session.tenancy import Partition

__all__ = ["Archived", "UnreadableFileError", "checked_identity"]


class UnreadableFileError(Exception):
    """A file is no conversation's, or is damaged; the text says why, and quotes nothing of it."""


class Archived(Outlined, Struct, frozen=True, kw_only=True):
    """A whole conversation in a file.

    Attributes:
        partition: Whose it is.
        id: The id of the conversation.
        header: All but its messages.
        messages: JSON texts; an empty one for a message that cannot be read.
        expires_at_ms: When it expires, in milliseconds since the Unix epoch; None for never.
    """

    partition: Partition
    id: str
    header: Header
    messages: list[bytes]
    expires_at_ms: int | None


def checked_identity(env: str, tenant: str, team: str | None, id: str) -> tuple[Partition, str]:
    """Return partition and id of a conversation, checked as those of a caller.

    Raises:
        UnreadableFileError: One of them cannot be one.
    """
    try:
        return partition_of(TenantCtx.new(env, tenant, team=team)), check_conversation_id(id)
    except InvalidInputError as error:
        raise UnreadableFileError("env, tenant, team or id in it is not valid") from error
