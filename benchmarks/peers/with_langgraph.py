"""Adapter of langgraph-checkpoint-aws's AsyncValkeySaver.

A checkpoint has one channel, the text of the snapshot.
"""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph_checkpoint_aws import AsyncValkeySaver
from valkey.asyncio import ConnectionPool, Valkey

from benchmarks.harness.measuring import closed_loop

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]

_CHANNEL = "context_json"


class Adapter:
    """`AsyncValkeySaver`. A thread has one checkpoint, put again in every call.

    Otherwise its history would grow with the run.
    """

    def __init__(self, port: int, connections: int) -> None:
        pool = ConnectionPool(host="127.0.0.1", port=port, max_connections=connections)
        self._saver = AsyncValkeySaver(Valkey(connection_pool=pool))
        self._checkpoints: list[Checkpoint] = []

    async def fill(self, users: int, snapshot: str) -> None:
        self._checkpoints = []
        for _ in range(users):
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"][_CHANNEL] = snapshot
            checkpoint["channel_versions"][_CHANNEL] = "1"
            self._checkpoints.append(checkpoint)
        await closed_loop(self._put, FILLING_TASKS)(range(users))
        found = await self._saver.aget_tuple(self._config(users - 1))
        assert found is not None
        assert found.checkpoint["channel_values"][_CHANNEL] == snapshot

    def operations(self) -> Mapping[str, PeerCall]:
        return {"find_wait": (self._get, None), "register_wait": (self._put, None)}

    def _config(self, user: int) -> Any:
        return {"configurable": {"thread_id": f"thread-{user}", "checkpoint_ns": ""}}

    async def _get(self, user: int) -> None:
        await self._saver.aget_tuple(self._config(user))

    async def _put(self, user: int) -> None:
        metadata: Any = {"source": "loop", "step": 1, "parents": {}}
        await self._saver.aput(self._config(user), self._checkpoints[user], metadata, {_CHANNEL: "1"})
