"""Sessions of openai-agents: ours, RedisSession and SQLiteSession. An item is a message."""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from typing import Any

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx
from greentic_session.conversation import create_conversation_store
from greentic_session.integrations.openai_agents import AgentSessions

from .adapters import FrameworkAdapter
from .worker import FILLING_TASKS

__all__ = ["Adapter"]


class Adapter(FrameworkAdapter):
    """A session for each user, which grows with the run."""

    async def fill(self, users: int, snapshot: str) -> None:
        self.texts = ChangingTexts(len(snapshot))
        make = self._maker()
        self._sessions = [make(f"user-{user}") for user in range(users)]
        await closed_loop(self.write, FILLING_TASKS)(range(users))
        (item,) = await self._sessions[-1].get_items()
        assert len(item["content"]) == len(snapshot)

    def _maker(self) -> Any:
        if self.is_ours:
            conversations = create_conversation_store(self.url, message_type=dict[str, Any])
            return AgentSessions(conversations, TenantCtx.new("dev", "acme")).session
        if self.backend == "Redis":
            from agents.extensions.memory import RedisSession  # noqa: PLC0415  # the side that needs it
            from redis.asyncio import Redis  # noqa: PLC0415  # the side that needs it

            client = Redis(host="127.0.0.1", port=self.port, max_connections=self.connections)
            return lambda name: RedisSession(name, redis_client=client)
        from .durable_sqlite import DurableSQLiteSession  # noqa: PLC0415  # the side that needs it

        return lambda name: DurableSQLiteSession(name, self.path)

    async def write(self, user: int) -> None:
        await self._sessions[user].add_items([{"role": "user", "content": self.texts.next()}])

    async def read(self, user: int) -> None:
        await self._sessions[user].get_items(10)
