"""A conversation store with spans and durations, named like the operations of the store."""

from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Stored, Tail
from greentic_session.conversation.store import ConversationStore
from greentic_session.tenancy import Partition

from .lifecycle import Instrumented
from .recorder import Operation, Recorder

__all__ = ["InstrumentedConversationBackend", "InstrumentedConversationStore"]

M = TypeVar("M")


class InstrumentedConversationStore(ConversationStore[M]):
    """The operations and options of another store, on its backend, with spans and durations.

    Args:
        store: What does the work.
        recorder: Whom to tell.
    """

    def __init__(self, store: ConversationStore[M], recorder: Recorder) -> None:
        self._take_over(store, InstrumentedConversationBackend(store.backend, recorder))
        self._store = store  # kept, as long as its backend is used


class InstrumentedConversationBackend(Instrumented[ConversationBackend], ConversationBackend):
    """Any `ConversationBackend`, with spans and durations.

    Args:
        backend: What does the work.
        recorder: Whom to tell.
    """

    def _in_partition(self, name: str, partition: Partition) -> Operation:
        return self._recorder.operation(name, partition[0], partition[1])

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        # To save a new conversation without messages is to create it; nobody could tell the two
        # apart.
        name = "create" if expected is Stored.NOTHING and not messages else "save"
        with self._in_partition(name, partition):
            return await self._inner.put(partition, id, header, messages, expected, life)

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        with self._in_partition("load", partition):
            return await self._inner.load(partition, id, life)

    async def delete(self, partition: Partition, id: str) -> None:
        with self._in_partition("delete", partition):
            await self._inner.delete(partition, id)

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        with self._in_partition("append", partition):
            return await self._inner.append(partition, id, messages, now, life)

    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        with self._in_partition("messages", partition):
            return await self._inner.messages(partition, id, last, life, fresh=fresh)

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        with self._in_partition(edit.operation, partition):
            return await self._inner.edit(partition, id, edit, now, life)

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        with self._in_partition("update_state", partition):
            await self._inner.update(partition, id, change, now, life)

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        with self._in_partition("list", partition):
            return await self._inner.recent(partition, limit, after, since)

    async def purge(self, partition: Partition) -> int:
        with self._in_partition("purge", partition):
            return await self._inner.purge(partition)

    def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        return self._inner.purging(env, tenant, team)  # steps of administration are not counted

    def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        return self._inner.walk()

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        return await self._inner.peek(partition, id)
