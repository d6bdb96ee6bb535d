"""Sessions in dicts, under one lock.

They are kept as the frozen objects that came in and handed out as they are: nothing is copied,
encoded or decoded.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final, Self

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.admin import Inspector, Step
from greentic_session.backend import (
    NOTHING_ELSE,
    Claimed,
    Claiming,
    Creation,
    Lying,
    Parking,
    Rewriting,
    Settled,
    Update,
)
from greentic_session.expiry import NEVER, Never
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, TenantCtx, version_of
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import AtOnce, Leaving
from greentic_session.wait import Wait

from .admin import MemoryInspector
from .entry import Entry
from .replies import NO_WAITS, Replies, matched

__all__ = ["MemoryBackend"]

_STEP: Final = 256
"""How many entries administration looks at before it lets others run."""


class MemoryBackend(Replies):
    """Sessions in dicts.

    Args:
        timer: Tells the time; moments are dated by the time of day when the backend is made.
    """

    system = "memory"
    answers_at_once = True

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        with self._lock:
            self.check_open()
            now = self.timer()
            if self._freed(self.shard(creation.key).get(creation.key), now):
                return False
            entry = self._add(Wait(creation.key, creation.data), tenancy.owner_of(creation.data))
            if (pointer := creation.pointer) is not None:
                if previous := self.latest.get(pointer):
                    previous.pointer = None
                self.latest[pointer] = entry
                entry.pointer = pointer
            entry.rest_end = transitions.end_after(creation.ttl_ms, now)
            self._set_end(entry, entry.rest_end, now)
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
            now = self.timer()
            return self._remove(self._visible(key, ctx, now), Leaving.REMOVED, now)

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        with self._lock:
            now = self.timer()
            entry = self._visible(key, ctx, now)
            if entry is not None:
                if entry.put_off:
                    entry.put_off = 0.0
                self._live(entry, transitions.touch(entry, ttl_ms, now, self.reply_limits), now)
            return entry is not None

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        with self._lock:
            now = self.timer()
            entry = self._visible(key, ctx, now)
            if entry is None:
                return None
            end = transitions.lifetime_end(entry, now)
            return NEVER if end == NEVER_ENDS else max(round((end - now) * 1000), 1)

    # -- waits, by scope

    async def park(self, parking: Parking) -> Settled:
        with self._lock:
            self.check_open()
            return self._park(parking, self.timer())[1]

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        with self._lock:
            now = self.timer()
            for scope in scopes:
                if entry := self._waiting(owner, scope.normalized(), now):
                    return matched(entry, scope)
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
            now = self.timer()
            self._remove(self._waiting(owner, scope.normalized(), now), Leaving.REMOVED, now)

    async def find_by_user(self, owner: Owner) -> Wait | None:
        with self._lock:
            waits = self.waits.get(owner, {}).values()
            found = transitions.latest_or_only(waits, self.latest.get(owner), self.timer())
            return None if found is None else found.wait

    # -- claims

    async def claim(self, claiming: Claiming) -> Claimed | None:
        with self._lock:
            now = self.timer()
            waits = self.waits.get(claiming.owner, NO_WAITS)
            for scope in claiming.scopes:
                entry = waits.get(scope.normalized())
                if entry is not None and entry.end > now:
                    wait = entry.wait
                    held = transitions.claim(entry, wait.key, claiming.lease_ms, now)
                    if wait.scope != scope:
                        wait = matched(entry, scope)
                    if entry.lying is None and entry.turn is None and not (entry.resume or held.lengthens):
                        # The usual case: no reply and no deadline has a say.
                        entry.token, entry.lease_end = claiming.token, held.lease_end
                        deadline = None if entry.deadline == NEVER_ENDS else self._epoch + entry.deadline
                        return Claimed(wait, None, 1, (), deadline, False, entry.is_new)  # noqa: FBT003  # as fast as can be
                    inbox, entry.elsewhere = entry.inbox, ()
                    joined = transitions.join(entry, () if inbox is None else inbox.all(), now)
                    if joined is not None:
                        entry.turn = joined
                    self._lease(entry, claiming.token, claiming.lease_ms, now)
                    if joined is None:
                        return self._claimed(entry, wait)
                    return self._claimed(entry, wait, joined.key, joined.failed + 1, timed_out=transitions.is_heard(entry))
        return None

    async def complete(self, owner: Owner, key: str, token: str) -> Settled | None:  # noqa: ARG002  # an owner's for good, here
        with self._lock:
            entry, now = self._held(key, token)
            if entry is None:
                return None
            leftovers: tuple[Reply, ...] = ()
            if type(entry.lying) is AtOnce:
                entry.lying = None  # settled, and nothing else lies there
            elif entry.lying is not None or entry.elsewhere:
                self._settle(entry, now)
                leftovers = self._leave(entry, Leaving.LEFT_OVER, now)
            self._remove(entry, Leaving.REMOVED, now)
            return Settled(leftovers=leftovers) if leftovers else NOTHING_ELSE

    async def release(self, key: str, token: str) -> bool:
        with self._lock:
            entry, now = self._held(key, token)
            if entry is not None:
                self._release(entry, now)
            return entry is not None

    def _release(self, entry: Entry, now: float) -> None:
        if entry.lying is not None or entry.elsewhere:
            self._give_back(entry, now)
        entry.token = None
        if entry.lying is not None or entry.resume:
            self._refresh(entry, now)

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        with self._lock:
            entry, now = self._held(key, token)
            if entry is not None:
                lease_end = transitions.end_after(lease_ms, now)
                for inbox, received in entry.held():
                    inbox.replies[received.reply.id] = transitions.hold(received, token, lease_end)
                    if inbox is not entry.inbox:
                        self._refresh_place(inbox, entry, now)
                self._lease(entry, token, lease_ms, now)
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
                        removed += self._remove(entry, Leaving.REMOVED, now)
            await checkpoint()
            yield Step(len(step), removed)
        # What nobody waits for names users, too: kept replies, and ids of deliveries.
        with self._lock:
            named = self.loose.keys() | self.deliveries.keys()
            owners = [owner for owner in named if tenancy.owns(ctx, user, owner)]
        for owner in owners:
            while self._forget_some(owner):
                await checkpoint()
        if owners:
            yield Step(len(owners), 0)

    def _forget_some(self, owner: Owner) -> bool:
        """Forget some of the replies and deliveries of an owner; say whether more is left."""
        with self._lock:
            return sum(1 for _ in zip(range(_STEP), self._forgetting(owner), strict=False)) == _STEP

    async def lying(self, ctx: TenantCtx) -> AsyncGenerator[Lying, None]:
        # An inbox stays its owner's, whatever takes its place: so owner by owner none is missed.
        with self._lock:
            self.check_open()
            owners = [*self.waits, *self.loose]
        seen = set[Owner]()
        for start in range(0, len(owners), _STEP):
            step = list[Lying]()
            with self._lock:
                for owner in owners[start : start + _STEP]:
                    if tenancy.owns(ctx, None, owner) and owner not in seen:
                        seen.add(owner)
                        for inbox in self._inboxes_of(owner):
                            step += [Lying(owner, inbox.scope, received.reply) for received in inbox.all()]
            await checkpoint()
            for lying in step:
                yield lying

    async def rewrite(self, rewriting: Rewriting) -> bool:
        lying = rewriting.lying
        with self._lock:
            inbox = self._inbox(lying.owner, lying.scope.normalized(), self.timer())
            received = None if inbox is None else inbox.replies.get(lying.reply.id)
            if inbox is None or received is None or received.reply.text != lying.reply.text:
                return False
            inbox.replies[lying.reply.id] = replace(received, reply=replace(received.reply, text=rewriting.text))
            return True

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
            self._empty()


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
