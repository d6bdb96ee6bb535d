"""Threads of checkpoints on sessions, for the saver of langgraph; it imports no langgraph.

A thread has namespaces, and each namespace a *head*: a session that holds the latest checkpoint,
its writes, and who has written it. Every step of a run replaces the head, if it is still the one
that was read (compare and set), so that one of two runs is refused. The checkpoints before are
*archived*: a session each. Heads carry what is to be archived until it is, so that a crash between
two steps loses nothing.

All of a thread belongs to one user of its own, whose waits are its archived checkpoints and one
*marker* for each namespace: so the store itself lists and purges them, and on a cluster they are in
one slot.
"""

import hashlib
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

import anyio
import msgspec
from msgspec.structs import replace

from greentic_session.errors import ConflictError, InvalidInputError, NotFoundError
from greentic_session.expiry import NEVER, Ttl, milliseconds
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.tenancy import check_ctx

__all__ = ["Entry", "Place", "Threads", "Write", "issue"]

_FLOW: Final = "langgraph"
_HEAD: Final = "langgraph-head"
_LATE: Final = "langgraph-late"
_PART: Final = "langgraph-part"
_RUN: Final = "langgraph-run"
_MAX_KNOWN_HEADS: Final = 256
_MAX_KNOWN_RUNS: Final = 4096
_MAX_WRITERS: Final = 4096
_PAGE: Final = 32
"""How many checkpoints are read at the same time."""
_MAX_ID_CHARACTERS: Final = 255
_RENEWED_AFTER: Final = 0.1
"""The part of its lifetime after which a thread that is written to begins it anew."""


class Write(msgspec.Struct, frozen=True, array_like=True):
    """What a task has written, before the next checkpoint has it.

    Attributes:
        task: The id of the task.
        index: Its number among the writes of the task; negative where the last one counts.
        path: The path of the task.
        channel: The channel.
        kind: How `data` is serialized.
        data: The serialized value.
    """

    task: str
    index: int
    path: str
    channel: str
    kind: str
    data: bytes


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checkpoint.

    Attributes:
        id: Its id.
        parent: The id of the one that it was made from.
        kind: How `checkpoint` is serialized.
        checkpoint: The serialized checkpoint.
        metadata_kind: How `metadata` is serialized.
        metadata: The serialized metadata.
        values: The channels of which it holds the value.
        delta: The channels whose value is made of the writes of its ancestors.
        run: The id of the run that has made it.
        writes: What tasks have written since, in the order in which they are applied.
    """

    id: str
    parent: str | None
    kind: str
    checkpoint: bytes
    metadata_kind: str
    metadata: bytes
    values: list[str] = []
    delta: list[str] = []
    run: str | None = None
    writes: list[Write] = []


class _Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a namespace.

    Attributes:
        thread: The id of the thread.
        ns: The namespace.
        number: How many times a checkpoint was accepted here.
        writer: The token of the run that has written last.
        renewed: When the lifetime of the thread last began, in seconds of the writer's clock.
        removals: How many times archived checkpoints were removed.
        latest: The latest checkpoint.
        leaving: The one before, until it is archived.
        archives: Whether there may be archived ones.
        early: Writes by checkpoints that are not accepted yet.
    """

    thread: str
    ns: str
    number: int = 0
    writer: str = ""
    renewed: float = 0
    removals: int = 0
    latest: Entry | None = None
    leaving: Entry | None = None
    archives: bool = False
    early: dict[str, list[Write]] = {}


class Place(NamedTuple):
    """A namespace of a thread."""

    thread: str
    ns: str


class _Known(NamedTuple):
    head: _Head | None
    version: str


class _Parts(NamedTuple):
    """What a thread consists of, by the list of its sessions: namespaces, and archived ids."""

    namespaces: dict[str, SessionKey]
    archived: dict[str, list[str]]


def issue(number: int, secret: str) -> str:
    """Return a token for a run that has seen this number of a head."""
    return f"{number}:{secret}"


