"""Backend for conversations in a database: every operation is one step in its writer or reader."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from greentic_session._sqlite.database import Database
from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Tail
from greentic_session.tenancy import Partition

from .removal import free_messages
from .tables import Tables, key_of

__all__ = ["SQLiteConversationBackend"]

T = TypeVar("T")

_MAX_SHORT_READ: Final = 1000
"""The most messages or summaries that are read in the reader that all calls share."""
_KEPT_LIFETIME: Final = Lifetime()
_PURGE_BATCH: Final = 50
"""How many conversations one step of a purge removes."""
_WALK_BATCH: Final = 500
"""How many conversations one step of a walk names."""


class SQLiteConversationBackend(ConversationBackend):
    """Backend for conversations in one namespace of a database.

    Short reads share one reader. Whatever reads more than 1,000 messages or summaries has a
    connection of its own, so that the others do not wait for it.

    Args:
        database: The database; the backend closes it.
        tables: The conversations of the namespace.
    """

    system = "sqlite"

    def __init__(self, database: Database, tables: Tables) -> None:
        self.database = database
        self._tables = tables

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        work = partial(
            self._tables.put,
            partition=partition,
            id=id,
            header=header,
            messages=tuple(messages),
            expected=expected,
            life=life,
        )
        return await self.database.write(work)

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        return await self._read(self._tables.load, partition, id, life)

    async def delete(self, partition: Partition, id: str) -> None:
        await self._free(await self.database.write(partial(self._tables.delete, partition=partition, id=id)))

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        tables, texts = self._tables, tuple(messages)
        return await self.database.write(lambda connection: tables.append(connection, partition, id, texts, now, life))

    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        return await self._read(partial(self._tables.messages, last=last), partition, id, life)

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        work = partial(self._tables.edit, partition=partition, id=id, edit=edit, now=now, life=life)
        count, garbage = await self.database.write(work)
        await self._free(garbage)
        return count

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        await self.database.write(
            partial(self._tables.update, partition=partition, id=id, change=change, now=now, life=life)
        )

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        most = -1 if limit is None else limit
        work = partial(self._tables.recent, partition=partition, limit=most, after=after, since=since)
        read = self.database.read if 0 <= most <= _MAX_SHORT_READ else self.database.read_apart
        return await read(work)

    async def purge(self, partition: Partition) -> int:
        return sum([step.removed async for step in self._purging([key_of(partition)])])

    async def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        work = partial(self._tables.partition_keys, env=env, tenant=tenant, team=team)
        async for step in self._purging(await self.database.read(work)):
            yield step

    async def _purging(self, partition_keys: Sequence[str]) -> AsyncGenerator[Step, None]:
        last = await self.database.read(self._tables.last_number)
        for key in partition_keys:
            work = partial(self._tables.remove_some, partition_key=key, last_number=last, most=_PURGE_BATCH)
            found = _PURGE_BATCH
            while found == _PURGE_BATCH:
                self.check_open()
                found, live, garbage = await self.database.write(work)
                await self._free(garbage)
                yield Step(found, live)

    async def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        after = 0
        while True:
            found, after = await self.database.read(partial(self._tables.names, after=after, most=_WALK_BATCH))
            if not found:
                return
            yield found

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        found = await self.database.read(partial(self._tables.peek, partition=partition, id=id))
        return None if found is None else Glimpse(*found, time.monotonic())

    async def _free(self, garbage: Sequence[int]) -> None:
        """Delete the messages of removed conversations; if that is cut off, the upkeep does it."""
        for number in garbage:
            while await self.database.write(partial(free_messages, number=number)):
                self.check_open()

    async def health(self) -> None:
        await self.database.read(self._tables.last_number)

    async def aclose(self) -> None:
        self.closed = True
        await self.database.aclose()

    async def _read(self, work: Callable[..., T | None], partition: Partition, id: str, life: Lifetime) -> T:
        """Run a read, which returns None where it would be long; to renew a lifetime is a write."""
        short = partial(work, partition=partition, id=id, life=life, most=_MAX_SHORT_READ)
        sliding = life.again_ms is not None
        found = await (self.database.write(short) if sliding else self.database.read(short))
        if found is None:
            if sliding:
                await self.database.write(partial(self._tables.renew, partition=partition, id=id, life=life))
            found = await self.database.read_apart(partial(work, partition=partition, id=id, life=_KEPT_LIFETIME))
            assert found is not None  # without a limit
        return found
