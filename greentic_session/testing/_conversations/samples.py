"""Samples of the contract tests of conversations: partitions, messages, a clock.

Acme's ops, one conversation, a few words.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from greentic_session.conversation import ConversationStore, Message
from greentic_session.models import TenantCtx

__all__ = [
    "ODD_IDS",
    "OPS",
    "PARTITIONS",
    "MakeConversationStore",
    "StandingClock",
    "append_beside",
    "said",
    "texts",
    "uses_of",
]

MakeConversationStore = Callable[..., ConversationStore[Any]]
"""Makes a fresh, empty store with the given options (`ttl`, `sliding`, `message_type`, `clock`,
`max_message_bytes`); the
caller closes it."""

OPS = TenantCtx.new("dev", "acme", team="ops")

PARTITIONS = [
    OPS,
    TenantCtx.new("dev", "acme", team="sales"),
    TenantCtx.new("dev", "acme"),
    TenantCtx.new("dev", "acme", team=".."),
    TenantCtx.new("dev", "acme.ops"),
    TenantCtx.new("dev", "acme-ops"),
    TenantCtx.new("dev", ".."),
    TenantCtx.new("..", "acme", team="ops"),
    TenantCtx.new("dev", "ACME", team="ops"),
    TenantCtx.new("prod", "acme", team="ops"),
]
"""Partitions that a careless backend would mix up."""

ODD_IDS = [
    "c",
    "C",
    ".",
    "..",
    "../c",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a:b",
    "a:b:c",
    "a b",
    " ",
    "c ",
    "c.",
    "CON",
    "con",
    "nul.txt",
    "~",
    "-",
    "*",
    "?",
    "[c]",
    "{c}",
    "%2e%2e",
    "%",
    "c%",
    "\n",
    "\r\n",
    "\t",
    "\x7f",
    "\x1b[31m",
    "ä",
    "a\u0308",
    "\u017f",
    "S",
    "ß",
    "\u202e",
    "\ufeff",
    "\uffff",
    "0",
    "null",
    "e",
    "x" * 255,
    "X" * 255,
    "😀" * 255,
    "😀" * 254 + "😁",
]
"""Ids that a careless backend would refuse, mix up, or let out of their partition."""


class StandingClock:
    """A clock in microseconds that stands until it is told to go."""

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def said(*words: str) -> list[Message]:
    """Return messages of the user."""
    return [Message.user(word) for word in words]


async def texts(store: ConversationStore[Any], ctx: TenantCtx = OPS, id: str = "c", last: int | None = None) -> list[str]:
    """Return the texts of the messages of a conversation."""
    return [message.text for message in await store.messages(ctx, id, last=last)]


async def append_beside(
    store: ConversationStore[Message], messages: int, *others: Callable[[], Coroutine[Any, Any, None]]
) -> list[list[str]]:
    """Let three writers append so many messages each to the conversation c, while others work.

    Returns:
        What each writer said, in its order: ``1-0`` is the first message of the second writer.
    """
    words = [[f"{writer}-{index}" for index in range(messages)] for writer in range(3)]

    async def write(own: list[str]) -> None:
        for word in own:
            await store.append(OPS, "c", *said(word))

    async with anyio.create_task_group() as tasks:
        for own in words:
            tasks.start_soon(write, own)
        for other in others:
            tasks.start_soon(other)
    return words


def uses_of(store: ConversationStore[Message]) -> list[Coroutine[Any, Any, object]]:
    """Return a call of each operation that reads or changes the conversation c, to be awaited."""
    return [
        store.load(OPS, "c"),
        store.append(OPS, "c", *said("x")),
        store.messages(OPS, "c"),
        store.pop(OPS, "c"),
        store.clear(OPS, "c"),
        store.compact(OPS, "c", 0, [], version="0.x"),
        store.update_state(OPS, "c", cwd="/x"),
    ]
