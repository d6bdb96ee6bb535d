"""Threads that use one conversation store at once, each with an event loop of its own."""

from functools import partial
from typing import Any

import anyio

from greentic_session.conversation import ConversationStore, TokenUsage
from greentic_session.testing._conversations.samples import OPS, said

from .threads import in_threads

__all__ = ["check_many_threads"]

_THREADS = 4


def check_many_threads(store: ConversationStore[Any], rounds: int) -> int:
    """Let threads write, list and delete; nothing may be lost or out of order.

    Returns:
        How many conversations the store has now.
    """
    anyio.run(partial(store.create, OPS, id="c"))

    async def run(number: int) -> None:
        for index in range(rounds):
            await store.append(OPS, "c", *said(f"{number} {index}"))
            await store.update_state(OPS, "c", add_usage=TokenUsage(1), custom={str(number): index})
            await store.create(OPS, id=f"{number} {index}")
            await store.list(OPS, limit=3)
            if index % 2:
                await store.delete(OPS, f"{number} {index}")

    in_threads(_THREADS, run, backends=("asyncio", "trio"))
    loaded = anyio.run(store.load, OPS, "c")
    found = [message.text.split() for message in loaded.messages]
    for number in range(_THREADS):
        assert [int(index) for who, index in found if who == str(number)] == list(range(rounds))
    assert loaded.state.token_usage == TokenUsage(_THREADS * rounds)
    return 1 + _THREADS * -(-rounds // 2)
