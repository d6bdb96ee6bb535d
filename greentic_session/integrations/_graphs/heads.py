"""Heads of threads: who may write next, and the states of namespaces."""

import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from msgspec.structs import replace

from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope

from .archive import Archive
from .known import Known, KnownHeads, State
from .lines import Lines
from .models import Entry, Head, Place, slim
from .records import Records, short

__all__ = ["Archived", "Heads", "issue", "taken"]

_MAX_WRITERS: Final = 4096
_RENEWED_AFTER: Final = 0.1
"""The part of its lifetime after which a thread that is written to begins it anew."""


class Archived:
    """What a change archives.

    Attributes:
        done: What was archived before the head is replaced, by id: the whole checkpoint, or only
            writes that came late.
        late: The checkpoint whose late writes are archived in the step that replaces the head.
    """

    def __init__(self) -> None:
        self.done: dict[str, bool] = {}
        self.late: str | None = None

    def clear(self) -> None:
        """Begin anew."""
        self.done.clear()
        self.late = None


class _SupersededError(ConflictError):
    """A run that was taken over."""


class Heads:
    """Heads of one tenant's threads, a session each, which is replaced by compare and set.

    A head holds the state of the namespace that was written last; those of all others are in a
    session each. Before another one takes its place in the head, a state is stored in its session,
    in which it is never replaced by an older one. So each write of a thread, in whichever
    namespace, replaces the one head: of two runs one is refused everywhere.

    Where the store can write two sessions in one step, a checkpoint that is accepted is archived at
    once, and the head names it only: its text travels once.

    A head that was read or written is remembered, so that the next step of a run need not read it:
    if it was replaced since, the step is refused by the store, and made anew.
    """

    def __init__(self, records: Records, archive: Archive) -> None:
        self._records = records
        self._archive = archive
        self._known = KnownHeads()
        self._writers: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.stores_apart: bool = records.updates_with
        self._lines = Lines()

    # -- reading

    async def read(self, place: Place) -> Head | None:
        """Return the head with the state of a namespace; None if there is no thread."""
        return await self._head_of(place.ns, await self._read(place.thread))

    async def read_by_names(self, thread: str, names: Iterable[str] | None) -> dict[str, Head]:
        """Return heads with the states of namespaces by their short names; None is for all."""
        known = await self._read(thread)
        head, found = known.head, dict[str, Head]()
        if head is None:
            return found
        for name in [*(await self._records.parts(thread)).namespaces] if names is None else names:
            state = head if name == short(head.ns) else (await self._read_state(head, name)).head
            if state is not None:
                found[name] = _led_by(head, state)
        return found

    async def _read(self, thread: str) -> Known:
        store, key, ctx = self._records.store, self._records.head_key(thread), self._records.owner(thread)
        missed: str | None = None
        while True:
            found = await store.get_versioned(key, ctx=ctx)
            if found is None:
                self._known.drop(thread)
                return Known(None, "", {})
            known = self._known.get(thread)
            if known is None or known.version != found.version:
                stored = found.data.context(Head)
                head = await self._filled(stored, None if known is None else known.head)
                if head is None and missed != found.version:
                    missed = found.version  # another one may be the latest by now
                    continue
                known = Known(head or replace(stored, latest=None, apart=False), found.version, {})
            self._known.put(thread, known)
            return known

    async def _read_state(self, head: Head, name: str) -> State:
        key, ctx = self._records.state_key(head.thread, head.birth, name), self._records.owner(head.thread)
        found = await self._records.store.get_versioned(key, ctx=ctx)
        if found is None:
            return State(None, "")
        stored = found.data.context(Head)
        filled = await self._filled(stored, None)
        return State(filled or replace(stored, latest=None, apart=False), found.version)

    async def _filled(self, head: Head, known: Head | None) -> Head | None:
        """Return a head with what is stored apart; None if that was removed."""
        latest = head.latest
        if not head.apart or latest is None:
            return head
        entry = None if known is None else _same_latest(head, known)
        if entry is None:
            entry = await self._archive.stored(Place(head.thread, head.ns), latest.id)
        return None if entry is None else replace(head, latest=replace(entry, writes=latest.writes))

    async def _head_of(self, ns: str, known: Known) -> Head | None:
        head = known.head
        if head is None or head.ns == ns:
            return head
        state = known.states.get(ns)
        if state is None:
            state = await self._read_state(head, short(ns))
            known.keep(ns, state)
        return _led_by(head, state.head or Head(head.thread, ns, head.birth))

    # -- writing

    async def change(
        self, place: Place, decide: Callable[[Head | None], Awaitable[Head | None]], archived: Archived
    ) -> tuple[Head | None, Head | None]:
        """Replace a head by what is decided about it, until it was not changed meanwhile.

        A decision is about the head with the state of a namespace; None changes nothing. `archived`
        has what a decision has archived: it is removed again where somebody has removed archived
        checkpoints meanwhile. Returns what was decided about, and the decision.
        """
        turn = self._lines.begin(place.thread)
        if turn is not None:
            await self._lines.wait(place.thread, turn)
        try:
            known = self._known.get(place.thread)
            is_fresh = known is None
            if known is None:
                known = await self._read(place.thread)
            while True:
                before = known.head
                if before is not None and before.ns != place.ns:
                    before = await self._head_of(place.ns, known)
                try:
                    new = await decide(before)
                    if new is not None:
                        await self._replace(place, known, before, new, archived)
                except (ConflictError, NotFoundError) as error:
                    if isinstance(error, _SupersededError) and is_fresh:
                        raise
                    old, known, is_fresh = known.head, await self._read(place.thread), True
                    await self._undo(place, old, before, await self._head_of(place.ns, known), archived)
                except BaseException:
                    self._known.drop(place.thread)  # it may have been replaced
                    raise
                else:
                    return before, new
        finally:
            self._lines.end(place.thread)

    def admit(self, thread: str, head: Head | None, token: str | None) -> None:
        """Refuse a run that has read before somebody else has written."""
        if token is None or (head is not None and head.writer == token):
            return
        number = 0 if head is None else head.number
        if (thread, token) in self._writers or number != int(token.partition(":")[0]):
            raise _SupersededError("another run has written to the thread, or removed it, since this run has read it")

    async def archive(self, place: Place, head: Head, archived: Archived, *, beside: bool = False) -> Head:
        """Archive what has left a head; any process may do it, and again.

        With `beside` late writes may go with the step that replaces the head.
        """
        if head.leaving is None and not head.late:
            return head
        if head.leaving is not None:
            await self._archive.put(place, head.leaving)
            archived.done[head.leaving.id] = True
        if beside and self.stores_apart and len(head.late) == 1:
            (archived.late,) = head.late
        else:
            await self._archive_late(place, head, archived)
        return replace(head, leaving=None, late={}, archives=True)

    async def _archive_late(self, place: Place, head: Head, archived: Archived) -> None:
        archived.late = None
        for id, writes in head.late.items():
            archived.done.setdefault(id, False)
            await self._archive.put_late(place, id, head, writes)

    async def renew(self, place: Place, head: Head | None) -> float:
        """Begin the lifetime of a thread anew, if a tenth of it is over; return when it began."""
        now = time.time()
        if (
            head is None
            or not isinstance(self._records.ttl, float)
            or abs(now - head.renewed) < self._records.ttl * _RENEWED_AFTER
        ):
            return now if head is None else head.renewed
        thread = place.thread
        ctx, parts = self._records.owner(thread), await self._records.parts(thread)
        keys = list[SessionKey]()
        for name, ids in parts.archived.items():
            for id in ids:
                keys += (self._records.entry_key(thread, name, id), self._records.late_key(thread, name, id))
        keys += parts.namespaces.values()
        keys += [self._records.state_key(thread, head.birth, name) for name in parts.namespaces]
        keys.append(self._records.head_key(thread))  # last: it lives no longer than what it names
        for key in keys:
            await self._records.store.touch(key, self._records.ttl, ctx=ctx)
        return now

    async def begin(self, heads: list[Head]) -> None:
        """Store a new thread, as heads with the states of its namespaces.

        Raises:
            ConflictError: There is a thread of that name.
        """
        for head in heads[1:]:
            await self._records.create(self._records.state_key(head.thread, head.birth, short(head.ns)), head.thread, head)
        for head in heads[:1]:
            await self._records.create(self._records.head_key(head.thread), head.thread, head)

    async def remove(self, thread: str) -> None:
        """Remove a head: from now on whoever writes is refused."""
        await self._records.remove(self._records.head_key(thread))
        self._known.drop(thread)

    async def _replace(self, place: Place, known: Known, before: Head | None, new: Head, archived: Archived) -> None:
        old, thread = known.head, place.thread
        if old is None:
            await self._records.mark(place, new.birth)
            await self._records.create(self._records.head_key(thread), thread, replace(new, changes=1))
        else:
            if old.ns != place.ns:
                await self._store_state(known, old)
                if place.ns not in known.states or known.states[place.ns].head is None:
                    await self._records.mark(place, old.birth)
            new = replace(new, changes=old.changes + 1)
            other, version = self._beside(place, before, new, archived), None
            if other is not None:
                key = self._records.head_key(thread)
                version = await self._records.update_with(key, thread, slim(new), known.version, other)
            if version is None:
                new, version = await self._update(place, known, before, new, archived)
            self._known.put(thread, Known(new, version, known.states))
        # It does not begin a thread anew that is removed.
        self._writers[thread, new.writer] = None
        if len(self._writers) > _MAX_WRITERS:
            self._writers.popitem(last=False)

    def _beside(
        self, place: Place, before: Head | None, new: Head, archived: Archived
    ) -> tuple[SessionKey, object, ReplyScope | None] | None:
        """Return what is to be archived in the step that replaces a head: key, value and scope."""
        if new.latest is not None and _stores_latest(before, new):
            if archived.late is not None:
                return None  # one of them goes along, not both
            return self._archive.beside(place, replace(new.latest, writes=[]) if new.latest.writes else new.latest)
        if archived.late is None or before is None:
            return None
        return self._archive.late_beside(place, archived.late, before)

    async def _update(
        self, place: Place, known: Known, before: Head | None, new: Head, archived: Archived
    ) -> tuple[Head, str]:
        """Replace a head in a step of its own; return it, as it is stored, and its version."""
        if archived.late is not None and before is not None:
            await self._archive_late(place, before, archived)
        if _stores_latest(before, new):
            new = replace(new, apart=False)
        return new, await self._records.update(self._records.head_key(place.thread), place.thread, slim(new), known.version)

    async def _store_state(self, known: Known, head: Head) -> None:
        """Store the state in a head beside it, if no newer one is there."""
        thread, name = head.thread, short(head.ns)
        key, state = self._records.state_key(thread, head.birth, name), known.states.pop(head.ns, None)
        while True:
            if state is None or (state.head is not None and not state.version):
                state = await self._read_state(head, name)
            if state.head is not None and state.head.changes >= head.changes:
                break
            try:
                if state.head is None:
                    await self._records.create(key, thread, slim(head))
                    state = State(head, "")
                else:
                    state = State(head, await self._records.update(key, thread, slim(head), state.version))
            except (ConflictError, NotFoundError):
                state = None
            else:
                break
        known.keep(head.ns, state)

    async def _undo(self, place: Place, old: Head | None, before: Head | None, now: Head | None, archived: Archived) -> None:
        """Remove again what a change has stored that did not come about, where nobody else will."""
        if now is None or before is None or (now.birth, now.removals) != (before.birth, before.removals):
            for id, is_whole in archived.done.items():
                if is_whole or not await self._archive.has(place, id):
                    await self._archive.remove(place.thread, short(place.ns), id)
        archived.clear()
        if old is not None and (now is None or now.birth != old.birth):
            await self._records.remove(self._records.state_key(old.thread, old.birth, short(old.ns)))


