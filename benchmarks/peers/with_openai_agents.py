"""Adapter of openai-agents' RedisSession. A session has one message, the text of the snapshot."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping
from typing import Any

from agents.extensions.memory import RedisSession
from redis.asyncio import Redis

from benchmarks.harness.measuring import closed_loop

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]


class Adapter:
    """`RedisSession`, cleared before an item is added: otherwise it would grow with the run."""

    def __init__(self, port: int, connections: int) -> None:
        self._client = Redis(host="127.0.0.1", port=port, max_connections=connections)
        self._sessions: list[RedisSession] = []
        self._items: list[Any] = []

    async def fill(self, users: int, snapshot: str) -> None:
        self._items = [{"role": "user", "content": snapshot}]
        self._sessions = [RedisSession(f"user-{user}", redis_client=self._client) for user in range(users)]
        await closed_loop(self._add, FILLING_TASKS)(range(users))
        assert await self._sessions[-1].get_items() == self._items

    def operations(self) -> Mapping[str, PeerCall]:
        return {"get_session": (self._get, None), "register_wait": (self._add, self._clear)}

    async def _get(self, user: int) -> None:
        await self._sessions[user].get_items()

    async def _add(self, user: int) -> None:
        await self._sessions[user].add_items(self._items)

    async def _clear(self, user: int) -> None:
        await self._sessions[user].clear_session()
