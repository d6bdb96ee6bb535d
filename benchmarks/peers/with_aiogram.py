"""Adapter of aiogram's RedisStorage and RedisEventIsolation.

The data is a dict with one item, the text of the snapshot.
"""

from collections.abc import Mapping

from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.redis import RedisStorage

from benchmarks.harness.measuring import closed_loop

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]

_STATE = "ask-the-manager"
_FIRST_CHAT_ID = 5_000_000_000
_BOT_ID = 7_000_000_001


class Adapter:
    """`RedisStorage` and its event isolation."""

    def __init__(self, port: int, connections: int) -> None:
        self._storage = RedisStorage.from_url(
            f"redis://127.0.0.1:{port}", connection_kwargs={"max_connections": connections}
        )
        self._isolation = self._storage.create_isolation()
        self._keys: list[StorageKey] = []
        self._snapshot = ""

    async def fill(self, users: int, snapshot: str) -> None:
        first = _FIRST_CHAT_ID
        self._snapshot = snapshot
        self._keys = [StorageKey(bot_id=_BOT_ID, chat_id=first + n, user_id=first + n) for n in range(users)]
        await closed_loop(self._set, FILLING_TASKS)(range(users))
        assert await self._storage.get_state(self._keys[-1]) == _STATE
        assert await self._storage.get_data(self._keys[-1]) == {"context_json": snapshot}

    def operations(self) -> Mapping[str, PeerCall]:
        return {
            "find_wait": (self._get, None),
            "register_wait": (self._set, None),
            "claim_wait + complete": (self._claim, self._set),
            "claim_wait + park": (self._turn, None),
        }

    async def _get(self, user: int) -> None:
        key = self._keys[user]
        await self._storage.get_state(key)
        await self._storage.get_data(key)

    async def _set(self, user: int) -> None:
        key = self._keys[user]
        await self._storage.set_state(key, _STATE)
        await self._storage.set_data(key, {"context_json": self._snapshot})

    async def _turn(self, user: int) -> None:
        async with self._isolation.lock(self._keys[user]):
            await self._get(user)
            await self._set(user)

    async def _claim(self, user: int) -> None:
        key = self._keys[user]
        async with self._isolation.lock(key):
            await self._get(user)
            await FSMContext(self._storage, key).clear()
