"""Adapter of langgraph's AsyncSqliteSaver in one file.

A checkpoint has one channel, a text.
"""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiosqlite  # type: ignore[import-not-found]  # not installed here
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]

_CHANNEL = "context_json"
_SYNCHRONOUS_FULL = 2
"""Number of ``PRAGMA synchronous=FULL``."""


class Adapter:
    """`AsyncSqliteSaver`. A thread has one checkpoint, put again in every call.

    Otherwise its history would grow with the run.
    """

    def __init__(self, directory: str) -> None:
        self._database = Path(directory) / "langgraph.sqlite"
        self._saver: Any = None
        self._checkpoints: list[Checkpoint] = []
        self._texts = ChangingTexts()

    async def fill(self, users: int, snapshot: str) -> None:
        connection = aiosqlite.connect(self._database)
        # Otherwise its thread would keep the process from ending.
        connection._thread.daemon = True
        await connection
        self._saver = AsyncSqliteSaver(connection)
        await self._saver.setup()
        await connection.execute("PRAGMA synchronous=FULL")
        async with connection.execute("PRAGMA journal_mode") as found:
            assert await found.fetchone() == ("wal",)
        async with connection.execute("PRAGMA synchronous") as found:
            assert await found.fetchone() == (_SYNCHRONOUS_FULL,)
        self._texts = ChangingTexts(len(snapshot))
        self._checkpoints = [empty_checkpoint() for _ in range(users)]
        await closed_loop(self._put, FILLING_TASKS)(range(users))
        found = await self._saver.aget(self._config(users - 1))
        assert found is not None
        assert len(found["channel_values"][_CHANNEL]) == len(snapshot)

    def operations(self) -> Mapping[str, PeerCall]:
        return {"register_wait": (self._put, None), "find_wait": (self._get, None)}

    def _config(self, user: int) -> Any:
        return {"configurable": {"thread_id": f"thread-{user}", "checkpoint_ns": ""}}

    async def _put(self, user: int) -> None:
        metadata: Any = {"source": "loop", "step": 1, "parents": {}}
        checkpoint = copy.copy(self._checkpoints[user])
        checkpoint["channel_values"] = {_CHANNEL: self._texts.next()}
        checkpoint["channel_versions"] = {_CHANNEL: "1"}
        await self._saver.aput(self._config(user), checkpoint, metadata, {_CHANNEL: "1"})

    async def _get(self, user: int) -> None:
        await self._saver.aget(self._config(user))
