"""py-key-value-aio's RedisStore; a value with one item, the snapshot's text."""

# pyright: reportMissingImports=false
# It runs where its peer is installed, and nowhere else.

from collections.abc import Mapping

from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis

from benchmarks.harness.measuring import closed_loop

from .worker import Doing

__all__ = ["Adapter"]

COLLECTION = "sessions"


class Adapter:
    """RedisStore."""

    def __init__(self, port: int, connections: int) -> None:
        # It reads text only: bytes it takes for nothing.
        self._store = RedisStore(
            client=Redis(host="127.0.0.1", port=port, max_connections=connections, decode_responses=True)
        )
        self._value: dict[str, str] = {}

    async def fill(self, users: int, snapshot: str) -> None:
        self._value = {"context_json": snapshot}
        await closed_loop(self._put, 50)(range(users))
        assert await self._store.get(f"user-{users - 1}", collection=COLLECTION) == self._value

    def operations(self) -> Mapping[str, Doing]:
        return {"get_session": (self._get, None), "update_session": (self._put, None)}

    async def _get(self, user: int) -> None:
        await self._store.get(f"user-{user}", collection=COLLECTION)

    async def _put(self, user: int) -> None:
        await self._store.put(f"user-{user}", self._value, collection=COLLECTION)