class Threads:
    """Threads of one tenant.

    Args:
        store: Where they are kept.
        ctx: The tenant: env, tenant and team.
        ttl: How long a thread is kept after its last checkpoint, to a tenth of that; None for ever.
        history: Whether checkpoints stay when a newer one comes.
    """

    def __init__(self, store: SessionStore, ctx: TenantCtx, ttl: Ttl, *, history: bool) -> None:
        check_ctx(ctx)
        self._store = store
        self._ctx = ctx.with_user(None)
        self._ttl = NEVER if ttl is None or ttl is NEVER else milliseconds(ttl, "ttl") / 1000
        self._history = history
        self._known: OrderedDict[Place, _Known] = OrderedDict()
        self._marked: OrderedDict[tuple[str, Place], None] = OrderedDict()
        self._writers: OrderedDict[tuple[Place, str], None] = OrderedDict()
        self._locks: weakref.WeakValueDictionary[Place, anyio.Lock] = weakref.WeakValueDictionary()

    # -- reading

    async def find(self, place: Place, id: str | None = None) -> tuple[Entry | None, int]:
        """Return a checkpoint, by default the latest, and the number of its head."""
        head = (await self._read(place)).head
        if head is None:
            return None, 0
        if id is None or (head.latest is not None and head.latest.id == id):
            return head.latest, head.number
        return await self._before(place, head, id), head.number

    async def entries(self, thread: str, ns: str | None, before: str | None = None) -> AsyncIterator[tuple[str, Entry]]:
        """Yield the checkpoints of a thread with their namespaces, the highest id first."""
        parts = await self._parts(thread)
        heads: dict[str, _Head] = {}
        found: list[tuple[str, str]] = []
        for name in parts.namespaces if ns is None else [_short(ns)]:
            head = await self._head_of(thread, name)
            if head is None:
                continue
            heads[name] = head
            ids = {*parts.archived.get(name, ()), *(entry.id for entry in (head.latest, head.leaving) if entry is not None)}
            found += [(id, name) for id in ids if before is None or id < before]
        found.sort(reverse=True)
        for start in range(0, len(found), _PAGE):
            for (_, name), entry in await self._page(thread, heads, found[start : start + _PAGE]):
                yield heads[name].ns, entry

    async def threads(self) -> list[str]:
        """Return the ids of all threads of the tenant; the cost grows with the store."""
        found: dict[str, None] = {}
        async for wait in self._store.iter_sessions(self._ctx):
            if wait.data.flow_id == _FLOW and wait.key.startswith(f"{_HEAD}:"):
                found[wait.data.context(_Head).thread] = None
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
            await self._mark_run(entry.run, place)
        archived: list[str] = []

        async def decide(head: _Head | None) -> _Head:
            self._admit(place, head, token)
            renewed = await self._renew(place, head)
            if head is None:
                return _Head(place.thread, place.ns, 1, token or "", renewed, latest=entry)
            latest, leaving, archives = head.latest, head.leaving, head.archives
            early = head.early if head.writer == token else {}
            writes = early.get(entry.id, [])
            if latest is not None and latest.id == entry.id:
                writes = latest.writes
            elif latest is not None and (self._history or entry.delta):
                if leaving is not None:
                    await self._archive(place, leaving)
                    archived.append(leaving.id)
                    archives = True
                leaving = latest
            elif not (self._history or entry.delta):
                leaving, archives = None, False
            return replace(
                head,
                number=head.number + 1,
                writer=token or "",
                renewed=renewed,
                latest=replace(entry, writes=writes),
                leaving=leaving,
                archives=archives,
                early={id: some for id, some in early.items() if id != entry.id},
            )

        old, new = await self._change(place, decide, archived)
        if old is not None and old.archives and not new.archives:
            await self._remove_archived(place)

    async def put_writes(self, place: Place, token: str | None, id: str, writes: list[Write]) -> None:
        """Add what a task has written after a checkpoint; what is there already is not replaced.

        Raises:
            ConflictError: Another run has written since the one with this token has read.
        """
        late = False

        async def decide(head: _Head | None) -> _Head | None:
            nonlocal late
            self._admit(place, head, token)
            if head is None:
                renewed = await self._renew(place, None)
                return _Head(place.thread, place.ns, 0, token or "", renewed, early={id: writes})
            if head.latest is not None and head.latest.id == id:
                return replace(head, latest=replace(head.latest, writes=_merged(head.latest.writes, writes)))
            late = await self._before(place, head, id) is not None
            if late:
                return None
            early = head.early if head.writer == token else {}
            return replace(head, writer=token or "", early={**early, id: _merged(early.get(id, []), writes)})

        await self._change(place, decide, [])
        if late:
            await self._put_late(place, id, writes)

    # -- what administrators do

    async def delete(self, thread: str) -> None:
        """Remove a thread."""
        parts = await self._parts(thread)
        names = {*parts.namespaces, *parts.archived}
        for name in names:  # first the heads: then whoever still writes is refused
            await self._remove(_key(_HEAD, self._hash(thread), name))
        for name in names:
            for id in parts.archived.get(name, ()):
                await self._remove_entry(thread, name, id)
        for key in parts.namespaces.values():
            await self._remove(key)
        self._forget(thread)

    async def prune(self, thread: str) -> None:
        """Keep of each namespace the latest checkpoint, and those that its value is made of."""
        for name in (await self._parts(thread)).namespaces:
            head = await self._head_of(thread, name)
            if head is None or head.latest is None:
                continue
            place = Place(thread, head.ns)
            needed = await self._ancestors(place, head)

            async def decide(head: _Head | None, needed: Collection[str] = needed) -> _Head | None:
                if head is None:
                    return None
                leaving = head.leaving if head.leaving is not None and head.leaving.id in needed else None
                return replace(head, leaving=leaving, removals=head.removals + 1)

            await self._change(place, decide, [])
            await self._remove_archived(place, needed)

    async def delete_runs(self, runs: Iterable[str]) -> None:
        """Remove the checkpoints that these runs have made."""
        for run in runs:
            user = self._user("run", run)
            for key in await self._store.list_waits_for_user(user, str(user.user)):
                found = await self._store.get_session(key, ctx=user)
                if found is not None:
                    await self._delete_run(run, found.context(Place))
                await self._remove(key)
        self._marked.clear()

    async def copy(self, source: str, target: str) -> None:
        """Copy a thread to a new one.

        Raises:
            ConflictError: There is a thread `target`.
        """
        there = await self._parts(target)
        if there.namespaces or there.archived:
            raise ConflictError("there is a thread of that name")
        parts = await self._parts(source)
        for name in parts.namespaces:
            head = await self._head_of(source, name)
            if head is None:
                continue
            here, place = Place(source, head.ns), Place(target, head.ns)
            for id in parts.archived.get(name, ()):
                entry = await self._before(here, head, id)
                if entry is not None:
                    await self._archive(place, entry)
            leaving = None if head.leaving is None else await self._before(here, head, head.leaving.id)
            for entry in (head.latest, head.leaving):
                if entry is not None and entry.run is not None:
                    await self._mark_run(entry.run, place)
            copied = replace(head, thread=target, writer="", early={}, leaving=leaving, renewed=time.time())
            await self._mark(place)
            await self._store.create_session(
                self._owner(target), self._data(target, copied), key=self._head_key(place), ttl=self._ttl
            )

    # -- below: heads

    def _admit(self, place: Place, head: _Head | None, token: str | None) -> None:
        """Refuse a run that has read before somebody else has written."""
        if token is None or (head is not None and head.writer == token):
            return
        number = 0 if head is None else head.number
        if (place, token) in self._writers or number != int(token.partition(":")[0]):
            raise _SupersededError("another run has written to the thread, or removed it, since this run has read it")

    async def _read(self, place: Place) -> _Known:
        found = await self._store.get_versioned(self._head_key(place), ctx=self._owner(place.thread))
        if found is None:
            self._known.pop(place, None)
            return _Known(None, "")
        known = _Known(found.data.context(_Head), found.version)
        self._remember(place, known)
        return known

    async def _head_of(self, thread: str, name: str) -> _Head | None:
        found = await self._store.get_session(_key(_HEAD, self._hash(thread), name), ctx=self._owner(thread))
        return None if found is None else found.context(_Head)

    async def _change(
        self, place: Place, decide: Callable[[_Head | None], Awaitable[_Head | None]], archived: list[str]
    ) -> tuple[_Head | None, _Head]:
        """Replace a head by what is decided about it, until it was not changed meanwhile.

        None changes nothing. `archived` has what a decision has archived: it is removed again where
        somebody has removed archived checkpoints meanwhile.
        """
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = anyio.Lock()
        async with lock:
            known = self._known.get(place)
            is_fresh = known is None
            if known is None:
                known = await self._read(place)
            while True:
                try:
                    new = await decide(known.head)
                    if new is None:
                        return known.head, known.head or _Head(place.thread, place.ns)
                    await self._store_head(place, known, new)
                except (ConflictError, NotFoundError) as error:
                    was_refused = isinstance(error, _SupersededError)
                    if was_refused and is_fresh:
                        raise
                    before, known, is_fresh = known.head, await self._read(place), True
                    await self._undo(place, before, known.head, archived)
                except BaseException:
                    self._known.pop(place, None)  # it may have been stored
                    raise
                else:
                    return known.head, new

    async def _store_head(self, place: Place, known: _Known, new: _Head) -> None:
        ctx, data = self._owner(place.thread), self._data(place.thread, new)
        if known.head is None:
            await self._mark(place)
            await self._store.create_session(ctx, data, key=self._head_key(place), ttl=self._ttl)
            self._wrote(place, new)
            return
        version = await self._store.update_session(self._head_key(place), data, ctx=ctx, if_version=known.version)
        self._remember(place, _Known(new, version))
        self._wrote(place, new)

    def _wrote(self, place: Place, head: _Head) -> None:
        """Note that a run has written, so that it does not begin a thread anew that is removed."""
        self._writers[place, head.writer] = None
        if len(self._writers) > _MAX_WRITERS:
            self._writers.popitem(last=False)

    async def _undo(self, place: Place, before: _Head | None, now: _Head | None, archived: list[str]) -> None:
        if archived and (now is None or before is None or now.removals != before.removals):
            for id in archived:
                await self._remove_entry(place.thread, _short(place.ns), id)
        archived.clear()

    def _remember(self, place: Place, known: _Known) -> None:
        self._known[place] = known
        self._known.move_to_end(place)
        if len(self._known) > _MAX_KNOWN_HEADS:
            self._known.popitem(last=False)

    def _forget(self, thread: str) -> None:
        for place in [place for place in self._known if place.thread == thread]:
            del self._known[place]

    async def _renew(self, place: Place, head: _Head | None) -> float:
        """Begin the lifetime of a thread anew, if a tenth of it is over; return when it began."""
        now = time.time()
        if head is None or not isinstance(self._ttl, float) or abs(now - head.renewed) < self._ttl * _RENEWED_AFTER:
            return now if head is None else head.renewed
        ctx, parts = self._owner(place.thread), await self._parts(place.thread)
        keys = [self._head_key(place), *parts.namespaces.values()]
        keys += [SessionKey(_key(_HEAD, self._hash(place.thread), name)) for name in parts.namespaces]
        for name, ids in parts.archived.items():
            for id in ids:
                keys += self._entry_keys(place.thread, name, id)
        for key in keys:
            await self._store.touch(key, self._ttl, ctx=ctx)
        return now

    # -- below: archived checkpoints

    async def _before(self, place: Place, head: _Head, id: str) -> Entry | None:
        """Return a checkpoint that is not the latest one, with all its writes."""
        ctx = self._owner(place.thread)
        archive, late = self._entry_keys(place.thread, _short(place.ns), id)
        entry = head.leaving if head.leaving is not None and head.leaving.id == id else None
        if entry is None:
            found = await self._store.get_session(archive, ctx=ctx)
            if found is None:
                return None
            entry = found.context(Entry)
        added = await self._store.get_session(late, ctx=ctx)
        if added is None:
            return entry
        return replace(entry, writes=_merged(entry.writes, added.context(list[Write])))

    async def _page(
        self, thread: str, heads: dict[str, _Head], wanted: list[tuple[str, str]]
    ) -> list[tuple[tuple[str, str], Entry]]:
        """Read checkpoints at the same time; those that are gone meanwhile are left out."""
        read: dict[tuple[str, str], Entry] = {}

        async def read_one(id: str, name: str) -> None:
            head = heads[name]
            latest = head.latest if head.latest is not None and head.latest.id == id else None
            entry = latest or await self._before(Place(thread, head.ns), head, id)
            if entry is not None:
                read[id, name] = entry

        async with anyio.create_task_group() as group:
            for id, name in wanted:
                group.start_soon(read_one, id, name)
        return [(each, read[each]) for each in wanted if each in read]

    async def _archive(self, place: Place, entry: Entry) -> None:
        """Store a checkpoint that has left its head; any process may do it, and again."""
        name = _short(place.ns)
        key = self._entry_keys(place.thread, name, entry.id)[0]
        await self._wait(self._owner(place.thread), ReplyScope(_FLOW, thread=name, correlation=quote(entry.id)), key, entry)

    async def _put_late(self, place: Place, id: str, writes: list[Write]) -> None:
        """Add writes to a checkpoint that has left its head."""
        ctx, key = self._owner(place.thread), self._entry_keys(place.thread, _short(place.ns), id)[1]
        while True:
            found = await self._store.get_versioned(key, ctx=ctx)
            before = [] if found is None else found.data.context(list[Write])
            data = self._data(place.thread, _merged(before, writes))
            try:
                if found is None:
                    await self._store.create_session(ctx, data, key=key, ttl=self._ttl)
                else:
                    await self._store.update_session(key, data, ctx=ctx, if_version=found.version)
            except (ConflictError, NotFoundError):
                continue
            return

    async def _ancestors(self, place: Place, head: _Head) -> set[str]:
        """Return the ids of the checkpoints that the values of the latest one are made of."""
        needed: set[str] = set()
        latest = head.latest
        if latest is None:
            return needed
        channels, parent = set(latest.delta), latest.parent
        while channels and parent is not None:
            entry = await self._before(place, head, parent)
            if entry is None:
                break
            needed.add(entry.id)
            channels -= set(entry.values)
            parent = entry.parent
        return needed

    async def _remove_archived(self, place: Place, needed: Collection[str] = ()) -> None:
        name = _short(place.ns)
        for id in (await self._parts(place.thread)).archived.get(name, ()):
            if id not in needed:
                await self._remove_entry(place.thread, name, id)

    async def _delete_run(self, run: str, place: Place) -> None:
        name = _short(place.ns)
        ids = (await self._parts(place.thread)).archived.get(name, ())
        promoted: list[str] = []

        async def decide(head: _Head | None) -> _Head | None:
            promoted.clear()
            if head is None:
                return None
            latest, leaving = (
                None if entry is not None and entry.run == run else entry for entry in (head.latest, head.leaving)
            )
            if latest is None and head.latest is not None:
                for id in sorted({*ids, *((leaving.id,) if leaving is not None else ())}, reverse=True):
                    entry = await self._before(place, head, id)
                    if entry is not None and entry.run != run:
                        latest = entry
                        leaving = None if leaving is not None and leaving.id == id else leaving
                        promoted.append(id)
                        break
            return replace(head, latest=latest, leaving=leaving, removals=head.removals + 1)

        old, new = await self._change(place, decide, [])
        del new
        for id in promoted:
            await self._remove_entry(place.thread, name, id)
        if old is None:
            return
        for id in ids:
            found = await self._store.get_session(self._entry_keys(place.thread, name, id)[0], ctx=self._owner(place.thread))
            if found is not None and found.context(Entry).run == run:
                await self._remove_entry(place.thread, name, id)
        if old.leaving is not None and old.leaving.run == run:
            await self._remove_entry(place.thread, name, old.leaving.id)

    async def _remove_entry(self, thread: str, name: str, id: str) -> None:
        for key in reversed(self._entry_keys(thread, name, id)):
            await self._remove(key)

    async def _remove(self, key: str) -> None:
        try:
            await self._store.remove_session(key, ctx=self._ctx)
        except NotFoundError:
            pass

    # -- below: lists

    async def _parts(self, thread: str) -> _Parts:
        """Return what a thread consists of."""
        owner = self._owner(thread)
        parts = _Parts({}, {})
        for key in await self._store.list_waits_for_user(owner, str(owner.user)):
            _, _, name, *rest = key.split(":")
            if rest:
                parts.archived.setdefault(name, []).append(unquote(rest[0]))
            else:
                parts.namespaces[name] = key
        return parts

    async def _mark(self, place: Place) -> None:
        """Note that a thread has a namespace."""
        name = _short(place.ns)
        key = _key(_PART, self._hash(place.thread), name)
        await self._wait(self._owner(place.thread), ReplyScope(_FLOW, thread=name), key, place)

    async def _mark_run(self, run: str, place: Place) -> None:
        """Note that a run has made checkpoints at a place."""
        if (run, place) in self._marked:
            return
        user = self._user("run", run)
        key = _key(_RUN, self._hash(run), self._hash(place.thread), _short(place.ns))
        await self._wait(user, ReplyScope(_FLOW, thread=self._hash(place.thread), correlation=_short(place.ns)), key, place)
        self._marked[run, place] = None
        if len(self._marked) > _MAX_KNOWN_RUNS:
            self._marked.popitem(last=False)

    async def _wait(self, ctx: TenantCtx, scope: ReplyScope, key: str, value: object) -> None:
        data = SessionData.new(ctx, _FLOW, "kept", context=value)
        await self._store.register_wait(ctx, str(ctx.user), scope, key, data, ttl=self._ttl)

    # -- below: names

    def _hash(self, text: str) -> str:
        """Return a name for a text of this tenant, and of no other."""
        ctx = self._ctx
        parts = (ctx.env, ctx.tenant_id, ctx.effective_team or "", text)
        return hashlib.sha256("".join(f"{len(part)}:{part}," for part in parts).encode()).hexdigest()[:40]

    def _user(self, kind: str, text: str) -> TenantCtx:
        return self._ctx.with_user(f"langgraph-{kind}-{self._hash(text)}")

    def _owner(self, thread: str) -> TenantCtx:
        return self._user("thread", thread)

    def _data(self, thread: str, value: object) -> SessionData:
        return SessionData.new(self._owner(thread), _FLOW, "kept", context=value)

    def _head_key(self, place: Place) -> SessionKey:
        return _key(_HEAD, self._hash(place.thread), _short(place.ns))

    def _entry_keys(self, thread: str, name: str, id: str) -> tuple[SessionKey, SessionKey]:
        """Return the keys of an archived checkpoint, and of the writes that came after that."""
        return _key(_PART, self._hash(thread), name, quote(id, safe="")), _key(
            _LATE, self._hash(thread), name, quote(id, safe="")
        )


class _SupersededError(ConflictError):
    """A run that was taken over."""


def _merged(stored: list[Write], added: list[Write]) -> list[Write]:
    """Return writes in the order in which they are applied.

    A write that is stored stays, a special one (of a negative index) is replaced.
    """
    found = {(write.task, write.index): write for write in stored}
    for write in added:
        if write.index < 0 or (write.task, write.index) not in found:
            found[write.task, write.index] = write
    return sorted(found.values(), key=lambda write: (write.path, write.task, write.index))


def _short(ns: str) -> str:
    """Return a name for a namespace in keys and scopes."""
    return hashlib.sha256(ns.encode()).hexdigest()[:32]


def _key(*parts: str) -> SessionKey:
    return SessionKey(":".join(parts))
