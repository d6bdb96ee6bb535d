"""Adapter of our conversation stores: several processes append to the same conversations."""

from collections.abc import Mapping
from contextlib import suppress

from benchmarks.harness.messages import PARTITION
from benchmarks.harness.texts import ChangingTexts
from greentic_session import ConflictError
from greentic_session.conversation import Message, create_conversation_store

from .worker import PeerCall

__all__ = ["Adapter"]


class Adapter:
    """The store of a URL, with its defaults."""

    def __init__(self, url: str) -> None:
        self._conversations = create_conversation_store(url)
        self._texts = ChangingTexts()

    async def fill(self, users: int, snapshot: str) -> None:
        self._texts = ChangingTexts(len(snapshot))
        for user in range(users):
            with suppress(ConflictError):  # another process was first
                await self._conversations.create(PARTITION, id=f"conversation-{user}")

    def operations(self) -> Mapping[str, PeerCall]:
        return {"append": (self._append, None)}

    async def _append(self, user: int) -> None:
        await self._conversations.append(PARTITION, f"conversation-{user}", Message.user(self._texts.next()))
