"""The link from a paused flow to its conversation: an attribute of the unchanged wire schema.

The name is an attribute of the session's `TenantCtx`: text by text, which every runtime keeps and
hands on. What is stored stays byte for byte what the reference would write, and whoever resumes the
flow, on any machine, finds its transcript.
"""

from typing import Final

from msgspec.structs import replace

from greentic_session._json.fields import check_type
from greentic_session.conversation.rules import check_conversation_id
from greentic_session.models import SessionData

__all__ = ["LINK_ATTRIBUTE", "link_conversation", "linked_conversation"]

# Not "conversation_id": channels have conversations, too, and their ids travel in attributes.
LINK_ATTRIBUTE: Final = "greentic_session.conversation"
"""The attribute of `SessionData.tenant_ctx` that holds the id of the flow's conversation."""


def link_conversation(data: SessionData, conversation_id: str | None) -> SessionData:
    """Return a copy of a snapshot that names this conversation; None takes the name off.

    A snapshot that is made anew from the `tenant_ctx` of the old one goes on naming it. The
    conversation itself is found in the session's own partition: give the store that `tenant_ctx`.

    >>> from greentic_session import TenantCtx
    >>> ctx = TenantCtx.new("dev", "acme")
    >>> data = SessionData.new(ctx, "order", "ask")
    >>> linked_conversation(link_conversation(data, "order-7"))
    'order-7'

    Raises:
        InvalidInputError: It cannot be the id of a conversation.
        TypeError: An argument has a wrong type.
    """
    check_type("data", data, SessionData)
    ctx = data.tenant_ctx
    attributes = {name: value for name, value in ctx.attributes.items() if name != LINK_ATTRIBUTE}
    if conversation_id is not None:
        attributes[LINK_ATTRIBUTE] = check_conversation_id(conversation_id)
    return replace(data, tenant_ctx=ctx.with_attributes(attributes))


def linked_conversation(data: SessionData) -> str | None:
    """Return the id of the conversation that a snapshot names; None if it names none.

    Raises:
        TypeError: `data` is no SessionData.

    >>> from greentic_session import TenantCtx
    >>> ctx = TenantCtx.new("dev", "acme").with_attributes({LINK_ATTRIBUTE: "order-7"})
    >>> linked_conversation(SessionData.new(ctx, "order", "ask"))
    'order-7'
    """
    check_type("data", data, SessionData)
    return data.tenant_ctx.attributes.get(LINK_ATTRIBUTE)