def issue(number: int, tag: str) -> str:
    """Return a token for a run that has seen this number of a thread's head."""
    return f"{number}:{os.urandom(8).hex()}:{tag}"


def taken(head: Head, token: str | None) -> Head:
    """Return a head that a run has written."""
    writer = token or ""
    return head if head.writer == writer else replace(head, writer=writer, number=head.number + 1)


def _stores_latest(before: Head | None, new: Head) -> bool:
    """Return whether the latest checkpoint of a head is to be archived apart, and is not yet."""
    return new.apart and not (before is not None and before.apart and _is_latest(before, new))


def _is_latest(head: Head, other: Head) -> bool:
    """Return whether two heads have the same latest checkpoint, by its id."""
    return head.latest is not None and other.latest is not None and head.latest.id == other.latest.id


def _same_latest(head: Head, known: Head) -> Entry | None:
    """Return the latest checkpoint of a known head, if it is that of a stored one for sure."""
    is_same = (known.birth, known.ns, known.number) == (head.birth, head.ns, head.number)
    return known.latest if is_same and known.apart and _is_latest(head, known) else None


def _led_by(head: Head, state: Head) -> Head:
    """Return the state of another namespace with what a head says of the thread."""
    return replace(state, number=head.number, changes=head.changes, writer=head.writer, renewed=head.renewed)
