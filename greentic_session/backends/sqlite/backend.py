"""Sessions in a SQLite database: each operation is one function in one transaction."""

import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Final, Literal, Self, TypeVar

from greentic_session._concurrency.shield import shielded
from greentic_session._expiry.expiring import NEVER_ENDS, Timer
from greentic_session._sqlite.database import Database
from greentic_session.admin import Inspector, Step
from greentic_session.backend import (
    Backlog,
    Claimed,
    Claiming,
    Creation,
    Delivered,
    Delivering,
    Lying,
    Parking,
    PuttingOff,
    Readiness,
    Readying,
    Rewriting,
    SessionBackend,
    Settled,
    Staying,
    Taking,
    Update,
)
from greentic_session.backends.unreadable import put_off_unreadable
from greentic_session.errors import CorruptSessionError
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, SessionData, TenantCtx, version_of
from greentic_session.reply import DeliveryOutcome, Reply
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from . import deliveries, operations, replying
from .admin import SQLiteInspector
from .aging import pass_time
from .lookups import placed, wait_of_owner
from .ranks import free_idle, free_idle_of
from .rows import place_of
from .shelves import Shelves
from .walking import END, last_id
from .walking_replies import forget_window, lying_behind
from .walking_sessions import purge_window, sessions_behind

__all__ = ["SQLiteBackend", "upkeep"]

T = TypeVar("T")

_MAX_LISTED: Final = 1000
"""How many waits of one user are listed among other reads; more have a connection of their own."""
_FREED_ROWS: Final = 200
_TENANTS_EVERY_S: Final = 600.0
"""How long after all tenants were looked at, for those that have nothing due, they are again."""
_FREEING_PAUSE_S: Final = 0.05
_SHORTEST_SLEEP_S: Final = 1.0
_LONGEST_SLEEP_S: Final = 60.0


