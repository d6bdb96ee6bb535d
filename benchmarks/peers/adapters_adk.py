"""Session services of google-adk: ours, SqliteSessionService and DatabaseSessionService.

A session has events with a text, and its state the number of them.
"""

# pyright: reportMissingImports=false
# This module runs in the environment of its peer only.

import asyncio
import contextlib
import sqlite3
from typing import Any

from google.adk.events import Event, EventActions
from google.genai import types

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.texts import ChangingTexts
from greentic_session import TenantCtx
from greentic_session.conversation import create_conversation_store
from greentic_session.integrations.google_adk import ConversationSessionService

from .adapters import FrameworkAdapter
from .worker import FILLING_TASKS

__all__ = ["Adapter"]

_APP = "desk"
_SYNCHRONOUS_FULL = 2
"""Number of ``PRAGMA synchronous=FULL``."""


class Adapter(FrameworkAdapter):
    """A session for each user, which grows with the run.

    Writers of the framework's services take turns here. Each of them reads in a transaction before
    it writes: where two meet, SQLite says that the database is locked, and the event is lost.
    """

    async def fill(self, users: int, snapshot: str) -> None:
        self.texts = ChangingTexts(len(snapshot))
        self._turn = contextlib.nullcontext() if self.is_ours else asyncio.Lock()
        self._service = self._make()
        self._sessions: list[Any] = []
        for user in range(users):
            self._sessions.append(await self._service.create_session(app_name=_APP, user_id=f"user-{user}", session_id="s"))
        await closed_loop(self.write, FILLING_TASKS)(range(users))
        found = await self._service.get_session(app_name=_APP, user_id="user-0", session_id="s")
        assert (len(found.events[0].content.parts[0].text), found.state) == (len(snapshot), {"events": 1})

    def _make(self) -> Any:
        if self.is_ours:
            conversations = create_conversation_store(self.url, message_type=dict[str, Any])
            return ConversationSessionService(conversations, TenantCtx.new("dev", "acme"))
        # Both of the framework's write to the file as SQLite does by default, unless it says WAL.
        with sqlite3.connect(self.path) as connection:
            assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (_SYNCHRONOUS_FULL,)
        connection.close()
        if self.store == "SqliteSessionService":
            from google.adk.sessions.sqlite_session_service import (  # noqa: PLC0415  # the side that needs it
                SqliteSessionService,
            )

            return SqliteSessionService(str(self.path))
        from google.adk.sessions import DatabaseSessionService  # noqa: PLC0415  # the side that needs it

        return DatabaseSessionService(f"sqlite+aiosqlite:///{self.path}")

    async def write(self, user: int) -> None:
        session = self._sessions[user]
        content = types.Content(role="user", parts=[types.Part(text=self.texts.next())])
        delta: dict[str, object] = {"events": len(session.events) + 1}
        event = Event(author="user", content=content, actions=EventActions(state_delta=delta))
        async with self._turn:
            await self._service.append_event(session, event)

    async def read(self, user: int) -> None:
        await self._service.get_session(app_name=_APP, user_id=f"user-{user}", session_id="s")
