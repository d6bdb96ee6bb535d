"""What adapters are given: a store, and the tenant whose things they keep in it."""

from typing import Any

from greentic_session._json.fields import check_instance
from greentic_session.conversation import ConversationStore
from greentic_session.conversation.rules import partition_of
from greentic_session.models import TenantCtx

__all__ = ["ConversationsOfTenant"]


class ConversationsOfTenant:
    """Conversations of one tenant, of messages that are dicts."""

    def __init__(self, conversations: ConversationStore[dict[str, Any]], ctx: TenantCtx) -> None:
        check_instance("conversations", conversations, ConversationStore)
        partition_of(ctx)
        self._conversations = conversations
        self._ctx = ctx
