"""Conversation store on a storage of your own, behind an adapter with three methods.

An adapter stores whole conversations as plain JSON, by name. So every write loads one and saves it,
under a lock in this process; the outcome of simultaneous writes of several processes depends on the
adapter.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias, TypeVar, Unpack, overload, runtime_checkable
from weakref import WeakValueDictionary

import anyio
import msgspec
from msgspec.structs import replace

from greentic_session._expiry.expiring import Timer
from greentic_session._json import codec
from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.envelope import read_envelope, write_envelope
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Revision, Stored, Tail
from greentic_session.conversation.message import Message
from greentic_session.conversation.moments import as_datetime, as_moment, later
from greentic_session.conversation.options import StoreOptions
from greentic_session.conversation.rules import absent, check_conversation_id, corrupt, warn_skipped
from greentic_session.conversation.store import ConversationStore
from greentic_session.conversation.transitions import changed_header, end_of_edit, replacing
from greentic_session.errors import (
    CorruptSessionError,
    GreenticError,
    InternalError,
    InvalidInputError,
    OperationTimeoutError,
    SchemaVersionError,
    UnavailableError,
)
from greentic_session.tenancy import Partition

__all__ = ["AdapterConversationStore", "PersistenceAdapter"]

T = TypeVar("T")
M = TypeVar("M")

_EXPIRY: Final = "expires_at_ms"
_TOMBSTONE: Final = {"deleted": True}

_Stored: TypeAlias = tuple[Header, list[bytes], int | None]
"""Header, messages, and expiry in milliseconds since the Unix epoch; None for never."""


@runtime_checkable
class PersistenceAdapter(Protocol):
    """Interface to a storage of your own.

    Its errors are raised as UnavailableError, OperationTimeoutError or InternalError.

    An adapter may have a fourth method, ``async delete_session(id)``. Without it a deleted
    conversation is overwritten with ``{"deleted": true}``.
    """

    async def save_session(self, id: str, data: dict[str, Any]) -> None:
        """Store `data` under `id`; replace the old value.

        Args:
            id: ``env:tenant:team:conversation``; no team is ``-``. The last part is any text.
            data: Plain JSON: dicts, lists, texts, numbers, true, false and null. The store does not
                change it later.
        """
        ...

    async def load_session(self, id: str) -> dict[str, Any] | None:
        """Return the data under `id`; None without data."""
        ...

    async def list_sessions(self) -> Iterable[str]:
        """Return all ids with data."""
        ...


class AdapterConversationStore(ConversationStore[M]):
    """Conversation store on a `PersistenceAdapter`.

    Simultaneous writes of one process lose nothing, if they use the same store in one event loop.
    Every operation loads a whole conversation, and every write saves it as a whole; `list` and
    `purge` load every conversation of the partition, and erase expired ones.

    Args:
        adapter: The storage. The store does not close it.
        message_type: The type of messages; `Message` by default.
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
        options: The options of every `ConversationStore`: `ttl`, `sliding`, `max_message_bytes`,
            `clock`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: `adapter` lacks a method, or an option has a wrong type.
    """

    @overload
    def __init__(
        self: "AdapterConversationStore[Message]",
        adapter: PersistenceAdapter,
        *,
        timer: Timer = ...,
        **options: Unpack[StoreOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        adapter: PersistenceAdapter,
        *,
        message_type: type[M],
        timer: Timer = ...,
        **options: Unpack[StoreOptions],
    ) -> None: ...

    @overload
    def __init__(
        self, adapter: PersistenceAdapter, *, message_type: Any, timer: Timer = ..., **options: Unpack[StoreOptions]
    ) -> None: ...

    def __init__(
        self,
        adapter: PersistenceAdapter,
        *,
        message_type: Any = Message,
        timer: Timer = time.time,
        **options: Unpack[StoreOptions],
    ) -> None:
        if not isinstance(adapter, PersistenceAdapter):
            raise TypeError(f"adapter must have the methods of a PersistenceAdapter, which {type(adapter).__name__} has not")
        super().__init__(_AdapterBackend(adapter, timer), message_type=message_type, **options)


class _AdapterBackend(ConversationBackend):
    """Backend that stores each conversation as one JSON value."""

    system = "adapter"

    def __init__(self, adapter: PersistenceAdapter, timer: Timer) -> None:
        self._adapter = adapter
        self._timer = timer
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        name = _name(partition, id)
        async with self._lock(name):
            try:
                stored = await self._find(name, id)
            except (CorruptSessionError, SchemaVersionError):
                if expected is not Stored.ANYTHING:
                    raise
                stored = None
            header = replacing(None if stored is None else stored[0], header, expected, id)
            if stored is None:
                expiry = self._expiry(life.ttl_ms)
            else:
                expiry = stored[2] if life.again_ms is None else self._expiry(life.again_ms)
            await self._write(name, id, (header, list(messages), expiry))
        return header

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        header, messages, _ = await self._use(partition, id, life)
        return header, messages

    async def delete(self, partition: Partition, id: str) -> None:
        name = _name(partition, id)
        async with self._lock(name):
            try:
                stored = await self._find(name, id)
            except (CorruptSessionError, SchemaVersionError):
                pass
            else:
                if stored is None:
                    raise absent(id)
            await self._erase(name)

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        if not messages:
            return len((await self._use(partition, id, life))[1])
        name = _name(partition, id)
        async with self._lock(name):
            header, there, expiry = await self._get(name, id)
            header = replace(header, updated_at=later(now, header.updated_at))
            there.extend(messages)
            await self._write(name, id, (header, there, self._renewed_expiry(expiry, life)))
        return len(there)

    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        header, messages, _ = await self._use(partition, id, life)
        return Tail(header.birth, len(messages), messages[0 if last is None else max(len(messages) - last, 0) :])

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        name = _name(partition, id)
        async with self._lock(name):
            header, messages, expiry = await self._get(name, id)
            messages[edit.first : end_of_edit(header.birth, len(messages), edit, id)] = edit.messages
            header = replace(header, birth=edit.birth, updated_at=later(now, header.updated_at))
            await self._write(name, id, (header, messages, self._renewed_expiry(expiry, life)))
        return len(messages)

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        name = _name(partition, id)
        async with self._lock(name):
            header, messages, expiry = await self._get(name, id)
            header = changed_header(header, change, now)
            await self._write(name, id, (header, messages, self._renewed_expiry(expiry, life)))

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        found: list[ConversationSummary] = []
        skipped = 0
        for name, id in await self._names(partition):
            async with self._lock(name):
                try:
                    stored = await self._find(name, id, erase=True)
                except (CorruptSessionError, SchemaVersionError):
                    skipped += 1
                    continue
            if stored is not None:
                header, messages, _ = stored
                created, updated = as_datetime(header.created_at), as_datetime(header.updated_at)
                found.append(ConversationSummary(id, created, updated, len(messages)))
        warn_skipped("conversations of a partition", skipped)
        found.sort(key=lambda summary: _sort_key(as_moment(summary.updated_at, "updated_at"), summary.id))
        if after is not None:
            if since is None:
                since = next((as_moment(summary.updated_at, "updated_at") for summary in found if summary.id == after), None)
            if since is None:
                raise absent(after)
            start = _sort_key(since, after)
            found = [s for s in found if _sort_key(as_moment(s.updated_at, "updated_at"), s.id) > start]
        return found[:limit]

    async def purge(self, partition: Partition) -> int:
        removed = 0
        for name, id in await self._names(partition):
            async with self._lock(name):
                try:
                    there = await self._find(name, id, erase=True) is not None
                except (CorruptSessionError, SchemaVersionError):
                    there = True
                if there:
                    await self._erase(name)
                    removed += 1
        return removed

    async def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        names = [name.split(":", 3) for name in await _call(self._list)]
        yield [((env, tenant, None if team == "-" else team), id) for env, tenant, team, id in filter(_is_whole, names)]

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        try:
            stored = await self._find(_name(partition, id), id)
        except (CorruptSessionError, SchemaVersionError):
            return Glimpse(Revision("", 0), None, time.monotonic())  # `load` raises the error
        if stored is None:
            return None
        header, _, expiry = stored
        left = None if expiry is None else expiry - round(self._timer() * 1000)
        return Glimpse(header.revision, left, time.monotonic())

    async def health(self) -> None:
        await _call(self._adapter.load_session, ":health")  # no conversation has this name

    async def aclose(self) -> None:
        self.closed = True

    # -- below: calls of the adapter

    def _lock(self, name: str) -> anyio.Lock:
        # A lock lives while a call holds it or waits for it.
        return self._locks.setdefault(name, anyio.Lock())

    async def _names(self, partition: Partition) -> list[tuple[str, str]]:
        """Return the names of all conversations of a partition, with their ids."""
        names = await _call(self._list)
        prefix = _name(partition, "")
        found: list[tuple[str, str]] = []
        for name in names:
            try:
                if name.startswith(prefix):
                    found.append((name, check_conversation_id(name.removeprefix(prefix))))
            except InvalidInputError:
                pass  # data of another program
        return found

    async def _list(self) -> list[str]:
        return [str.__str__(name) for name in dict.fromkeys(await self._adapter.list_sessions())]

    async def _find(self, name: str, id: str, *, erase: bool = False) -> _Stored | None:
        """Return a conversation; None if absent or expired. With `erase` (lock held) erase that."""
        data: Any = await _call(self._adapter.load_session, name)
        if data is None or data == _TOMBSTONE:
            return None
        if not isinstance(data, dict):
            raise corrupt(id)
        expiry = data.get(_EXPIRY)
        if isinstance(expiry, int) and expiry <= round(self._timer() * 1000):
            if erase:
                with suppress(GreenticError):  # it is absent either way, and the next call tries again
                    await self._erase(name)
            return None
        data = {key: value for key, value in data.items() if key != _EXPIRY}
        try:
            text = codec.encode(codec.SNAPSHOT_ENCODER, data, "conversation")
        except (InvalidInputError, TypeError) as error:
            raise corrupt(id) from error
        return *read_envelope(text, id), expiry if isinstance(expiry, int) else None

    async def _get(self, name: str, id: str) -> _Stored:
        stored = await self._find(name, id)
        if stored is None:
            raise absent(id)
        return stored

    async def _use(self, partition: Partition, id: str, life: Lifetime) -> _Stored:
        name = _name(partition, id)
        if life.again_ms is None:
            return await self._get(name, id)
        async with self._lock(name):
            header, messages, expiry = await self._get(name, id)
            stored = header, messages, self._renewed_expiry(expiry, life)
            await self._write(name, id, stored)
            return stored

    async def _write(self, name: str, id: str, stored: _Stored) -> None:
        header, messages, expiry = stored
        texts = [message or b"null" for message in messages]  # an imported one that cannot be read has no text
        data: dict[str, Any] = msgspec.json.decode(write_envelope(header, texts, id))
        if expiry is not None:
            data[_EXPIRY] = expiry
        await _call(self._adapter.save_session, name, data)

    async def _erase(self, name: str) -> None:
        delete = getattr(self._adapter, "delete_session", None)
        if delete is None:
            await _call(self._adapter.save_session, name, dict(_TOMBSTONE))
        else:
            await _call(delete, name)

    def _expiry(self, ttl_ms: int | None) -> int | None:
        return None if ttl_ms is None else round(self._timer() * 1000) + ttl_ms

    def _renewed_expiry(self, expiry: int | None, life: Lifetime) -> int | None:
        return expiry if life.again_ms is None else self._expiry(life.again_ms)


def _name(partition: Partition, id: str) -> str:
    """Return the name of a conversation; unique, because env, tenant and team hold no colon."""
    env, tenant, team = partition
    return f"{env}:{tenant}:{team or '-'}:{id}"


def _is_whole(parts: list[str]) -> bool:
    """Return whether a name has the parts of a conversation's; else it is another program's."""
    return len(parts) == 4 and all(parts)


def _sort_key(moment: int, id: str) -> tuple[int, str]:
    return -moment, id


async def _call(method: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Call the adapter and translate its errors, also the error of a method that is not async."""
    try:
        return await method(*arguments)
    except GreenticError:
        raise
    except TimeoutError as error:
        raise OperationTimeoutError("the persistence adapter did not answer in time") from error
    except OSError as error:
        raise UnavailableError("the persistence adapter cannot reach its storage") from error
    except Exception as error:
        raise InternalError("the persistence adapter failed") from error