class SQLiteBackend(SessionBackend):
    """Sessions in a SQLite database.

    Args:
        database: Where they are; it is closed with the backend.
        timer: Tells the time in seconds since the Unix epoch, alike in all processes.
    """

    system = "sqlite"
    keeps_text = True

    def __init__(self, database: Database, timer: Timer = time.time) -> None:
        self.database = database
        self.timer = timer
        self._found_ready = False

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        text, limits = _text(creation.data, creation.text), self.reply_limits
        return await self._write(lambda c, now: operations.create(c, creation, text, now, limits))

    async def get(self, key: str) -> Wait | None:
        return await self._read(lambda c, now: operations.get(c, key, now))

    async def update(self, update: Update) -> str:
        text = _text(update.data, update.text)
        version = version_of(text)
        await self._write(lambda c, now: operations.update(c, update, text, now))
        return version

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        limits = self.reply_limits
        return await self._write(lambda c, now: operations.remove(c, key, ctx, now, limits))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        limits = self.reply_limits
        return await self._write(lambda c, now: operations.touch(c, key, ttl_ms, ctx, now, limits))

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        return await self._read(lambda c, now: operations.remaining_ms(c, key, ctx, now))

    # -- waits, by scope

    async def park(self, parking: Parking) -> Settled:
        place, text = place_of(parking.owner, parking.scope.scope_hash()), _text(parking.data, parking.text)
        limits = self.reply_limits
        return await self._write(lambda c, now: operations.park(c, parking, place, text, now, limits))

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        if len(scopes) != 1:
            places = operations.places_of(owner, scopes)
            return await self._read(lambda c, now: operations.find(c, owner, places, now))
        scope, timer = scopes[0], self.timer
        place = place_of(owner, scope.scope_hash())
        return await self.database.look_up(placed, place, lambda found: wait_of_owner(found, owner, scope, timer()))

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        place = place_of(owner, scope.scope_hash())
        return await self._read(lambda c, now: operations.find_key(c, place, now))

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        found = await self._read(lambda c, now: operations.list_waits(c, owner, _MAX_LISTED + 1, now))
        if len(found) <= _MAX_LISTED:
            return found
        timer = self.timer
        return await self.database.read_apart(lambda c: operations.list_waits(c, owner, None, timer()))

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        place = place_of(owner, scope.scope_hash())
        limits = self.reply_limits
        await self._write(lambda c, now: operations.clear(c, place, now, limits))

    async def find_by_user(self, owner: Owner) -> Wait | None:
        return await self._read(lambda c, now: operations.find_by_user(c, owner, now))

    # -- claims

    async def claim(self, claiming: Claiming) -> Claimed | None:
        places, limits = operations.places_of(claiming.owner, claiming.scopes), self.reply_limits
        return await self._claim(
            claiming.token,
            lambda c, now: operations.claim(c, claiming, places, now, limits),
            lambda claimed: None if claimed is None else claimed.wait.key,
        )

    async def complete(self, owner: Owner, key: str, token: str) -> Settled | None:  # noqa: ARG002  # an owner's for good
        limits = self.reply_limits
        return await self._write(lambda c, now: operations.complete(c, key, token, now, limits))

    async def release(self, key: str, token: str) -> bool:
        limits = self.reply_limits
        return await self._write(lambda c, now: operations.release(c, key, token, now, limits))

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        limits = self.reply_limits
        return await self._write(lambda c, now: operations.renew(c, key, token, lease_ms, now, limits))

    # -- replies

    async def deliver(self, delivering: Delivering) -> Delivered:
        beginning = delivering.beginning
        text = b"" if beginning is None else _text(beginning.data, beginning.text)
        delivered, begun = await self._claim(
            delivering.token,
            self._step(lambda shelves: deliveries.deliver(shelves, delivering, text)),
            lambda result: None if result[1] is None else result[1].row.key,
        )
        if begun is None:
            return delivered
        claimed = await self._readable(begun, delivering.owner, delivering.token)
        if claimed is None:
            return Delivered(DeliveryOutcome.QUEUED, delivered.reply)
        return Delivered(delivered.outcome, delivered.reply, claimed)

    async def claim_ready(self, readying: Readying) -> Readiness:
        ctx = readying.ctx
        while True:
            if not self._found_ready:
                # What is asked all day, and mostly in vain: it waits for no lock.
                due, now = await self._read(lambda c, now: (deliveries.soonest(c, ctx), now))
                if due is None or due > now:
                    return Readiness(next_ms=None if due is None else max(round((due - now) * 1000), 1))
            found = await self._claim(
                readying.token,
                self._step(lambda shelves: deliveries.claim_ready(shelves, readying)),
                lambda result: None if result is None or result[1] is None else result[1].row.key,
            )
            self._found_ready = found is None or found[1] is not None
            if found is None:
                continue
            ready, begun = found
            if begun is None:
                return ready
            claimed = await self._readable(begun, begun.row.owner, readying.token)
            if claimed is not None:
                return Readiness(claimed)

    async def readiness(self, ctx: TenantCtx | None) -> Backlog:
        return await self._read(lambda c, now: deliveries.readiness(c, ctx, now))

    async def take(self, taking: Taking) -> tuple[Reply, ...] | None:
        return await self._write(self._step(lambda shelves: replying.take(shelves, taking)))

    async def stay(self, staying: Staying) -> bool:
        text = None if staying.data is None else _text(staying.data, staying.text)
        return await self._write(self._step(lambda shelves: replying.stay(shelves, staying, text)))

    async def put_off(self, putting_off: PuttingOff) -> bool:
        return await self._write(self._step(lambda shelves: replying.put_off(shelves, putting_off)))

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        place, limits = place_of(owner, scope.scope_hash()), self.reply_limits
        return await self._read(lambda c, now: deliveries.inbox(c, place, limits, now))

    async def retry(self, key: str) -> bool:
        return await self._write(self._step(lambda shelves: replying.retry(shelves, key)))

    async def drop(self, key: str) -> Reply | None:
        return await self._write(self._step(lambda shelves: replying.drop(shelves, key)))

    async def lying(self, ctx: TenantCtx) -> AsyncGenerator[Lying, None]:
        after = 0
        while True:
            found, after = await self._read(partial(lying_behind, ctx=ctx, after=after))
            for lying in found:
                yield lying
            if after == END:
                return

    async def rewrite(self, rewriting: Rewriting) -> bool:
        return await self._write(self._step(lambda shelves: deliveries.rewrite(shelves, rewriting)))

    async def _claim(
        self, token: str, work: Callable[[sqlite3.Connection, float], T], key_of: Callable[[T], str | None]
    ) -> T:
        """Run what may claim a session, which is given back where the caller is cancelled.

        Args:
            token: Of the claim.
            work: What to do.
            key_of: Returns the key of the session that was claimed; None where none was.
        """
        timer, limits = self.timer, self.reply_limits

        def give_back(connection: sqlite3.Connection, result: T) -> None:
            key = key_of(result)
            if key is not None:
                operations.release(connection, key, token, timer(), limits)

        try:
            return await self.database.write(lambda c: work(c, timer()), give_back)
        except BaseException:
            self._found_ready = True  # what is given back: a read would not wait for that
            raise

    async def _readable(self, begun: replying.Begun, owner: Owner | None, token: str) -> Claimed | None:
        """Return a claim that was made; None where its session cannot be read: then it rests."""
        key = begun.row.key
        try:
            claimed = begun.claimed(owner)
            if claimed is not None:
                return claimed
            error = CorruptSessionError("the stored text is that of another owner", session_key=key)
        except CorruptSessionError as corrupt:
            error = corrupt
        await shielded(partial(put_off_unreadable, self, owner, key, token, error))
        return None

    async def pass_time(self, passed_ms: int) -> None:
        """Move all moments in the file as if so much time had passed: for tests."""
        await self.database.write(lambda connection: pass_time(connection, passed_ms / 1000))

    def _step(self, do: Callable[[Shelves], T]) -> Callable[[sqlite3.Connection, float], T]:
        limits = self.reply_limits
        return lambda connection, now: operations.in_step(connection, now, limits, do)

    # -- the store as a whole

    async def health(self) -> None:
        await self.database.write(lambda _: None)  # takes the lock for writing, and syncs nothing

    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return _Walk(self, ctx)

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return sum([step.removed async for step in self.purging(ctx, user)])

    async def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        last, after, limits = await self._read(lambda c, _: last_id(c)), 0, self.reply_limits
        while after < last:
            step, after = await self._write(partial(purge_window, ctx=ctx, user=user, after=after, limits=limits))
            yield step
        # What nobody waits for names users, too: kept replies, and ids of deliveries.
        tables: tuple[Literal["replies", "deliveries"], ...] = ("replies", "deliveries")
        for table in tables:
            after = 0
            while after != END:
                forget = partial(forget_window, table=table, ctx=ctx, user=user, after=after)
                step, after = await self._write(self._step(forget))
                if step.looked:
                    yield step
        await self._write(lambda c, _: free_idle_of(c, (ctx.env, ctx.tenant_id)))

    def inspector(self) -> Inspector:
        return SQLiteInspector(self.database, self.timer)

    async def aclose(self) -> None:
        self.closed = True
        await self.database.aclose()

    async def _write(self, work: Callable[[sqlite3.Connection, float], T]) -> T:
        timer = self.timer  # told when the turn has come: it may have waited
        return await self.database.write(lambda connection: work(connection, timer()))

    async def _read(self, work: Callable[[sqlite3.Connection, float], T]) -> T:
        timer = self.timer
        return await self.database.read(lambda connection: work(connection, timer()))

    async def walked(self, ctx: TenantCtx, after: int) -> tuple[list[Wait], int]:
        """Return the sessions of one step of a walk, and where the next one begins."""
        return await self._read(partial(sessions_behind, ctx=ctx, after=after))

    async def last_id(self) -> int:
        """Return where a walk that begins now ends."""
        return await self._read(lambda c, _: last_id(c))


