"""Storages of aiogram: ours and RedisStorage. The data is a dict with one item, a text."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from typing import Any

from aiogram.fsm.storage.base import StorageKey

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx, create_session_store
from greentic_session.integrations.aiogram import SessionStorage

from .adapters import FrameworkAdapter
from .worker import FILLING_TASKS

__all__ = ["Adapter"]

_FIRST_CHAT_ID = 5_000_000_000


class Adapter(FrameworkAdapter):
    """A storage with a state and data for each user."""

    async def fill(self, users: int, snapshot: str) -> None:
        self.texts = ChangingTexts(len(snapshot))
        self._storage = self._make()
        chats = [_FIRST_CHAT_ID + user for user in range(users)]
        self._keys = [StorageKey(bot_id=7, chat_id=chat, user_id=chat) for chat in chats]
        await closed_loop(self.write, FILLING_TASKS)(range(users))
        assert len((await self._storage.get_data(self._keys[-1]))["text"]) == len(snapshot)

    def _make(self) -> Any:
        if self.is_ours:
            return SessionStorage(create_session_store(self.url), TenantCtx.new("dev", "acme"))
        from aiogram.fsm.storage.redis import RedisStorage  # noqa: PLC0415  # the side that needs it

        return RedisStorage.from_url(self.url, connection_kwargs={"max_connections": self.connections})

    async def write(self, user: int) -> None:
        await self._storage.set_state(self._keys[user], "ask-the-manager")
        await self._storage.set_data(self._keys[user], {"text": self.texts.next()})

    async def read(self, user: int) -> None:
        await self._storage.get_state(self._keys[user])
        await self._storage.get_data(self._keys[user])
