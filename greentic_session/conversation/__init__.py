"""Conversations: the transcript and state of an agent session, kept per tenant."""

from typing import TYPE_CHECKING

from greentic_session._base.optional import is_installed as _is_installed
from greentic_session._base.optional import optional_names as _optional_names

from .backend import ConversationBackend
from .backends.adapter import AdapterConversationStore, PersistenceAdapter
from .backends.memory import InMemoryConversationStore
from .blocks import Block, ImageBlock, OtherBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from .conversation import Conversation, ConversationSummary
from .extra import Extra
from .factory import create_conversation_store
from .factory import redis_conversation_store_class as _redis_conversation_store_class
from .factory import sqlite_conversation_store_class as _sqlite_conversation_store_class
from .jsonl.exporting import ExportReport, export_conversations
from .jsonl.folder import Skipped
from .jsonl.importing import ImportReport, import_conversations
from .message import Message, Role
from .messages import Messages
from .rules import SCHEMA_VERSION
from .session_link import LINK_ATTRIBUTE, link_conversation, linked_conversation
from .state import ConversationState, TokenUsage
from .store import ConversationStore

if TYPE_CHECKING:
    from .backends.redis import RedisConversationStore
    from .backends.sqlite import SQLiteConversationStore

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
    "ExportReport",
    "Extra",
    "ImageBlock",
    "ImportReport",
    "InMemoryConversationStore",
    "Message",
    "Messages",
    "OtherBlock",
    "PersistenceAdapter",
    "RedisConversationStore",
    "Role",
    "SQLiteConversationStore",
    "Skipped",
    "TextBlock",
    "ThinkingBlock",
    "TokenUsage",
    "ToolResultBlock",
    "ToolUseBlock",
    "create_conversation_store",
    "export_conversations",
    "import_conversations",
    "link_conversation",
    "linked_conversation",
]


if not TYPE_CHECKING:  # pragma: no branch  # type checkers report unknown names
    if not _is_installed("redis", "hiredis"):
        __all__ = [name for name in __all__ if name != "RedisConversationStore"]  # for `import *`
    if not _is_installed("_sqlite3"):  # a Python that was built without it
        __all__ = [name for name in __all__ if name != "SQLiteConversationStore"]

    __getattr__ = _optional_names(
        __name__,
        {
            "RedisConversationStore": _redis_conversation_store_class,
            "SQLiteConversationStore": _sqlite_conversation_store_class,
        },
    )
