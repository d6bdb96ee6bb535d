"""Adapter of py-key-value-aio's RedisStore. A value has one item, the text of the snapshot."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping

from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis

from benchmarks.harness.measuring import closed_loop

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]

_COLLECTION = "sessions"


class Adapter:
    """`RedisStore`."""

    def __init__(self, port: int, connections: int) -> None:
        # This store reads text only: it takes an answer of bytes for a missing key.
        self._store = RedisStore(
            client=Redis(host="127.0.0.1", port=port, max_connections=connections, decode_responses=True)
        )
        self._value: dict[str, str] = {}

    async def fill(self, users: int, snapshot: str) -> None:
        self._value = {"context_json": snapshot}
        await closed_loop(self._put, FILLING_TASKS)(range(users))
        assert await self._store.get(f"user-{users - 1}", collection=_COLLECTION) == self._value

    def operations(self) -> Mapping[str, PeerCall]:
        return {"get_session": (self._get, None), "update_session": (self._put, None)}

    async def _get(self, user: int) -> None:
        await self._store.get(f"user-{user}", collection=_COLLECTION)

    async def _put(self, user: int) -> None:
        await self._store.put(f"user-{user}", self._value, collection=_COLLECTION)
