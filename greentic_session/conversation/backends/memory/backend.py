"""Backend for conversations in memory: dicts under one lock."""

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from greentic_session._expiry.expiring import NEVER_ENDS, Expiring, Timer
from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.backends.memory.recency import Recency
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Tail
from greentic_session.conversation.moments import as_datetime, later
from greentic_session.conversation.rules import absent, check_schema
from greentic_session.conversation.transitions import changed_header, end_of_edit, replacing
from greentic_session.tenancy import Partition

__all__ = ["MemoryConversationBackend"]

_PURGE_BATCH: Final = 256
"""How many conversations a purge removes before it yields to the event loop."""


class Entry:
    """One conversation.

    The time of its last change is `updated_at`, not that of the header: an append makes no header.
    """

    __slots__ = ("bucket", "end", "header", "id", "messages", "partition", "updated_at")

    def __init__(self, partition: Partition, id: str, header: Header, messages: list[bytes]) -> None:
        self.partition: Partition = partition
        self.id: str = id
        self.header: Header = header
        self.updated_at: int = header.updated_at
        self.messages: list[bytes] = messages
        self.end: float = NEVER_ENDS
        self.bucket: set[Entry] | None = None


class PartitionEntries:
    """The conversations of one partition."""

    __slots__ = ("entries", "recency")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.recency: Recency = Recency()


