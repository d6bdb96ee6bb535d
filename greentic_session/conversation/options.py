"""Options of every conversation store."""

from typing import TypedDict

from greentic_session.conversation.moments import Clock
from greentic_session.expiry import Ttl

__all__ = ["StoreOptions"]


class StoreOptions(TypedDict, total=False):
    """The options of every conversation store; `ConversationStore` describes them."""

    ttl: Ttl
    sliding: bool
    max_message_bytes: int
    clock: Clock
