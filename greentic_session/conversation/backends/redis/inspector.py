"""Inspection of the keys of conversations for operators, with a script that only reads."""

from collections.abc import Mapping, Sequence
from typing import Final

from greentic_session._redis.executor import Executor
from greentic_session._redis.scripts import Script

__all__ = ["CONVERSATION_FAULTS", "examine_conversations"]

_EXAMINE = Script("greentic_session.conversation.backends.redis.lua", "examine", (list,), repeatable=True)

CONVERSATION_FAULTS: Final[Mapping[str, tuple[bool, str, str]]] = {
    "conversation_unlisted": (
        True,
        "conversations that are missing in their partition's index: lists leave them out",
        "The next write to one puts it there again. Find out who wrote there; `greentic-session purge` removes them too.",
    ),
    "conversation_headless": (
        True,
        "messages without a conversation: nothing leads to them",
        "Somebody deleted the rest by hand, or the server evicted it. `greentic-session purge` removes them.",
    ),
    "conversation_lifetimes": (
        True,
        "conversations of which header and messages have different lifetimes",
        "Save them again. Find out who set a lifetime by hand.",
    ),
}
"""By name: whether the finding is a fault, its description, and the advice."""


async def examine_conversations(executor: Executor, namespace: str, names: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return the inconsistencies at some keys: names from `CONVERSATION_FAULTS`, with the keys.

    Args:
        executor: Runs the commands.
        namespace: The namespace of the keys.
        names: The keys, without the namespace and the colon after it.
    """
    if not names:
        return []
    prefix = f"{namespace}:conv:"
    findings = await _EXAMINE.run(executor, 1, (prefix, prefix, *(name.removeprefix(b"conv:") for name in names)))
    return [(name.decode(), key) for name, key in zip(findings[::2], findings[1::2], strict=True)]
