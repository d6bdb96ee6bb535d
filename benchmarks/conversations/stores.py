"""Conversation stores that are measured, and the conversations that fill them."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.messages import PARTITION, make_message
from benchmarks.harness.server import TIMEOUT_S
from greentic_session.conversation import Conversation, ConversationStore, Message, create_conversation_store

__all__ = ["Backend", "append_many", "fill_partition", "make_backends"]

_FILLING_TASKS = 50
_BATCH_MESSAGES = 1000


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Backend of our conversation stores.

    Attributes:
        name: Name in the table.
        open: Returns a store with this namespace.
        durable: Whether an append waits for the disk.
    """

    name: str
    open: Callable[[str], ConversationStore[Message]]
    durable: bool = False


def make_backends(directory: str, redis_url: str) -> list[Backend]:
    """Return all backends with their defaults, and a timeout that suits a busy machine."""

    def in_database(namespace: str) -> ConversationStore[Message]:
        return create_conversation_store(f"sqlite:///{directory}/ours.sqlite", namespace=namespace)

    def in_redis(namespace: str) -> ConversationStore[Message]:
        return create_conversation_store(redis_url, namespace=namespace, timeout=TIMEOUT_S)

    return [
        Backend(name="memory", open=lambda _: create_conversation_store("memory://")),
        Backend(name="SQLite", open=in_database, durable=True),
        Backend(name="Redis", open=in_redis),
    ]


async def append_many(store: ConversationStore[Message], id: str, messages: int) -> None:
    """Create a conversation of so many messages."""
    message = make_message()
    await store.create(PARTITION, id=id)
    for start in range(0, messages, _BATCH_MESSAGES):
        await store.append(PARTITION, id, *[message] * min(_BATCH_MESSAGES, messages - start))


async def fill_partition(store: ConversationStore[Message], conversations: int, messages: int) -> None:
    """Create so many conversations of so many messages each."""
    content = [make_message()] * messages

    async def create(number: int) -> None:
        await store.save(PARTITION, Conversation(id=f"conversation-{number}", messages=content))

    await closed_loop(create, _FILLING_TASKS)(range(conversations))
