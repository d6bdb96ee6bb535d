"""Sessions of openai-agents: ours, RedisSession and SQLiteSession. An item is a message."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx
from greentic_session.conversation import create_conversation_store
from greentic_session.integrations.openai_agents import AgentSessions

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]


class Adapter:
    """A session for each user, which grows with the run."""

    def __init__(self, side: str, backend: str, port: int, connections: int, directory: str) -> None:
        self._side = side
        self._backend = backend
        self._port = port
        self._connections = connections
        self._path = Path(directory) / "sessions.sqlite"
        self._sessions: list[Any] = []
        self._texts = ChangingTexts()

    async def fill(self, users: int, snapshot: str) -> None:
        self._texts = ChangingTexts(len(snapshot))
        make = self._maker()
        self._sessions = [make(f"user-{user}") for user in range(users)]
        await closed_loop(self._add, FILLING_TASKS)(range(users))
        (item,) = await self._sessions[-1].get_items()
        assert len(item["content"]) == len(snapshot)

    def _maker(self) -> Any:
        if self._side == "ours":
            url = f"redis://127.0.0.1:{self._port}" if self._backend == "Redis" else f"sqlite:///{self._path}"
            conversations = create_conversation_store(url, message_type=dict[str, Any])
            return AgentSessions(conversations, TenantCtx.new("dev", "acme")).session
        if self._backend == "Redis":
            from agents.extensions.memory import RedisSession  # noqa: PLC0415  # the side that needs it
            from redis.asyncio import Redis  # noqa: PLC0415  # the side that needs it

            client = Redis(host="127.0.0.1", port=self._port, max_connections=self._connections)
            return lambda name: RedisSession(name, redis_client=client)
        from .durable_sqlite import DurableSQLiteSession  # noqa: PLC0415  # the side that needs it

        return lambda name: DurableSQLiteSession(name, self._path)

    def operations(self) -> Mapping[str, PeerCall]:
        return {"write": (self._add, None), "read": (self._get, None)}

    async def _add(self, user: int) -> None:
        await self._sessions[user].add_items([{"role": "user", "content": self._texts.next()}])

    async def _get(self, user: int) -> None:
        await self._sessions[user].get_items(10)
