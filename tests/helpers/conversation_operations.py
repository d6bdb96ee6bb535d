"""Operations of the conversation store as values, for tests that break or cancel each of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from greentic_session.conversation import Conversation, ConversationStore, Message, TokenUsage
from greentic_session.testing._conversations.samples import OPS, said

__all__ = ["OPERATIONS", "READS", "WRITES", "Operation", "prepare"]

Store = ConversationStore[Any]
Call = Callable[[Store, Conversation[Message]], Awaitable[object]]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: Its name.
        call: Does it, given a store and the conversation as it was loaded.
        writes: Whether it changes what is stored.
        grows: Whether it needs memory.
        calls: How many commands it sends; a fault of its last one is the interesting one.
        leaves: How many messages there are when it has been done; None without the conversation.
    """

    name: str
    call: Call
    writes: bool = False
    grows: bool = False
    calls: int = 1
    leaves: int | None = 3


async def prepare(store: Store) -> Conversation[Message]:
    """Store a conversation with the id ``c`` and three messages over any other, and return it."""
    conversation = Conversation[Message].new("c")
    conversation.messages = said("a", "b", "c")
    conversation.metadata = {"tag": "x"}
    await store.save(OPS, conversation, force=True)
    return conversation


def version_of(held: Conversation[Message]) -> str:
    """Return the version of what `prepare` has saved."""
    return f"3.{held._revision.birth if held._revision else 'x'}"


READS = [
    Operation("load", lambda store, _: store.load(OPS, "c")),
    Operation("messages", lambda store, _: store.messages(OPS, "c", last=2)),
    Operation("list", lambda store, _: store.list(OPS)),
    Operation("list after", lambda store, _: store.list(OPS, after="c")),
    Operation("health", lambda store, _: store.health()),
]
WRITES = [
    Operation("create", lambda store, _: store.create(OPS, id="new"), writes=True, grows=True),
    Operation("save", lambda store, held: store.save(OPS, held), writes=True, grows=True),
    Operation("append", lambda store, _: store.append(OPS, "c", *said("d", "e")), writes=True, grows=True, leaves=5),
    Operation(
        "update_state",
        lambda store, _: store.update_state(OPS, "c", cwd="/x", add_usage=TokenUsage(1), metadata={"tag": "y"}),
        writes=True,
        grows=True,
    ),
    Operation("delete", lambda store, _: store.delete(OPS, "c"), writes=True, leaves=None),
    Operation("purge", lambda store, _: store.purge(OPS), writes=True, calls=2, leaves=None),
    Operation("pop", lambda store, _: store.pop(OPS, "c", 2), writes=True, grows=True, calls=2, leaves=1),
    Operation("clear", lambda store, _: store.clear(OPS, "c"), writes=True, grows=True, leaves=0),
    Operation(
        "compact",
        lambda store, held: store.compact(OPS, "c", 2, said("s"), version=version_of(held)),
        writes=True,
        grows=True,
        leaves=2,
    ),
]
OPERATIONS = READS + WRITES