def upkeep(timer: Timer, limits: ReplyLimits) -> Callable[[sqlite3.Connection], float]:
    """Return what frees expired sessions and replies, a few at a time; for a `Database`."""
    looked, looked_at = 0, NEVER_ENDS

    def free(connection: sqlite3.Connection) -> float:
        nonlocal looked, looked_at
        now = timer()
        soonest = operations.free_expired(connection, now, _FREED_ROWS, limits)
        if looked or abs(now - looked_at) >= _TENANTS_EVERY_S:
            looked, looked_at = free_idle(connection, looked, _FREED_ROWS), now
        if looked or (soonest is not None and soonest <= now):
            return _FREEING_PAUSE_S
        left = _LONGEST_SLEEP_S if soonest is None else soonest - now
        return min(max(left, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S)

    return free


def _text(data: SessionData, text: bytes | None) -> bytes:
    return data.to_json() if text is None else text


class _Walk:
    """The sessions that a caller administers.

    Between two steps it holds nothing: an async generator would have to be closed by whoever leaves
    it early.
    """

    def __init__(self, backend: SQLiteBackend, ctx: TenantCtx) -> None:
        self._backend = backend
        self._ctx = ctx
        self._found: deque[Wait] = deque()
        self._after = 0
        self._last: int | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Wait:
        self._backend.check_open()
        if self._last is None:
            self._last = await self._backend.last_id()
        while not self._found:
            if self._after >= self._last:
                raise StopAsyncIteration
            found, self._after = await self._backend.walked(self._ctx, self._after)
            self._found.extend(found)
        return self._found.popleft()
