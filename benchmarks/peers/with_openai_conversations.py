"""Adapter of openai-agents' RedisSession and SQLiteSession.

There is a session object for each conversation, and a call adds one item.
"""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory import RedisSession
from redis.asyncio import Redis

from benchmarks.harness.measuring import closed_loop

from .durable_sqlite import DurableSQLiteSession, check_durable
from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]


class Adapter:
    """Sessions that begin empty and grow with the run, as our conversations do."""

    def __init__(self, port: int, connections: int, directory: str) -> None:
        self._client = Redis(host="127.0.0.1", port=port, max_connections=connections)
        self._database = Path(directory) / "openai-agents.sqlite"
        self._sessions: dict[str, list[Any]] = {}
        self._items: list[Any] = []

    async def fill(self, users: int, snapshot: str) -> None:
        self._items = [json.loads(snapshot)]
        names = [f"conversation-{user}" for user in range(users)]
        self._sessions = {
            "Redis": [RedisSession(name, redis_client=self._client) for name in names],
            "files": [DurableSQLiteSession(name, self._database) for name in names],
            "SQLite": [DurableSQLiteSession(f"{name}-again", self._database) for name in names],
            "memory": [SQLiteSession(name) for name in names],
        }
        for kind, sessions in self._sessions.items():
            await closed_loop(self._adding(sessions), FILLING_TASKS)(range(users))
            assert await sessions[-1].get_items() == self._items, kind
        check_durable(self._sessions["files"][0], self._database)

    def operations(self) -> Mapping[str, PeerCall]:
        return {kind: (self._adding(sessions), None) for kind, sessions in self._sessions.items()}

    def _adding(self, sessions: Sequence[Any]) -> Any:
        async def add(user: int) -> None:
            await sessions[user].add_items(self._items)

        return add
