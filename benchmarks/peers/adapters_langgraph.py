"""Savers of langgraph: ours, AsyncValkeySaver and AsyncSqliteSaver.

A thread has one channel, a text. A write is a step of a run: a checkpoint and what a task wrote.
"""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from typing import Any

from langgraph.checkpoint.base import empty_checkpoint

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx, create_session_store
from greentic_session.integrations.langgraph import SessionSaver

from .adapters import FrameworkAdapter
from .worker import FILLING_TASKS

__all__ = ["Adapter"]

_CHANNEL = "text"


class Adapter(FrameworkAdapter):
    """A saver with a thread for each user, whose history grows with the run."""

    async def fill(self, users: int, snapshot: str) -> None:
        self._saver = await self._make()
        self.texts = ChangingTexts(len(snapshot))
        self._configs: list[Any] = [{"configurable": {"thread_id": f"{user}", "checkpoint_ns": ""}} for user in range(users)]
        await closed_loop(self.write, FILLING_TASKS)(range(users))
        await closed_loop(self.write, FILLING_TASKS)(range(users))
        found = await self._saver.aget_tuple({"configurable": {"thread_id": "0", "checkpoint_ns": ""}})
        assert len(found.checkpoint["channel_values"][_CHANNEL]) == len(snapshot)
        assert len(found.pending_writes) == 1

    async def _make(self) -> Any:
        if self.is_ours:
            return SessionSaver(create_session_store(self.url), TenantCtx.new("dev", "acme"))
        if self.backend == "Redis":
            from langgraph_checkpoint_aws import AsyncValkeySaver  # noqa: PLC0415  # the side that needs it
            from valkey.asyncio import ConnectionPool, Valkey  # noqa: PLC0415  # the side that needs it

            pool = ConnectionPool(host="127.0.0.1", port=self.port, max_connections=self.connections)
            return AsyncValkeySaver(Valkey(connection_pool=pool))
        import aiosqlite  # type: ignore[import-not-found]  # noqa: PLC0415  # the side that needs it
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415  # the side that needs it

        connection = aiosqlite.connect(self.path)
        connection._thread.daemon = True  # otherwise its thread would keep the process from ending
        await connection
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await connection.execute("PRAGMA synchronous=FULL")
        return saver

    async def write(self, user: int) -> None:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {_CHANNEL: self.texts.next()}
        checkpoint["channel_versions"] = {_CHANNEL: "1"}
        metadata: Any = {"source": "loop", "step": 1, "parents": {}}
        self._configs[user] = await self._saver.aput(self._configs[user], checkpoint, metadata, {_CHANNEL: "1"})
        await self._saver.aput_writes(self._configs[user], [(_CHANNEL, "what a task wrote")], "task")

    async def read(self, user: int) -> None:
        await self._saver.aget_tuple({"configurable": {"thread_id": f"{user}", "checkpoint_ns": ""}})
