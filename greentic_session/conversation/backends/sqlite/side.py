"""A database as one side of a copy of conversations."""

import sqlite3
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from greentic_session._expiry.expiring import Timer
from greentic_session._sqlite.database import Database
from greentic_session.conversation.copying import ConversationSide, Glimpse
from greentic_session.tenancy import Partition

from .backend import SQLiteConversationBackend
from .tables import Tables

__all__ = ["SQLiteConversationSide"]

_STEP_ROWS: Final = 500
"""How many conversations one step of a walk names."""


class SQLiteConversationSide(ConversationSide):
    """The conversations of one namespace of a database.

    Args:
        database: The database, with the tables of conversations; whoever made it closes it.
        namespace: The namespace, as the store has it; None for the default.
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
    """

    def __init__(self, database: Database, namespace: str | None = None, timer: Timer = time.time) -> None:
        self._database = database
        self._tables = Tables(namespace or "", timer)
        self.backend = SQLiteConversationBackend(database, self._tables)

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        found = await self._database.read(partial(self._tables.peek, partition=partition, id=id))
        return None if found is None else Glimpse(*found, time.monotonic())

    async def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        """Yield the conversations of the namespace, some at a time; those made meanwhile, too."""
        after = 0
        while True:
            found, after = await self._database.read(partial(self._named, after=after))
            if not found:
                return
            yield found

    def _named(self, connection: sqlite3.Connection, after: int) -> tuple[list[tuple[Partition, str]], int]:
        return self._tables.names(connection, after, _STEP_ROWS)
