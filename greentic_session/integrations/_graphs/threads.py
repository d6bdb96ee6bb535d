"""Threads of checkpoints on sessions, for the saver of langgraph; it imports no langgraph.

A thread has namespaces, and one *head*: a session that holds the state of the namespace that was
written last (its latest checkpoint, and what tasks have written since), and who has written it.
Every write of a run, in any namespace, replaces the head, if it is still the one that was read
(compare and set), so that one of two runs is refused. The states of the other namespaces are in a
session each, and so are *archived*, the checkpoints before. A head carries what is to be archived
until it is, so that a crash between two steps loses nothing. Where the store can write two sessions
in one step, the latest checkpoint is archived as well, *apart* from its head, which then holds the
writes of tasks only.
"""

import os
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final

from msgspec.structs import replace

from greentic_session.errors import ConflictError, InvalidInputError
from greentic_session.expiry import Ttl
from greentic_session.models import TenantCtx
from greentic_session.store import SessionStore

from .archive import Archive
from .heads import Archived, Heads, issue, taken
from .models import Entry, Head, Place, Write, merged
from .records import FLOW, HEAD, Records, short

__all__ = ["Threads"]

_MAX_ID_CHARACTERS: Final = 255
_PAGE: Final = 32
"""How many checkpoints are read at the same time."""


