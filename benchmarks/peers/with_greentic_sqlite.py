"""Adapter of our stores on SQLite, in a process of its own as the peers are; and a bare INSERT.

The text of a session or message changes with every call.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.messages import PARTITION
from benchmarks.harness.population import PreparedWait, make_data, prepare_wait
from benchmarks.harness.texts import ChangingTexts
from greentic_session import create_session_store
from greentic_session.conversation import Message, create_conversation_store

from .worker import FILLING_TASKS, PeerCall

__all__ = ["Adapter"]


class Adapter:
    """`SQLiteSessionStore` and `SQLiteConversationStore` with their defaults, on one file.

    The bare INSERT has a file, a connection and a thread of its own.
    """

    def __init__(self, directory: str) -> None:
        url = f"sqlite:///{directory}/greentic.sqlite"
        self._store = create_session_store(url)
        self._conversations = create_conversation_store(url)
        self._bare = sqlite3.connect(
            Path(directory) / "bare.sqlite", isolation_level=None, check_same_thread=False, timeout=60
        )
        self._thread = ThreadPoolExecutor(1)
        self._texts = ChangingTexts()
        self._waits: list[PreparedWait] = []
        self._ids: list[str] = []

    async def fill(self, users: int, snapshot: str) -> None:
        self._texts = ChangingTexts(len(snapshot))
        assert self._bare.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        self._bare.execute("PRAGMA synchronous=FULL")
        self._bare.execute("CREATE TABLE wait (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
        self._waits = [prepare_wait(user, "") for user in range(users)]
        self._ids = [f"conversation-{user}" for user in range(users)]
        for id in self._ids:
            await self._conversations.create(PARTITION, id=id)
        for call in (self._register, self._insert, self._append):
            await closed_loop(call, FILLING_TASKS)(range(users))
        ctx, name, scope, *_ = self._waits[-1]
        found = await self._store.find_wait(ctx, name, scope)
        assert found is not None
        assert len(found.data.context_json) == len(snapshot)

    def operations(self) -> Mapping[str, PeerCall]:
        return {
            "register_wait": (self._register, None),
            "find_wait": (self._find, None),
            "insert": (self._insert, None),
            "append": (self._append, None),
        }

    async def _register(self, user: int) -> None:
        ctx, name, scope, key, _ = self._waits[user]
        await self._store.register_wait(ctx, name, scope, key, make_data(ctx, self._texts.next()))

    async def _find(self, user: int) -> None:
        ctx, name, scope, *_ = self._waits[user]
        await self._store.find_wait(ctx, name, scope)

    async def _append(self, user: int) -> None:
        await self._conversations.append(PARTITION, self._ids[user], Message.user(self._texts.next()))

    async def _insert(self, user: int) -> None:
        values = (self._waits[user].key, self._texts.next())
        await asyncio.get_running_loop().run_in_executor(self._thread, self._insert_now, values)

    def _insert_now(self, values: tuple[str, str]) -> None:
        self._bare.execute("BEGIN IMMEDIATE")
        self._bare.execute("INSERT OR REPLACE INTO wait VALUES (?, ?)", values)
        self._bare.execute("COMMIT")
