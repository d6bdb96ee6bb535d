"""Sessions in dicts, under one lock.

They are kept as the frozen objects that came in and handed out as they are: nothing is copied,
encoded or decoded.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final, Self

from anyio.lowlevel import checkpoint

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS, Expiring, Timer
from greentic_session.admin import Inspector, Step
from greentic_session.backend import Claiming, Creation, Parking, SessionBackend, Update
from greentic_session.backends.memory.admin import MemoryInspector
from greentic_session.backends.memory.entry import GONE, Entry
from greentic_session.expiry import NEVER, Never
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, TenantCtx, version_of
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

__all__ = ["MemoryBackend"]

_SHARDS: Final = 256
"""Number of dicts that sessions are spread over: a walk copies one of them at a time."""
_STEP: Final = 256
"""How many entries administration looks at before it lets others run."""


class MemoryBackend(Expiring[Entry], SessionBackend):
    """Sessions in dicts.

    `waits` and `latest` lead to the same entries as the shards; whoever drops one drops all.
    """

    system = "memory"

    def __init__(self, timer: Timer) -> None:
        super().__init__(timer)
        self.shards: tuple[dict[str, Entry], ...] = tuple({} for _ in range(_SHARDS))
        self.waits: dict[Owner, dict[ReplyScope, Entry]] = {}
        self.latest: dict[Owner, Entry] = {}

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        with self._lock:
            self.check_open()
            now = self.timer()
            if self._freed(self.shard(creation.key).get(creation.key), now):
                return False
            entry = self._add(Wait(creation.key, creation.data))
            if (pointer := creation.pointer) is not None:
                if previous := self.latest.get(pointer):
                    previous.pointer = None
                self.latest[pointer] = entry
                entry.pointer = pointer
            self._set_lifetime(entry, creation.ttl_ms, now)
        return True

    async def get(self, key: str) -> Wait | None:
        with self._lock:
            entry = self._visible(key, None, self.timer())
            return None if entry is None else entry.wait

    async def update(self, update: Update) -> str:
        version = version_of(update.data.to_json())
        seen, seen_version = None, ""
        while True:
            with self._lock:
                entry = transitions.check_update(update, self.shard(update.key).get(update.key), self.timer())
                if update.if_version is None or entry.wait is seen:
                    transitions.check_version(update, seen_version)
                    entry.wait = Wait(entry.wait.key, update.data, entry.wait.scope)
                    return version
                seen = entry.wait
            seen_version = seen.version  # hashed without the lock, for a snapshot may be long

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        with self._lock:
            return self._drop(self._visible(key, ctx, self.timer()))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        with self._lock:
            now = self.timer()
            entry = self._visible(key, ctx, now)
            if entry is not None:
                self._set_lifetime(entry, ttl_ms, now)
            return entry is not None

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        with self._lock:
            now = self.timer()
            entry = self._visible(key, ctx, now)
            if entry is None:
                return None
            return NEVER if entry.end == NEVER_ENDS else max(round((entry.end - now) * 1000), 1)

    # -- waits, by scope

    async def park(self, parking: Parking) -> SessionKey | None:
        owner, key, place = parking.owner, parking.key, parking.scope.normalized()
        wait = Wait(key, parking.data, parking.scope)
        with self._lock:
            self.check_open()
            now = self.timer()
            waits = self.waits.get(owner, {}).values()
            parked = transitions.park(parking, self.shard(key).get(key), self._at(owner, place), now, waits)

            # Decided; from here on only writes.
            if parked.displaced is not None:
                self._unpark(parked.displaced)
            self._freed(self._at(owner, place), now)
            entry = parked.session
            if entry is None:
                self._freed(self.shard(key).get(key), now)
                entry = self._add(wait)
            else:
                if parked.moves:
                    self._unpark(entry)
                entry.wait = wait
            if parked.moves:
                self.waits.setdefault(owner, {})[place] = entry
            if parking.token is not None:
                entry.token = None
            self._set_lifetime(entry, parking.ttl_ms, now)
        return None if parked.displaced is None else parked.displaced.wait.key

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        with self._lock:
            now = self.timer()
            for scope in scopes:
                if entry := self._waiting(owner, scope.normalized(), now):
                    return _matched(entry, scope)
        return None

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        found = await self.find(owner, (scope,))
        return None if found is None else found.key

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        with self._lock:
            now = self.timer()
            return sorted(entry.wait.key for entry in self.waits.get(owner, {}).values() if transitions.is_live(entry, now))

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        with self._lock:
            self._drop(self._waiting(owner, scope.normalized(), self.timer()))

    async def find_by_user(self, owner: Owner) -> Wait | None:
        with self._lock:
            waits = self.waits.get(owner, {}).values()
            found = transitions.latest_or_only(waits, self.latest.get(owner), self.timer())
            return None if found is None else found.wait

    # -- claims

    async def claim(self, claiming: Claiming) -> Wait | None:
        with self._lock:
            now = self.timer()
            for scope in claiming.scopes:
                if entry := self._waiting(claiming.owner, scope.normalized(), now):
                    held = transitions.claim(entry, entry.wait.key, claiming.lease_ms, now)
                    entry.token = claiming.token
                    self._lease(entry, held, claiming.lease_ms, now)
                    return _matched(entry, scope)
        return None

    async def complete(self, owner: Owner, key: str, token: str) -> bool:  # noqa: ARG002  # an owner's for good, here
        with self._lock:
            return self._drop(self._held(key, token, self.timer()))

    async def release(self, key: str, token: str) -> bool:
        with self._lock:
            entry = self._held(key, token, self.timer())
            if entry is not None:
                entry.token = None
            return entry is not None

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        with self._lock:
            now = self.timer()
            entry = self._held(key, token, now)
            if entry is not None:
                self._lease(entry, transitions.renew(entry, lease_ms, now), lease_ms, now)
            return entry is not None

    # -- the store as a whole

    async def health(self) -> None:
        pass

    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return _Walk(self, ctx)

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return sum([step.removed async for step in self.purging(ctx, user)])

    async def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        for step in self.steps():
            removed = 0
            with self._lock:
                now = self.timer()
                for entry in step:
                    if self.administers(ctx, user, entry, now):
                        removed += self._drop(entry)
            await checkpoint()
            yield Step(len(step), removed)

    def inspector(self) -> Inspector:
        return MemoryInspector(self)

    def steps(self) -> Iterator[list[Entry]]:
        """Yield every entry, a few at a time. The caller lets others run in between."""
        for shard in self.shards:
            with self._lock:
                self.check_open()
                entries = list(shard.values())
            for start in range(0, len(entries), _STEP):
                self.check_open()
                yield entries[start : start + _STEP]

    async def aclose(self) -> None:
        with self._lock:
            self.closed = True
            for shard in self.shards:
                shard.clear()
            self.waits.clear()
            self.latest.clear()
            self._stop_expiring()

    # -- below: with the lock held

    def shard(self, key: str) -> dict[str, Entry]:
        """Return the part of the sessions that `key` is in, if it is there."""
        return self.shards[hash(key) % _SHARDS]

    def _at(self, owner: Owner, place: ReplyScope) -> Entry | None:
        waits = self.waits.get(owner)
        return None if waits is None else waits.get(place)

    def _freed(self, entry: Entry | None, now: float) -> Entry | None:
        """For writers.

        What has expired is gone afterwards, so that its key or its place is free.
        """
        if entry is None or transitions.is_live(entry, now):
            return entry
        self._drop(entry)
        return None

    def _visible(self, key: str, ctx: TenantCtx | None, now: float) -> Entry | None:
        return transitions.visible(self.shard(key).get(key), ctx, now)

    def _waiting(self, owner: Owner, place: ReplyScope, now: float) -> Entry | None:
        return transitions.visible(self._at(owner, place), None, now)

    def administers(self, ctx: TenantCtx, user: str | None, entry: Entry, now: float) -> bool:
        """Say whether an entry that was listed is still there, and `ctx` reaches it."""
        wait = entry.wait
        # Entries are looked at some time after they were listed: it may be gone, and its key used
        # again.
        current = transitions.is_live(entry, now) and self.shard(wait.key).get(wait.key) is entry
        return current and tenancy.administers(ctx, user, wait.data)

    def _held(self, key: str, token: str, now: float) -> Entry | None:
        entry = self.shard(key).get(key)
        return entry if transitions.is_held(entry, token, now) else None

    def _add(self, wait: Wait) -> Entry:
        entry = self.shard(wait.key)[wait.key] = Entry(wait)
        return entry

    def _unpark(self, entry: Entry) -> None:
        """Make it no wait any more; it stays readable."""
        scope = entry.wait.scope
        if scope is None or entry.owner is None:
            return
        entry.wait = Wait(entry.wait.key, entry.wait.data)
        waits = self.waits[entry.owner]
        del waits[scope.normalized()]
        if not waits:
            del self.waits[entry.owner]

    def _drop(self, entry: Entry | None) -> bool:
        """Remove a session with all that leads to it; say whether there was one."""
        if entry is None:
            return False
        entry.end = GONE
        del self.shard(entry.wait.key)[entry.wait.key]
        self._unpark(entry)
        if entry.pointer is not None:
            del self.latest[entry.pointer]
        if entry.bucket is not None:
            entry.bucket.discard(entry)
        return True

    def _lease(self, entry: Entry, held: transitions.Held, lease_ms: int, now: float) -> None:
        entry.lease_end = held.lease_end
        if held.lengthens:
            self._set_lifetime(entry, lease_ms, now)


def _matched(entry: Entry, scope: ReplyScope) -> Wait:
    # The caller's own spelling of the scope: an empty part and one that is None name the same
    # place.
    return entry.wait if entry.wait.scope == scope else Wait(entry.wait.key, entry.wait.data, scope)


class _Walk:
    """The sessions that a caller administers.

    An async generator would have to be closed by whoever leaves it early.
    """

    def __init__(self, backend: MemoryBackend, ctx: TenantCtx) -> None:
        self._backend = backend
        self._ctx = ctx
        self._steps = backend.steps()
        self._step: Iterator[Entry] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Wait:
        while True:
            for entry in self._step:
                if self._backend.administers(self._ctx, None, entry, self._backend.timer()):
                    return entry.wait
            await checkpoint()
            step = next(self._steps, None)
            if step is None:
                raise StopAsyncIteration
            self._step = iter(step)
