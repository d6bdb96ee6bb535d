"""A conversation store and its backend that tell what they are asked for, by the names of the store's operations."""

from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Expected, Header, Lifetime, Stored
from greentic_session.conversation.rules import Room
from greentic_session.conversation.store import ConversationStore

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

    def _in_room(self, name: str, room: Room) -> Operation:
        return self._recorder.operation(name, room[0], room[1])

    async def put(
        self, room: Room, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        # To save a new conversation without messages is to create it; nobody could tell the two apart.
        name = "create" if expected is Stored.NOTHING and not messages else "save"
        with self._in_room(name, room):
            return await self._inner.put(room, id, header, messages, expected, life)

    async def load(self, room: Room, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        with self._in_room("load", room):
            return await self._inner.load(room, id, life)

    async def delete(self, room: Room, id: str) -> None:
        with self._in_room("delete", room):
            await self._inner.delete(room, id)

    async def append(self, room: Room, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        with self._in_room("append", room):
            return await self._inner.append(room, id, messages, now, life)

    async def messages(self, room: Room, id: str, last: int | None, life: Lifetime) -> tuple[int, list[bytes]]:
        with self._in_room("messages", room):
            return await self._inner.messages(room, id, last, life)

    async def update(self, room: Room, id: str, change: Change, now: int, life: Lifetime) -> None:
        with self._in_room("update_state", room):
            await self._inner.update(room, id, change, now, life)

    async def recent(self, room: Room, limit: int | None, after: str | None, since: int | None) -> list[ConversationSummary]:
        with self._in_room("list", room):
            return await self._inner.recent(room, limit, after, since)

    async def purge(self, room: Room) -> int:
        with self._in_room("purge", room):
            return await self._inner.purge(room)

    def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        return self._inner.purging(env, tenant, team)  # steps of administration are not counted