class Threads:
    """Threads of one tenant.

    Args:
        store: Where they are kept.
        ctx: The tenant: env, tenant and team.
        ttl: How long a thread is kept after its last checkpoint, to a tenth of that; None for ever.
        history: Whether checkpoints stay when a newer one comes.
    """

    def __init__(self, store: SessionStore, ctx: TenantCtx, ttl: Ttl, *, history: bool) -> None:
        self._records = Records(store, ctx, ttl)
        self._archive = Archive(self._records)
        self._heads = Heads(self._records, self._archive)
        self._history = history

    # -- reading

    async def find(self, place: Place, id: str | None = None) -> tuple[Entry | None, str]:
        """Return a checkpoint, by default the latest, and a token for a run that begins with it."""
        head = await self._heads.read(place)
        if head is None:
            return None, issue(0, self.tag(place.thread))
        token = issue(head.number, self.tag(place.thread))
        if id is None or (head.latest is not None and head.latest.id == id):
            return head.latest, token
        return await self._archive.find(place, head, id), token

    def tag(self, thread: str) -> str:
        """Return the text with which tokens for runs of a thread end."""
        return self._records.hash(thread)[:16]

    async def entries(self, thread: str, ns: str | None, before: str | None = None) -> AsyncIterator[tuple[str, Entry]]:
        """Yield the checkpoints of a thread with their namespaces, the highest id first."""
        heads = await self._heads.read_by_names(thread, None if ns is None else [short(ns)])
        parts = await self._records.parts(thread)  # after the heads: what leaves one is in the list by then
        found: list[tuple[str, str]] = []
        for name, head in heads.items():
            ids = {*parts.archived.get(name, ()), *(entry.id for entry in (head.latest, head.leaving) if entry is not None)}
            found += [(id, name) for id in ids if before is None or id < before]
        found.sort(reverse=True)
        for start in range(0, len(found), _PAGE):
            for (_, name), entry in await self._archive.page(thread, heads, found[start : start + _PAGE]):
                yield heads[name].ns, entry

    async def threads(self) -> list[str]:
        """Return the ids of all threads of the tenant; the cost grows with the store."""
        found: dict[str, None] = {}
        async for wait in self._records.store.iter_sessions(self._records.ctx):
            if wait.data.flow_id == FLOW and wait.key.startswith(f"{HEAD}:"):
                found[wait.data.context(Head).thread] = None
        return list(found)

    # -- what runs write

    async def put(self, place: Place, token: str | None, entry: Entry) -> None:
        """Make a checkpoint the latest one.

        Raises:
            ConflictError: Another run has written since the one with this token has read.
        """
        if len(entry.id) > _MAX_ID_CHARACTERS:
            raise InvalidInputError(f"the id of a checkpoint has at most {_MAX_ID_CHARACTERS} characters")
        if entry.run is not None:
            await self._records.mark_run(entry.run, place)
        archived = Archived()

        async def decide(head: Head | None) -> Head:
            self._heads.admit(place.thread, head, token)
            renewed = await self._heads.renew(place, head)
            if head is None:
                return replace(self._begun(place, token, renewed), latest=entry)
            keeps = self._history or bool(entry.delta)
            if keeps:
                head = await self._heads.archive(place, head, archived)
            early = head.early if head.early_writer == (token or "") else {}
            latest = head.latest
            is_same = latest is not None and latest.id == entry.id
            writes = latest.writes if latest is not None and is_same else early.get(entry.id, [])
            left = latest if keeps and not is_same else None
            apart = self._history and self._heads.stores_apart and not is_same
            return replace(
                head,
                number=head.number + 1,
                writer=token or "",
                renewed=renewed,
                latest=replace(entry, writes=writes),
                leaving=None if head.apart else left,
                late={left.id: left.writes} if head.apart and left is not None and left.writes else {},
                archives=(head.archives and keeps) or apart,
                apart=apart,
                early={id: some for id, some in early.items() if id != entry.id},
            )

        old, new = await self._heads.change(place, decide, archived)
        if old is None or new is None or new.archives or new.leaving is not None:
            return
        name, left = short(place.ns), runs_of(old.latest, old.leaving)
        if old.archives:
            ids = await self._archived(place)
            left |= await self._archive.remove_all(place.thread, name, ids)
        for run in left - runs_of(entry):
            await self._records.unmark_run(run, place.thread, name)

    async def put_writes(self, place: Place, token: str | None, id: str, writes: list[Write]) -> None:
        """Add what a task has written after a checkpoint; what is there already is not replaced.

        Raises:
            ConflictError: Another run has written since the one with this token has read.
        """
        archived = Archived()

        async def decide(head: Head | None) -> Head:
            self._heads.admit(place.thread, head, token)
            if head is None:
                renewed = await self._heads.renew(place, None)
                return replace(self._begun(place, token, renewed), early={id: writes}, early_writer=token or "")
            head = taken(await self._heads.archive(place, head, archived, beside=True), token)
            if self._history and self._heads.stores_apart and head.latest is not None and archived.late is None:
                head = replace(head, apart=True, archives=True)
            if head.latest is not None and head.latest.id == id:
                return replace(head, latest=replace(head.latest, writes=merged(head.latest.writes, writes)))
            if head.archives and await self._archive.has(place, id):
                return replace(head, late={id: writes})
            early = head.early if head.early_writer == head.writer else {}
            return replace(head, early={**early, id: merged(early.get(id, []), writes)}, early_writer=head.writer)

        await self._heads.change(place, decide, archived)

    def _begun(self, place: Place, token: str | None, renewed: float) -> Head:
        return Head(place.thread, place.ns, os.urandom(8).hex(), 1, writer=token or "", renewed=renewed)

    # -- what administrators do

    async def delete(self, thread: str) -> None:
        """Remove a thread."""
        heads = await self._heads.read_by_names(thread, None)
        await self._heads.remove(thread)  # first: then who still writes is refused
        parts = await self._records.parts(thread)
        begun_anew = await self._heads.read_by_names(thread, parts.namespaces)
        for name in {*parts.namespaces, *parts.archived, *heads}:
            head, marker = heads.get(name), parts.namespaces.get(name)
            runs = set() if head is None else runs_of(head.latest, head.leaving)
            ids = _but_latest(parts.archived.get(name, ()), begun_anew.get(name))
            for run in runs | await self._archive.remove_all(thread, name, ids):
                await self._records.unmark_run(run, thread, name)
            births = {head.birth} if head is not None else set[str]()
            if marker is not None:
                births |= {birth for birth in (await self._records.birth(marker, thread),) if birth is not None}
            for birth in births:
                await self._records.remove(self._records.state_key(thread, birth, name))
            if marker is not None:
                await self._records.remove(marker)

    async def prune(self, thread: str) -> None:
        """Keep of each namespace the latest checkpoint, and those that its value is made of."""
        parts = await self._records.parts(thread)
        for name, head in (await self._heads.read_by_names(thread, parts.namespaces)).items():
            if head.latest is None:
                continue
            needed = await self._archive.ancestors(Place(thread, head.ns), head)
            kept = {head.latest.id, *(entry.id for entry in needed)}
            dropped = head.leaving if head.leaving is not None and head.leaving.id not in kept else None

            async def decide(head: Head | None, dropped: Entry | None = dropped) -> Head | None:
                if head is None:
                    return None
                is_there = dropped is not None and head.leaving is not None and head.leaving.id == dropped.id
                late = {id: writes for id, writes in head.late.items() if id in kept}  # noqa: B023  # decided at once
                return replace(head, leaving=None if is_there else head.leaving, late=late, removals=head.removals + 1)

            await self._heads.change(Place(thread, head.ns), decide, Archived())
            ids = [id for id in parts.archived.get(name, ()) if id not in kept]
            if dropped is not None and dropped.id not in ids:
                ids.append(dropped.id)  # it may be archived by now
            left = await self._archive.remove_all(thread, name, ids) | runs_of(dropped)
            for run in left - runs_of(head.latest, *needed):
                await self._records.unmark_run(run, thread, name)

    async def delete_runs(self, runs: Iterable[str]) -> None:
        """Remove the checkpoints that these runs have made."""
        for run in runs:
            for place in await self._records.places_of(run):
                await self._delete_run(run, place)
                await self._records.unmark_run(run, place.thread, short(place.ns))

    async def copy(self, source: str, target: str) -> None:
        """Copy a thread to a new one.

        Raises:
            ConflictError: There is a thread `target`.
        """
        there, birth = await self._records.parts(target), os.urandom(8).hex()
        if there.namespaces or there.archived:
            raise ConflictError("there is a thread of that name")
        heads = await self._heads.read_by_names(source, None)
        archived = (await self._records.parts(source)).archived  # after the heads: what leaves one is in the list by then
        copies: list[Head] = []
        for name, head in heads.items():
            here, place = Place(source, head.ns), Place(target, head.ns)
            entries = [head.latest, head.leaving]
            for id in archived.get(name, ()):
                entry = await self._archive.find(here, head, id)
                if entry is not None:
                    await self._archive.put(place, entry)
                    entries.append(entry)
            leaving = None if head.leaving is None else await self._archive.find(here, head, head.leaving.id)
            for run in runs_of(*entries):
                await self._records.mark_run(run, place)
            await self._records.mark(place, birth)
            copied = replace(head, thread=target, birth=birth, writer="", early={}, late={}, leaving=leaving, apart=False)
            copies.append(replace(copied, renewed=time.time()))
        await self._heads.begin(copies)

    async def _delete_run(self, run: str, place: Place) -> None:
        name = short(place.ns)
        ids = (await self._records.parts(place.thread)).archived.get(name, ())
        promoted: list[str] = []

        async def decide(head: Head | None) -> Head | None:
            promoted.clear()
            if head is None:
                return None
            latest, leaving = (
                None if entry is not None and entry.run == run else entry for entry in (head.latest, head.leaving)
            )
            if latest is None and head.latest is not None:
                for id in sorted({*ids, *((leaving.id,) if leaving is not None else ())}, reverse=True):
                    entry = await self._archive.find(place, head, id)
                    if entry is not None and entry.run != run:
                        latest = entry
                        leaving = None if leaving is not None and leaving.id == id else leaving
                        promoted.append(id)
                        break
            late = {id: writes for id, writes in head.late.items() if not await self._is_of(run, place, id)}
            apart = head.apart and latest is head.latest
            return replace(head, latest=latest, leaving=leaving, late=late, apart=apart, removals=head.removals + 1)

        old, _ = await self._heads.change(place, decide, Archived())
        for id in promoted:
            await self._archive.remove(place.thread, name, id)
        if old is None:
            return
        for id in await self._archived(place):
            if await self._is_of(run, place, id):
                await self._archive.remove(place.thread, name, id)
        if old.leaving is not None and old.leaving.run == run:
            await self._archive.remove(place.thread, name, old.leaving.id)

    async def _archived(self, place: Place) -> list[str]:
        """Return the ids of archived checkpoints, but not the latest one, be it among them."""
        ids = (await self._records.parts(place.thread)).archived.get(short(place.ns), ())
        return _but_latest(ids, await self._heads.read(place))  # after the list: what was the latest by then is no more

    async def _is_of(self, run: str, place: Place, id: str) -> bool:
        """Return whether an archived checkpoint was made by a run."""
        entry = await self._archive.stored(place, id)
        return entry is not None and entry.run == run


def _but_latest(ids: Iterable[str], head: Head | None) -> list[str]:
    """Return ids of archived checkpoints but that of the latest, by a head that was read later."""
    latest = None if head is None or not head.apart or head.latest is None else head.latest.id
    return [id for id in ids if id != latest]


def runs_of(*entries: Entry | None) -> set[str]:
    """Return the runs that have made checkpoints."""
    return {entry.run for entry in entries if entry is not None and entry.run is not None}
