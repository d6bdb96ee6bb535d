"""Conversations in dicts, under one lock."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from greentic_session._expiry.expiring import NEVER_ENDS, Expiring, Timer
from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.backends.memory.recency import Recency
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Expected, Header, Lifetime, changed_header, replacing
from greentic_session.conversation.moments import as_datetime, later
from greentic_session.conversation.rules import absent, check_schema
from greentic_session.tenancy import Partition

__all__ = ["MemoryConversationBackend"]

_STEP: Final = 256
"""How many conversations a purge removes before it lets others run."""


class Entry:
    """One conversation.

    Its time of change is `updated_at`, not the header's: an append makes no new header.
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


class Shelf:
    """The conversations of one partition."""

    __slots__ = ("entries", "recency")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.recency: Recency = Recency()


class MemoryConversationBackend(Expiring[Entry], ConversationBackend):
    """Conversations in dicts.

    A shelf holds its entries twice, by id and by recency; whoever drops one drops both.
    """

    system = "memory"

    def __init__(self, timer: Timer) -> None:
        super().__init__(timer)
        self.shelves: dict[Partition, Shelf] = {}

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        texts = list(messages)
        with self._lock:
            self.check_open()
            now = self.timer()
            entry = self._peek(partition, id, now)
            header = replacing(None if entry is None else _header(entry), header, expected, id)
            if entry is None:
                self._drop(self._at(partition, id))  # one that has expired
                entry = Entry(partition, id, header, texts)
                shelf = self.shelves.setdefault(partition, Shelf())
                shelf.entries[id] = entry
                shelf.recency.add(header.updated_at, id)
                self._set_lifetime(entry, life.ttl_ms, now)
            else:
                entry.header, entry.messages = header, texts
                self._moved(entry, header.updated_at)
                self._used(entry, life, now)
            return header

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        with self._lock:
            entry = self._use(partition, id, life)
            return _header(entry), entry.messages.copy()

    async def delete(self, partition: Partition, id: str) -> None:
        with self._lock:
            entry = self._peek(partition, id, self.timer())
            if entry is None:
                raise absent(id)
            self._drop(entry)

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        with self._lock:
            entry = self._use(partition, id, life)
            if messages:
                entry.messages.extend(messages)
                self._moved(entry, later(now, entry.updated_at))
            return len(entry.messages)

    async def messages(self, partition: Partition, id: str, last: int | None, life: Lifetime) -> tuple[int, list[bytes]]:
        with self._lock:
            messages = self._use(partition, id, life).messages
            count = len(messages)
            return count, messages[0 if last is None else max(count - last, 0) :]

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        with self._lock:
            entry = self._readable(partition, id)
            entry.header = changed_header(_header(entry), change, now)
            self._moved(entry, entry.header.updated_at)
            self._used(entry, life, self.timer())

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        found: list[ConversationSummary] = []
        with self._lock:
            now = self.timer()
            if after is not None and since is None:
                entry = self._peek(partition, after, now)
                if entry is None:
                    raise absent(after)
                since = entry.updated_at
            shelf = self.shelves.get(partition)
            if shelf is not None and limit != 0:
                for id in shelf.recency.after(since, after or ""):
                    entry = shelf.entries[id]
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
                partition for partition in self.shelves if partition[:2] == (env, tenant) and team in (None, partition[2])
            ]
        for partition in partitions:
            async for step in self._purging(partition):
                yield step

    async def _purging(self, partition: Partition) -> AsyncGenerator[Step, None]:
        with self._lock:
            shelf = self.shelves.get(partition)
            entries = [] if shelf is None else list(shelf.entries.values())
        for start in range(0, len(entries), _STEP):
            removed = 0
            with self._lock:
                self.check_open()
                now = self.timer()
                for entry in entries[start : start + _STEP]:
                    removed += entry.end > now and self._drop(entry)
            await checkpoint()
            yield Step(len(entries[start : start + _STEP]), removed)

    async def health(self) -> None:
        pass

    async def aclose(self) -> None:
        with self._lock:
            self.closed = True
            self.shelves.clear()
            self._stop_expiring()

    # -- below: with the lock held

    def _at(self, partition: Partition, id: str) -> Entry | None:
        shelf = self.shelves.get(partition)
        return None if shelf is None else shelf.entries.get(id)

    def _peek(self, partition: Partition, id: str, now: float) -> Entry | None:
        entry = self._at(partition, id)
        return entry if entry is not None and entry.end > now else None

    def _readable(self, partition: Partition, id: str) -> Entry:
        entry = self._peek(partition, id, self.timer())
        if entry is None:
            self.check_open()  # closed meanwhile, by another thread: nothing is there
            raise absent(id)
        check_schema(entry.header.schema_version, id)
        return entry

    def _use(self, partition: Partition, id: str, life: Lifetime) -> Entry:
        entry = self._readable(partition, id)
        self._used(entry, life, self.timer())
        return entry

    def _used(self, entry: Entry, life: Lifetime, now: float) -> None:
        if life.again_ms is not None:
            self._set_lifetime(entry, life.again_ms, now)

    def _moved(self, entry: Entry, moment: int) -> None:
        recency = self.shelves[entry.partition].recency
        recency.discard(entry.updated_at, entry.id)
        recency.add(moment, entry.id)
        entry.updated_at = moment

    def _drop(self, entry: Entry | None) -> bool:
        if entry is None or self._at(entry.partition, entry.id) is not entry:
            return False
        shelf = self.shelves[entry.partition]
        del shelf.entries[entry.id]
        shelf.recency.discard(entry.updated_at, entry.id)
        if not shelf.entries:
            del self.shelves[entry.partition]
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
