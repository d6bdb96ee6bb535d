"""Storages of aiogram: ours and RedisStorage. The data is a dict with one item, a text."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping
from typing import Any

from aiogram.fsm.storage.base import StorageKey

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx, create_session_store
from greentic_session.integrations.aiogram import SessionStorage

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]

_FIRST_CHAT_ID = 5_000_000_000


class Adapter:
    """A storage with a state and data for each user."""

    def __init__(self, side: str, backend: str, port: int, connections: int, directory: str) -> None:
        del backend, directory  # aiogram brings a storage on Redis only
        url = f"redis://127.0.0.1:{port}"
        self._storage: Any
        if side == "ours":
            self._storage = SessionStorage(create_session_store(url), TenantCtx.new("dev", "acme"))
        else:
            from aiogram.fsm.storage.redis import RedisStorage  # noqa: PLC0415  # the side that needs it

            self._storage = RedisStorage.from_url(url, connection_kwargs={"max_connections": connections})
        self._keys: list[StorageKey] = []
        self._texts = ChangingTexts()

    async def fill(self, users: int, snapshot: str) -> None:
        self._texts = ChangingTexts(len(snapshot))
        chats = [_FIRST_CHAT_ID + user for user in range(users)]
        self._keys = [StorageKey(bot_id=7, chat_id=chat, user_id=chat) for chat in chats]
        await closed_loop(self._set, FILLING_TASKS)(range(users))
        assert len((await self._storage.get_data(self._keys[-1]))["text"]) == len(snapshot)

    def operations(self) -> Mapping[str, PeerCall]:
        return {"write": (self._set, None), "read": (self._get, None)}

    async def _set(self, user: int) -> None:
        await self._storage.set_state(self._keys[user], "ask-the-manager")
        await self._storage.set_data(self._keys[user], {"text": self._texts.next()})

    async def _get(self, user: int) -> None:
        await self._storage.get_state(self._keys[user])
        await self._storage.get_data(self._keys[user])