class MemoryConversationBackend(Expiring[Entry], ConversationBackend):
    """Backend for conversations in dicts.

    Each entry stands in two indexes of its partition: by id and by recency.
    """

    system = "memory"

    def __init__(self, timer: Timer) -> None:
        super().__init__(timer)
        self.partitions: dict[Partition, PartitionEntries] = {}

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        texts = list(messages)
        with self._lock:
            self.check_open()
            now = self.timer()
            entry = self._live_entry(partition, id, now)
            header = replacing(None if entry is None else _header(entry), header, expected, id)
            if entry is None:
                self._drop(self._entry(partition, id))  # an expired one
                entry = Entry(partition, id, header, texts)
                stored = self.partitions.setdefault(partition, PartitionEntries())
                stored.entries[id] = entry
                stored.recency.add(header.updated_at, id)
                self._set_lifetime(entry, life.ttl_ms, now)
            else:
                entry.header, entry.messages = header, texts
                self._set_updated_at(entry, header.updated_at)
                self._renew(entry, life, now)
            return header

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        with self._lock:
            entry = self._use(partition, id, life)
            return _header(entry), entry.messages.copy()

    async def delete(self, partition: Partition, id: str) -> None:
        with self._lock:
            entry = self._live_entry(partition, id, self.timer())
            if entry is None:
                raise absent(id)
            self._drop(entry)

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        with self._lock:
            entry = self._use(partition, id, life)
            if messages:
                entry.messages.extend(messages)
                self._set_updated_at(entry, later(now, entry.updated_at))
            return len(entry.messages)

    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        with self._lock:
            entry = self._use(partition, id, life)
            total = len(entry.messages)
            return Tail(entry.header.birth, total, entry.messages[0 if last is None else max(total - last, 0) :])

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        with self._lock:
            entry = self._readable_entry(partition, id)
            end = end_of_edit(entry.header.birth, len(entry.messages), edit, id)
            entry.messages[edit.first : end] = edit.messages
            entry.header = replace(entry.header, birth=edit.birth)
            self._set_updated_at(entry, later(now, entry.updated_at))
            self._renew(entry, life, self.timer())
            return len(entry.messages)

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        with self._lock:
            entry = self._readable_entry(partition, id)
            entry.header = changed_header(_header(entry), change, now)
            self._set_updated_at(entry, entry.header.updated_at)
            self._renew(entry, life, self.timer())

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        found: list[ConversationSummary] = []
        with self._lock:
            now = self.timer()
            if after is not None and since is None:
                entry = self._live_entry(partition, after, now)
                if entry is None:
                    raise absent(after)
                since = entry.updated_at
            stored = self.partitions.get(partition)
            if stored is not None and limit != 0:
                for id in stored.recency.after(since, after or ""):
                    entry = stored.entries[id]
                    if entry.end > now:
                        found.append(_summary(entry))
                        if len(found) == limit:
                            break
        return found

    async def purge(self, partition: Partition) -> int:
        return sum([step.removed async for step in self._purging(partition)])

    async def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        with self._lock:
            partitions = [
                partition for partition in self.partitions if partition[:2] == (env, tenant) and team in (None, partition[2])
            ]
        for partition in partitions:
            async for step in self._purging(partition):
                yield step

    async def _purging(self, partition: Partition) -> AsyncGenerator[Step, None]:
        with self._lock:
            stored = self.partitions.get(partition)
            entries = [] if stored is None else list(stored.entries.values())
        for start in range(0, len(entries), _PURGE_BATCH):
            removed = 0
            with self._lock:
                self.check_open()
                now = self.timer()
                for entry in entries[start : start + _PURGE_BATCH]:
                    removed += entry.end > now and self._drop(entry)
            await checkpoint()
            yield Step(len(entries[start : start + _PURGE_BATCH]), removed)

    async def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        with self._lock:
            partitions = list(self.partitions)
        for partition in partitions:
            with self._lock:
                self.check_open()
                stored = self.partitions.get(partition)
                names = [] if stored is None else [(partition, id) for id in stored.entries]
            await checkpoint()
            yield names

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        with self._lock:
            self.check_open()
            now = self.timer()
            entry = self._live_entry(partition, id, now)
            if entry is None:
                return None
            left = None if entry.end == NEVER_ENDS else round((entry.end - now) * 1000)
            return Glimpse(_header(entry).revision, left, time.monotonic())

    async def health(self) -> None:
        pass

    async def aclose(self) -> None:
        with self._lock:
            self.closed = True
            self.partitions.clear()
            self._stop_expiring()

    # -- below: with the lock held

    def _entry(self, partition: Partition, id: str) -> Entry | None:
        stored = self.partitions.get(partition)
        return None if stored is None else stored.entries.get(id)

    def _live_entry(self, partition: Partition, id: str, now: float) -> Entry | None:
        entry = self._entry(partition, id)
        return entry if entry is not None and entry.end > now else None

    def _readable_entry(self, partition: Partition, id: str) -> Entry:
        entry = self._live_entry(partition, id, self.timer())
        if entry is None:
            self.check_open()  # another thread may have closed the store
            raise absent(id)
        check_schema(entry.header.schema_version, id)
        return entry

    def _use(self, partition: Partition, id: str, life: Lifetime) -> Entry:
        entry = self._readable_entry(partition, id)
        self._renew(entry, life, self.timer())
        return entry

    def _renew(self, entry: Entry, life: Lifetime, now: float) -> None:
        if life.again_ms is not None:
            self._set_lifetime(entry, life.again_ms, now)

    def _set_updated_at(self, entry: Entry, moment: int) -> None:
        recency = self.partitions[entry.partition].recency
        recency.discard(entry.updated_at, entry.id)
        recency.add(moment, entry.id)
        entry.updated_at = moment

    def _drop(self, entry: Entry | None) -> bool:
        if entry is None or self._entry(entry.partition, entry.id) is not entry:
            return False
        stored = self.partitions[entry.partition]
        del stored.entries[entry.id]
        stored.recency.discard(entry.updated_at, entry.id)
        if not stored.entries:
            del self.partitions[entry.partition]
        if entry.bucket is not None:
            entry.bucket.discard(entry)
        return True


def _header(entry: Entry) -> Header:
    header = entry.header
    return header if header.updated_at == entry.updated_at else replace(header, updated_at=entry.updated_at)


def _summary(entry: Entry) -> ConversationSummary:
    return ConversationSummary(
        entry.id, as_datetime(entry.header.created_at), as_datetime(entry.updated_at), len(entry.messages)
    )
