"""Backend for conversations in Redis: every operation is one atomic step.

It is one script, or for most reads of messages a block of plain commands (see `plain_messages`).
The scripts decide all that depends on stored state. This module decodes their answers, and turns
outcomes into errors. `keys` describes the keys.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from msgspec.structs import replace

from greentic_session._redis.answers import number, reading_answers, texts
from greentic_session._redis.executor import Arg, Executor
from greentic_session._redis.scanning import stride, walk_servers
from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import MAX_COUNT, Change, Edit, Expected, Header, Lifetime, Revision, Stored, Tail
from greentic_session.conversation.moments import as_datetime
from greentic_session.conversation.rules import absent, check_schema, corrupt, warn_skipped
from greentic_session.conversation.transitions import changed_header, end_of_edit, replacing
from greentic_session.tenancy import Partition

from .fields import counters_of, fields_of, merged_of, read_counter, read_fields, removed_of
from .keys import Keys
from .scripts import Answer, Scripts

__all__ = ["RedisConversationBackend"]

_LIST_PAGE: Final = 500
"""How many conversations one step of a list reads; it takes the server some milliseconds."""
_PURGE_BATCH: Final = 100
"""How many conversations one step of a purge removes."""

_ABSENT: Final = -2
_FOR_EVER: Final = -1
"""Answers of PTTL."""
_MAX_DIGITS: Final = 17
"""Of a moment that a script accepts."""

_Cursor: TypeAlias = tuple[Arg, Arg]
"""A position in a partition's index: id and score of the last conversation that was read."""


