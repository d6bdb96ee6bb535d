"""The conversations that are measured: what is said in them, where they are kept, and how they come to be there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.measuring import closed_loop
from greentic_session import TenantCtx
from greentic_session.conversation import Conversation, ConversationStore, Message, create_conversation_store
from greentic_session.conversation.message import write_message

__all__ = ["PARTITION", "Backend", "append_many", "backends", "fill_partition", "make_message", "text_of"]

PARTITION = TenantCtx.new("production", "tenant-42", team="support")
MESSAGE_BYTES = 1024
FILLING_TASKS = 50
BATCH = 1000
SENTENCES = (
    'The order "A-{n}" left our warehouse on Monday, and the carrier has confirmed that it will be there by Thursday.',
    "You asked whether part {n} can be exchanged: it can, within thirty days, if it is in its original packaging.",
    "I have looked into invoice {n}.\\n\\n- The amount is right.\\n- The address is the one that you gave us in March.",
)


def make_message() -> Message:
    """Return an answer of a model that is 1 KiB as JSON."""
    said: list[str] = []
    while len(write_message(Message.assistant(" ".join(said)))) < MESSAGE_BYTES:
        said.append(SENTENCES[len(said) % len(SENTENCES)].format(n=len(said)).replace("\\n", "\n"))
    said.pop()
    text = " ".join(said)
    missing = MESSAGE_BYTES - len(write_message(Message.assistant(text)))
    return Message.assistant(text + "." * missing)


def text_of(message: Message) -> str:
    """Return the JSON of a message, as it is stored; the peers' items are read from it."""
    return write_message(message).decode()


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One of ours.

    Attributes:
        name: Its name in the table.
        open: Returns a store of it that keeps what it has apart from that of the others.
        durable: Whether it waits for the disk.
    """

    name: str
    open: Callable[[str], ConversationStore[Message]]
    durable: bool = False


def backends(directory: str, redis_url: str) -> list[Backend]:
    """Return all of them, as measured: with their own settings, but time enough for a busy machine."""

    def in_files(namespace: str) -> ConversationStore[Message]:
        return create_conversation_store(Path(directory).as_uri(), namespace=namespace, fsync=True)

    def on_redis(namespace: str) -> ConversationStore[Message]:
        return create_conversation_store(redis_url, namespace=namespace, timeout=60.0)

    return [
        Backend(name="memory", open=lambda _: create_conversation_store("memory://")),
        Backend(name="files", open=in_files, durable=True),
        Backend(name="Redis", open=on_redis),
    ]


async def append_many(store: ConversationStore[Message], id: str, messages: int) -> None:
    """Create a conversation of so many messages."""
    message = make_message()
    await store.create(PARTITION, id=id)
    for start in range(0, messages, BATCH):
        await store.append(PARTITION, id, *[message] * min(BATCH, messages - start))


async def fill_partition(store: ConversationStore[Message], conversations: int, messages: int) -> None:
    """Create so many conversations of so many messages."""
    said = [make_message()] * messages

    async def create(number: int) -> None:
        await store.save(PARTITION, Conversation(id=f"conversation-{number}", messages=said))

    await closed_loop(create, FILLING_TASKS)(range(conversations))
