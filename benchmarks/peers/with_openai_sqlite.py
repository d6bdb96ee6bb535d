"""Adapter of openai-agents' SQLiteSession in one file. An item is a message with a text.

There is a session object for each user, and all of them share the file.
"""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts

from .durable_sqlite import DurableSQLiteSession, check_durable
from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]


class Adapter:
    """`SQLiteSession`.

    Where one item is read, its session is cleared before it is stored again: otherwise it would
    grow with the run. Sessions of conversations grow, as ours do.
    """

    def __init__(self, directory: str) -> None:
        self._database = Path(directory) / "openai-agents.sqlite"
        self._sessions: list[Any] = []
        self._conversations: list[Any] = []
        self._texts = ChangingTexts()

    async def fill(self, users: int, snapshot: str) -> None:
        self._texts = ChangingTexts(len(snapshot))
        self._sessions = [DurableSQLiteSession(f"user-{user}", self._database) for user in range(users)]
        self._conversations = [DurableSQLiteSession(f"conversation-{user}", self._database) for user in range(users)]
        await closed_loop(self._add, FILLING_TASKS)(range(users))
        await closed_loop(self._append, FILLING_TASKS)(range(users))
        (item,) = await self._sessions[-1].get_items()
        assert len(item["content"]) == len(snapshot)
        check_durable(self._sessions[0], self._database)

    def operations(self) -> Mapping[str, PeerCall]:
        return {
            "register_wait": (self._add, self._clear),
            "find_wait": (self._get, None),
            "append": (self._append, None),
        }

    async def _add(self, user: int) -> None:
        await self._sessions[user].add_items([{"role": "user", "content": self._texts.next()}])

    async def _clear(self, user: int) -> None:
        await self._sessions[user].clear_session()

    async def _get(self, user: int) -> None:
        await self._sessions[user].get_items()

    async def _append(self, user: int) -> None:
        await self._conversations[user].add_items([{"role": "user", "content": self._texts.next()}])
