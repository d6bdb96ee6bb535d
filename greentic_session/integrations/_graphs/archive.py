"""Archived checkpoints: those that have left their head."""

import asyncio
from collections.abc import Iterable

from msgspec.structs import replace

from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope

from .models import Entry, Head, Late, Place, Write, merged
from .records import FLOW, Records, quoted, short

__all__ = ["Archive"]


class Archive:
    """Archived checkpoints of one tenant's threads, a session each.

    A checkpoint that is archived does not change. Writes that come later are in a session beside
    it, which is replaced by compare and set.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    async def find(self, place: Place, head: Head, id: str) -> Entry | None:
        """Return a checkpoint that is not the latest one, with all its writes."""
        ctx = self._records.owner(place.thread)
        name = short(place.ns)
        entry = head.leaving if head.leaving is not None and head.leaving.id == id else None
        if entry is None:
            found = await self._records.store.get_session(self._records.entry_key(place.thread, name, id), ctx=ctx)
            if found is None:
                return None
            entry = found.context(Entry)
        added = await self._records.store.get_session(self._records.late_key(place.thread, name, id), ctx=ctx)
        writes = entry.writes if added is None else merged(entry.writes, added.context(Late).writes)
        return replace(entry, writes=merged(writes, head.late.get(id, [])))

    async def stored(self, place: Place, id: str) -> Entry | None:
        """Return a checkpoint as it is archived."""
        key = self._records.entry_key(place.thread, short(place.ns), id)
        found = await self._records.store.get_session(key, ctx=self._records.owner(place.thread))
        return None if found is None else found.context(Entry)

    async def has(self, place: Place, id: str) -> bool:
        """Return whether a checkpoint is archived."""
        return await self.stored(place, id) is not None

    async def page(
        self, thread: str, heads: dict[str, Head], wanted: list[tuple[str, str]]
    ) -> list[tuple[tuple[str, str], Entry]]:
        """Read checkpoints at the same time; those that are gone meanwhile are left out."""
        read: dict[tuple[str, str], Entry] = {}

        async def read_one(id: str, name: str) -> None:
            head = heads[name]
            latest = head.latest if head.latest is not None and head.latest.id == id else None
            entry = latest or await self.find(Place(thread, head.ns), head, id)
            if entry is not None:
                read[id, name] = entry

        await asyncio.gather(*(read_one(id, name) for id, name in wanted))
        return [(each, read[each]) for each in wanted if each in read]

    async def put(self, place: Place, entry: Entry) -> None:
        """Store a checkpoint that has left its head; any process may do it, and again."""
        key, _, scope = self.beside(place, entry)
        await self._records.wait(self._records.owner(place.thread), scope, key, entry)

    def beside(self, place: Place, entry: Entry) -> tuple[SessionKey, Entry, ReplyScope]:
        """Return key, value and scope of a checkpoint that is archived."""
        name = short(place.ns)
        key = self._records.entry_key(place.thread, name, entry.id)
        return key, entry, ReplyScope(FLOW, thread=name, correlation=quoted(entry.id))

    def late_beside(self, place: Place, id: str, head: Head) -> tuple[SessionKey, Late, None]:
        """Return key and value of the first writes that a head has to an archived checkpoint."""
        key = self._records.late_key(place.thread, short(place.ns), id)
        return key, Late(head.birth, head.changes, head.late[id]), None

    async def put_late(self, place: Place, id: str, head: Head, writes: list[Write]) -> None:
        """Add writes that a head has to their checkpoint; any process may do it, and again."""
        ctx, key = self._records.owner(place.thread), self._records.late_key(place.thread, short(place.ns), id)
        while True:
            found = await self._records.store.get_versioned(key, ctx=ctx)
            before = None if found is None else found.data.context(Late)
            if before is not None and before.changes >= head.changes and before.birth == head.birth:
                return
            late = Late(head.birth, head.changes, merged([] if before is None else before.writes, writes))
            try:
                if found is None:
                    await self._records.create(key, place.thread, late)
                else:
                    await self._records.update(key, place.thread, late, found.version)
            except (ConflictError, NotFoundError):
                continue
            return

    async def ancestors(self, place: Place, head: Head) -> list[Entry]:
        """Return the checkpoints that the values of the latest one are made of."""
        needed: list[Entry] = []
        latest = head.latest
        if latest is None:
            return needed
        channels, parent, met = set(latest.delta), latest.parent, {latest.id}
        while channels and parent is not None and parent not in met:  # callers name parents: they may go round
            entry = await self.find(place, head, parent)
            if entry is None:
                break
            needed.append(entry)
            met.add(entry.id)
            channels -= set(entry.values)
            parent = entry.parent
        return needed

    async def remove_all(self, thread: str, name: str, ids: Iterable[str]) -> set[str]:
        """Remove some of a namespace, by its short name; return the runs that made them."""
        runs: set[str] = set()
        for id in ids:
            key = self._records.entry_key(thread, name, id)
            found = await self._records.store.get_session(key, ctx=self._records.owner(thread))
            run = None if found is None else found.context(Entry).run
            runs |= set() if run is None else {run}
            await self.remove(thread, name, id)
        return runs

    async def remove(self, thread: str, name: str, id: str) -> None:
        """Remove one, if it is there; `name` is the short name of its namespace."""
        await self._records.remove(self._records.late_key(thread, name, id))
        await self._records.remove(self._records.entry_key(thread, name, id))  # last: by it the others are found