@reading_answers
class RedisConversationBackend(ConversationBackend):
    """Backend for conversations in one namespace of one Redis.

    Args:
        client: Runs the scripts.
        keys: The key names of the namespace.
        reading: Runs reads that may be stale; `client` by default.
    """

    system = "redis"

    def __init__(self, client: Executor, keys: Keys, reading: Executor | None = None) -> None:
        self._client = client
        self._keys = keys
        self._reading = reading or client
        self._scripts = Scripts(client, keys)
        self._read_scripts = Scripts(self._reading, keys)

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        times = (header.created_at, header.updated_at)
        fields, wanted = fields_of(header), _expectation(expected)
        outcome, *more = await self._scripts.put(partition, id, times, fields, messages, wanted, life.ttl_ms, life.again_ms)
        if outcome == b"other":
            stored = Header(birth=more[0].decode("utf-8", "replace"), updated_at=int(more[1])) if more else None
            replacing(stored, header, expected, id)  # raises the error
        created_at, updated_at = _result(outcome, more, id)
        return replace(header, created_at=int(created_at), updated_at=int(updated_at))

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        outcome, *more = await self._scripts_for_reading(life).load(partition, id, life.again_ms)
        fields, messages = _result(outcome, more, id)
        return read_fields(fields, id), texts(messages)

    async def delete(self, partition: Partition, id: str) -> None:
        if not await self._scripts.delete(partition, id):
            raise absent(id)

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        outcome, *more = await self._scripts.append(partition, id, messages, now, life.again_ms)
        return number(_result(outcome, more, id)[0])

    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        scripts = self._scripts if fresh else self._scripts_for_reading(life)
        outcome, *more = await scripts.messages(partition, id, last, life.again_ms)
        total, birth, messages = _result(outcome, more, id)
        return Tail(birth.decode("utf-8", "replace"), number(total), texts(messages))

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        outcome, *more = await self._scripts.edit(partition, id, edit, now, life.again_ms)
        if outcome == b"other":
            end_of_edit(more[0].decode("utf-8", "replace"), number(more[1]), edit, id)  # raises the error
        return number(_result(outcome, more, id)[0])

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        counters = [((name, count), MAX_COUNT - count) for name, count in counters_of(change)]
        outcome, *more = await self._scripts.update(
            partition, id, counters, merged_of(change), removed_of(change), now, life.again_ms
        )
        if outcome == b"full":
            changed_header(read_counter(more[0].decode(), int(more[1])), change, now)  # raises the error for the counter
        _result(outcome, more, id)

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        """Do `ConversationBackend.recent`; several pages are not of one moment.

        After a list of several pages from the beginning, conversations that were written meanwhile
        are read again and put first.
        """
        if limit == 0 and (after is None or since is not None):
            return []
        page_size = _LIST_PAGE if limit is None else max(min(limit, _LIST_PAGE), 1)
        found: dict[str, ConversationSummary] = {}
        unreadable = pages = 0
        cursor: _Cursor | None = ("" if after is None else after, "" if since is None else f"-{since}")
        while cursor is not None and (limit is None or len(found) < max(limit, 1)):
            page, skipped, cursor = await self._page(partition, page_size, cursor)
            found.update(page)
            unreadable += skipped
            pages += 1
        warn_skipped("conversations of a partition", unreadable)
        if pages > 1 and after is None:
            await self._add_newer(partition, found)
        return list(found.values())[:limit]

    async def _add_newer(self, partition: Partition, found: dict[str, ConversationSummary]) -> None:
        """Add or replace summaries newer than all that were found."""
        newest = max((summary.updated_at for summary in found.values()), default=as_datetime(0))
        cursor: _Cursor | None = ("", "")
        while cursor is not None:
            page, _, cursor = await self._page(partition, _LIST_PAGE, cursor)
            newer = {id: summary for id, summary in page.items() if summary.updated_at > newest}
            found.update(newer)
            if len(newer) < len(page):
                break
        ordered = sorted(sorted(found.items()), key=lambda item: item[1].updated_at, reverse=True)
        found.clear()
        found.update(ordered)

    async def _page(
        self, partition: Partition, page_size: int, cursor: _Cursor
    ) -> tuple[dict[str, ConversationSummary], int, _Cursor | None]:
        """Return the next page of the index, its number of unreadable entries, and the cursor."""
        self.check_open()
        outcome, *more = await self._read_scripts.recent(partition, page_size, *cursor)
        if outcome == b"absent":
            raise absent(str(cursor[0]))
        id, score, unreadable, *parts = _result(outcome, more, str(cursor[0]))
        found = {}
        for name, created_at, updated_at, count in zip(*[iter(parts)] * 4, strict=True):
            key = name.decode("utf-8", "replace")
            found[key] = ConversationSummary(key, as_datetime(int(created_at)), as_datetime(int(updated_at)), count)
        return found, unreadable, (id, score) if id else None

    async def purge(self, partition: Partition) -> int:
        removed, cursor, begun = 0, b"0", False
        while not begun or cursor != b"0":
            self.check_open()
            cursor, ids = await self._scripts.ids(partition, cursor)
            begun = True
            for start in range(0, len(ids), _PURGE_BATCH):
                self.check_open()
                removed += await self._scripts.purge(partition, ids[start : start + _PURGE_BATCH])
        return removed

    async def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        """Do `ConversationBackend.purging` by SCAN.

        Conversations missing in an index are found, too.
        """
        partitions: set[Partition] = set()

        async def remove(keys: list[bytes]) -> Step:
            found: dict[Partition, dict[bytes, None]] = {}
            for key in keys:
                partition, id = self._scripts.parse(key)
                if partition[:2] == (env, tenant) and team in (None, partition[2]):
                    partitions.add(partition)
                    if id:
                        found.setdefault(partition, {})[id] = None
            removed = [await self._scripts.purge(partition, list(ids)) for partition, ids in found.items()]
            return Step(len(keys), sum(removed))

        for server in await self._client.servers():
            async with aclosing(stride(server, self._scripts.pattern(env, tenant), remove, step=_PURGE_BATCH)) as strides:
                async for steps in strides:
                    for step in steps:
                        yield step
                    self.check_open()
        for partition in partitions:  # an index may hold ids of missing conversations
            yield Step(0, await self.purge(partition))

    async def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        async for keys in walk_servers(self._client, self._keys.heads(), "TYPE", "hash"):
            self.check_open()
            found = [self._keys.parse(key) for key in dict.fromkeys(keys)]
            yield [(partition, id.decode("utf-8", "replace")) for partition, id in found if id]

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        head, _ = self._keys.conversation(partition, id)
        at = time.monotonic()
        (updated, birth), ttl = await asyncio.gather(
            self._client.call(("HMGET", head, "updated_at", "birth"), repeatable=True),
            self._client.call(("PTTL", head), repeatable=True),
        )
        if ttl == _ABSENT:
            return None
        revision = Revision((birth or b"").decode("utf-8", "replace"), _moment(updated or b""))
        return Glimpse(revision, None if ttl == _FOR_EVER else ttl, at)

    async def health(self) -> None:
        await self._client.ping()

    async def aclose(self) -> None:
        self.closed = True
        await self._client.aclose()
        await self._reading.aclose()

    def _scripts_for_reading(self, life: Lifetime) -> Scripts:
        return self._read_scripts if life.again_ms is None else self._scripts  # to renew a lifetime is a write


def _moment(text: bytes) -> int:
    """Return a moment; what cannot be read counts as the oldest: the scripts refuse it."""
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0


def _expectation(expected: Expected) -> str:
    """Return `expected` as the script reads it; no revision equals the other two."""
    if isinstance(expected, Revision):
        return f"{expected.birth}:{expected.updated_at}"
    return "*" if expected is Stored.ANYTHING else ""


def _result(outcome: bytes, more: Answer, id: str) -> Answer:
    """Return the values of an outcome; raise its error.

    Raises:
        CorruptSessionError: The header cannot be read.
        NotFoundError: The conversation is absent.
        SchemaVersionError: A newer version wrote it.
    """
    if outcome == b"ok":
        return more
    if outcome == b"absent":
        raise absent(id)
    if outcome == b"schema":
        check_schema(int(more[0]), id)
    raise corrupt(id)
