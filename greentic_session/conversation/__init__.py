"""Conversations: the transcript and state of an agent session, kept per tenant."""

from .backend import ConversationBackend
from .backends.adapter import AdapterConversationStore, PersistenceAdapter
from .backends.memory import InMemoryConversationStore
from .conversation import Conversation, ConversationSummary
from .extra import Extra
from .factory import create_conversation_store
from .link import LINK_ATTRIBUTE, link_conversation, linked_conversation
from .message import (
    Block,
    ImageBlock,
    Message,
    OtherBlock,
    Role,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from .rules import SCHEMA_VERSION
from .state import ConversationState, TokenUsage
from .store import ConversationStore

__all__ = [
    "LINK_ATTRIBUTE",
    "SCHEMA_VERSION",
    "AdapterConversationStore",
    "Block",
    "Conversation",
    "ConversationBackend",
    "ConversationState",
    "ConversationStore",
    "ConversationSummary",
    "Extra",
    "ImageBlock",
    "InMemoryConversationStore",
    "Message",
    "OtherBlock",
    "PersistenceAdapter",
    "Role",
    "TextBlock",
    "ThinkingBlock",
    "TokenUsage",
    "ToolResultBlock",
    "ToolUseBlock",
    "create_conversation_store",
    "link_conversation",
    "linked_conversation",
]
