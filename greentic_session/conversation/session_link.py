"""Link from a paused flow to its conversation: an attribute of the session's `TenantCtx`.

Every runtime keeps and passes on these attributes, so a program that resumes the flow, on any
machine, finds its transcript. The wire schema does not change: the reference (the Rust crate
greentic-session) would write the same bytes.
"""

from typing import Final

from msgspec.structs import replace

from greentic_session._json.fields import check_type
from greentic_session.conversation.rules import check_conversation_id
from greentic_session.models import SessionData

__all__ = ["LINK_ATTRIBUTE", "link_conversation", "linked_conversation"]

# Not "conversation_id": channels put the ids of their own conversations into attributes.
LINK_ATTRIBUTE: Final = "greentic_session.conversation"
"""The attribute of `SessionData.tenant_ctx` that holds the id of the flow's conversation."""


def link_conversation(data: SessionData, conversation_id: str | None) -> SessionData:
    """Return a copy of a snapshot with a link to a conversation; None removes the link.

    A new snapshot with the `tenant_ctx` of the old one has the same link. The conversation is in
    the partition of the session: pass that `tenant_ctx` to the store.

    >>> from greentic_session import TenantCtx
    >>> ctx = TenantCtx.new("dev", "acme")
    >>> data = SessionData.new(ctx, "order", "ask")
    >>> linked_conversation(link_conversation(data, "order-7"))
    'order-7'

    Raises:
        InvalidInputError: `conversation_id` is not valid.
        TypeError: An argument has a wrong type.
    """
    check_type("data", data, SessionData)
    ctx = data.tenant_ctx
    attributes = {name: value for name, value in ctx.attributes.items() if name != LINK_ATTRIBUTE}
    if conversation_id is not None:
        attributes[LINK_ATTRIBUTE] = check_conversation_id(conversation_id)
    return replace(data, tenant_ctx=ctx.with_attributes(attributes))


def linked_conversation(data: SessionData) -> str | None:
    """Return the id of a snapshot's linked conversation; None without link.

    Raises:
        TypeError: `data` is no SessionData.

    >>> from greentic_session import TenantCtx
    >>> ctx = TenantCtx.new("dev", "acme").with_attributes({LINK_ATTRIBUTE: "order-7"})
    >>> linked_conversation(SessionData.new(ctx, "order", "ask"))
    'order-7'
    """
    check_type("data", data, SessionData)
    return data.tenant_ctx.attributes.get(LINK_ATTRIBUTE)
