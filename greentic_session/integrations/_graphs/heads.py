"""Heads of namespaces: the latest checkpoint of each, and who may write the next one."""

import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import anyio

from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.ids import SessionKey

from .archive import Archive
from .models import Head, Place
from .records import HEAD, Records, key_of, short

__all__ = ["Heads"]

_MAX_KNOWN_HEADS: Final = 256
_MAX_WRITERS: Final = 4096
_RENEWED_AFTER: Final = 0.1
"""The part of its lifetime after which a thread that is written to begins it anew."""


class _SupersededError(ConflictError):
    """A run that was taken over."""


class _Known(NamedTuple):
    head: Head | None
    version: str


class Heads:
    """Heads of one tenant's threads, a session each, which is replaced by compare and set.

    A head that was read or written is remembered, so that the next step of a run need not read it:
    if it was replaced since, the step is refused by the store, and made anew.
    """

    def __init__(self, records: Records, archive: Archive) -> None:
        self._records = records
        self._archive = archive
        self._known: OrderedDict[Place, _Known] = OrderedDict()
        self._writers: OrderedDict[tuple[Place, str], None] = OrderedDict()
        self._locks: weakref.WeakValueDictionary[Place, anyio.Lock] = weakref.WeakValueDictionary()

    async def read(self, place: Place) -> _Known:
        found = await self._records.store.get_versioned(self._records.head_key(place), ctx=self._records.owner(place.thread))
        if found is None:
            self._known.pop(place, None)
            return _Known(None, "")
        known = _Known(found.data.context(Head), found.version)
        self._remember(place, known)
        return known

    async def read_by_name(self, thread: str, name: str) -> Head | None:
        found = await self._records.store.get_session(
            key_of(HEAD, self._records.hash(thread), name), ctx=self._records.owner(thread)
        )
        return None if found is None else found.context(Head)

    async def change(
        self, place: Place, decide: Callable[[Head | None], Awaitable[Head | None]], archived: list[str]
    ) -> tuple[Head | None, Head]:
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
                known = await self.read(place)
            while True:
                try:
                    new = await decide(known.head)
                    if new is None:
                        return known.head, known.head or Head(place.thread, place.ns)
                    await self._store_head(place, known, new)
                except (ConflictError, NotFoundError) as error:
                    was_refused = isinstance(error, _SupersededError)
                    if was_refused and is_fresh:
                        raise
                    before, known, is_fresh = known.head, await self.read(place), True
                    await self._undo(place, before, known.head, archived)
                except BaseException:
                    self._known.pop(place, None)  # it may have been stored
                    raise
                else:
                    return known.head, new

    def admit(self, place: Place, head: Head | None, token: str | None) -> None:
        """Refuse a run that has read before somebody else has written."""
        if token is None or (head is not None and head.writer == token):
            return
        number = 0 if head is None else head.number
        if (place, token) in self._writers or number != int(token.partition(":")[0]):
            raise _SupersededError("another run has written to the thread, or removed it, since this run has read it")

    async def renew(self, place: Place, head: Head | None) -> float:
        """Begin the lifetime of a thread anew, if a tenth of it is over; return when it began."""
        now = time.time()
        if (
            head is None
            or not isinstance(self._records.ttl, float)
            or abs(now - head.renewed) < self._records.ttl * _RENEWED_AFTER
        ):
            return now if head is None else head.renewed
        ctx, parts = self._records.owner(place.thread), await self._records.parts(place.thread)
        keys = [self._records.head_key(place), *parts.namespaces.values()]
        keys += [SessionKey(key_of(HEAD, self._records.hash(place.thread), name)) for name in parts.namespaces]
        for name, ids in parts.archived.items():
            for id in ids:
                keys += self._records.entry_keys(place.thread, name, id)
        for key in keys:
            await self._records.store.touch(key, self._records.ttl, ctx=ctx)
        return now

    def forget(self, thread: str) -> None:
        for place in [place for place in self._known if place.thread == thread]:
            del self._known[place]

    async def _store_head(self, place: Place, known: _Known, new: Head) -> None:
        ctx, data = self._records.owner(place.thread), self._records.data(place.thread, new)
        if known.head is None:
            await self._records.mark(place)
            await self._records.store.create_session(ctx, data, key=self._records.head_key(place), ttl=self._records.ttl)
            self._wrote(place, new)
            return
        version = await self._records.store.update_session(
            self._records.head_key(place), data, ctx=ctx, if_version=known.version
        )
        self._remember(place, _Known(new, version))
        self._wrote(place, new)

    def _wrote(self, place: Place, head: Head) -> None:
        """Note that a run has written, so that it does not begin a thread anew that is removed."""
        self._writers[place, head.writer] = None
        if len(self._writers) > _MAX_WRITERS:
            self._writers.popitem(last=False)

    async def _undo(self, place: Place, before: Head | None, now: Head | None, archived: list[str]) -> None:
        if archived and (now is None or before is None or now.removals != before.removals):
            for id in archived:
                await self._archive.remove(place.thread, short(place.ns), id)
        archived.clear()

    def _remember(self, place: Place, known: _Known) -> None:
        self._known[place] = known
        self._known.move_to_end(place)
        if len(self._known) > _MAX_KNOWN_HEADS:
            self._known.popitem(last=False)
