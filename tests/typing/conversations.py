"""Never run.

Mypy and pyright read it, to see that conversations can be used with nothing untyped.
"""

from typing import Any, assert_type

import msgspec

from greentic_session import SessionData, TenantCtx
from greentic_session.conversation import (
    Block,
    Conversation,
    ConversationStore,
    ConversationSummary,
    InMemoryConversationStore,
    Message,
    Messages,
    SQLiteConversationStore,
    TokenUsage,
    create_conversation_store,
    link_conversation,
    linked_conversation,
)
from greentic_session.encryption import EncryptedConversationStore, EncryptionKey, Keyring


class Turn(msgspec.Struct):
    """A message type of one's own."""

    who: str
    said: str


ctx = TenantCtx.new("dev", "acme", team="ops")
assert_type(create_conversation_store("memory://"), ConversationStore[Message])
assert_type(create_conversation_store("memory://", message_type=Turn), ConversationStore[Turn])
assert_type(create_conversation_store("memory://", message_type=Turn | Message), ConversationStore[Any])
assert_type(InMemoryConversationStore(ttl=60, sliding=True), InMemoryConversationStore[Message])
assert_type(InMemoryConversationStore(message_type=Turn), InMemoryConversationStore[Turn])
assert_type(SQLiteConversationStore("bot.db", ttl=60), SQLiteConversationStore[Message])
assert_type(SQLiteConversationStore("bot.db", message_type=Turn), SQLiteConversationStore[Turn])
assert_type(Conversation[Turn].new("c"), Conversation[Turn])
assert_type(Conversation.from_neuron("{}"), Conversation[Message])
assert_type(Conversation.from_fluers(b"{}", "c"), Conversation[Message])

ring = Keyring(EncryptionKey.generate("k1"))
turns = InMemoryConversationStore(message_type=Turn)
assert_type(EncryptedConversationStore(turns, ring), EncryptedConversationStore[Turn])
assert_type(EncryptedConversationStore(create_conversation_store("memory://"), ring), EncryptedConversationStore[Message])


async def use(store: ConversationStore[Message], data: SessionData) -> None:
    conversation = await store.create(ctx, model="m", metadata={"a": "b"})
    assert_type(conversation, Conversation[Message])
    assert_type(await store.append(ctx, conversation.id, Message.user("a"), Message.assistant("b")), int)
    assert_type(await store.messages(ctx, conversation.id, last=20, whole_turns=True), Messages[Message])
    read = await store.messages(ctx, conversation.id)
    assert_type(read[0], Message)
    assert_type(await store.compact(ctx, conversation.id, 3, [Message.user("a")], version=read.version), int)
    assert_type(await store.pop(ctx, conversation.id, 2), list[Message])
    assert_type(Message.from_dict(read[0].to_dict()), Message)
    assert_type(Message.from_json(read[0].to_json()), Message)
    assert_type((await store.messages(ctx, conversation.id))[0].content, tuple[Block, ...])
    assert_type(await store.list(ctx, limit=5, after=conversation.summary()), list[ConversationSummary])
    assert_type(await store.load(ctx, "c"), Conversation[Message])
    await store.update_state(ctx, "c", add_usage=TokenUsage(1, 2), custom={"a": [1]})
    assert_type(linked_conversation(link_conversation(data, "c")), str | None)


async def use_turns(store: ConversationStore[Turn]) -> None:
    await store.append(ctx, "c", Turn("ada", "hello"))
    assert_type((await store.load(ctx, "c")).messages, list[Turn])
