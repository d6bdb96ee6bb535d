"""Tables of conversations in a database.

A row of ``conversation`` is small, so that an append changes no long text: the header without
counters is in ``conversation_header``. Messages are rows in the order in which they were written,
with an index by conversation and position: an append to one of many conversations writes at the end
of the table. ``conversation_garbage`` has the numbers of removed conversations that still have
messages; these are deleted in bounded steps. Every `put` gives a conversation another number.

Times are in microseconds since the Unix epoch, ``expires_at`` in milliseconds (NULL for never).
``partition_key`` is ``env/tenant/team``, with ``-`` for no team: no id may hold a slash.
"""

from typing import Final

from greentic_session._sqlite.schema import SchemaPart

__all__ = ["CONVERSATIONS"]

_VERSION_1: Final = (
    """
    CREATE TABLE conversation (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        namespace TEXT NOT NULL,
        partition_key TEXT NOT NULL,
        id TEXT NOT NULL,
        birth TEXT NOT NULL,
        schema_version INTEGER NOT NULL CHECK (typeof(schema_version) = 'integer'),
        created_at INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
        updated_at INTEGER NOT NULL CHECK (typeof(updated_at) = 'integer'),
        message_count INTEGER NOT NULL CHECK (typeof(message_count) = 'integer'),
        expires_at INTEGER CHECK (typeof(expires_at) IN ('integer', 'null'))
    )
    """,
    "CREATE UNIQUE INDEX conversation_by_id ON conversation (namespace, partition_key, id)",
    "CREATE INDEX conversation_by_change ON conversation (namespace, partition_key, updated_at DESC, id)",
    "CREATE INDEX conversation_by_expiry ON conversation (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE TABLE conversation_header (conversation INTEGER PRIMARY KEY, text BLOB NOT NULL)",
    """
    CREATE TABLE conversation_message (
        number INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL,
        position INTEGER NOT NULL,
        text BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX conversation_message_by_position ON conversation_message (conversation, position)",
    "CREATE TABLE conversation_garbage (conversation INTEGER PRIMARY KEY)",
)

CONVERSATIONS: Final = SchemaPart("conversations", 1, (_VERSION_1,))
"""The part of the schema that conversations have."""
