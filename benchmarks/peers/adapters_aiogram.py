"""Storages and isolations of aiogram: ours and RedisStorage's. The data is a dict with a text."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping
from typing import Any

from aiogram.fsm.storage.base import StorageKey

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx, create_session_store
from greentic_session.integrations.aiogram import SessionIsolation, SessionStorage

from .adapters import FrameworkAdapter
from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]

_FIRST_CHAT_ID = 5_000_000_000


class Adapter(FrameworkAdapter):
    """A storage with a state and data for each user."""

    async def fill(self, users: int, snapshot: str) -> None:
        self.texts = ChangingTexts(len(snapshot))
        self._storage, self._isolation = self._make()
        chats = [_FIRST_CHAT_ID + user for user in range(users)]
        self._keys = [StorageKey(bot_id=7, chat_id=chat, user_id=chat) for chat in chats]
        await closed_loop(self.write, FILLING_TASKS)(range(users))
        assert len((await self._storage.get_data(self._keys[-1]))["text"]) == len(snapshot)

    def _make(self) -> tuple[Any, Any]:
        if self.is_ours:
            store, ctx = create_session_store(self.url), TenantCtx.new("dev", "acme")
            return SessionStorage(store, ctx), SessionIsolation(store, ctx)
        from aiogram.fsm.storage.redis import RedisStorage  # noqa: PLC0415  # the side that needs it

        storage = RedisStorage.from_url(self.url, connection_kwargs={"max_connections": self.connections})
        return storage, storage.create_isolation()

    def operations(self) -> Mapping[str, PeerCall]:
        return {**super().operations(), "lock": (self._lock, None)}

    async def write(self, user: int) -> None:
        await self._storage.set_state(self._keys[user], "ask-the-manager")
        await self._storage.set_data(self._keys[user], {"text": self.texts.next()})

    async def read(self, user: int) -> None:
        await self._storage.get_state(self._keys[user])
        await self._storage.get_data(self._keys[user])

    async def _lock(self, user: int) -> None:
        async with self._isolation.lock(self._keys[user]):
            pass
