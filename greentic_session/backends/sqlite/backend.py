"""Sessions in a SQLite database: each operation is one function in one transaction."""

import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Final, Self, TypeVar

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import Timer
from greentic_session._sqlite.database import Database
from greentic_session.admin import Inspector, Step
from greentic_session.backend import Claimed, Claiming, Creation, Parking, SessionBackend, Settled, Update
from greentic_session.errors import CorruptSessionError
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx, version_of
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from . import operations
from .admin import SQLiteInspector
from .rows import Row, delete, place_of, rows_between
from .walking import END, STEP_BYTES, last_id, next_window

__all__ = ["SQLiteBackend", "upkeep"]

T = TypeVar("T")

_MAX_LISTED: Final = 1000
"""How many waits of one user are listed among other reads; more have a connection of their own."""
_FREED_ROWS: Final = 200
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

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        text = _text(creation.data, creation.text)
        return await self._write(lambda c, now: operations.create(c, creation, text, now))

    async def get(self, key: str) -> Wait | None:
        return await self._read(lambda c, now: operations.get(c, key, now))

    async def update(self, update: Update) -> str:
        text = _text(update.data, update.text)
        version = version_of(text)
        await self._write(lambda c, now: operations.update(c, update, text, now))
        return version

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return await self._write(lambda c, now: operations.remove(c, key, ctx, now))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return await self._write(lambda c, now: operations.touch(c, key, ttl_ms, ctx, now))

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        return await self._read(lambda c, now: operations.remaining_ms(c, key, ctx, now))

    # -- waits, by scope

    async def park(self, parking: Parking) -> Settled:
        if parking.resume:
            self._refuse_replies()
        place, text = place_of(parking.owner, parking.scope.scope_hash()), _text(parking.data, parking.text)
        return Settled(await self._write(lambda c, now: operations.park(c, parking, place, text, now)))

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        places = operations.places_of(owner, scopes)
        return await self._read(lambda c, now: operations.find(c, owner, places, now))

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
        await self._write(lambda c, _: operations.clear(c, place))

    async def find_by_user(self, owner: Owner) -> Wait | None:
        return await self._read(lambda c, now: operations.find_by_user(c, owner, now))

    # -- claims

    async def claim(self, claiming: Claiming) -> Claimed | None:
        places, timer = operations.places_of(claiming.owner, claiming.scopes), self.timer

        def give_back(connection: sqlite3.Connection, wait: Wait | None) -> None:
            if wait is not None:
                operations.release(connection, wait.key, claiming.token, timer())

        wait = await self.database.write(lambda c: operations.claim(c, claiming, places, timer()), give_back)
        return None if wait is None else Claimed(wait)

    async def complete(self, owner: Owner, key: str, token: str) -> Settled | None:  # noqa: ARG002  # an owner's for good
        return Settled() if await self._write(lambda c, now: operations.complete(c, key, token, now)) else None

    async def release(self, key: str, token: str) -> bool:
        return await self._write(lambda c, now: operations.release(c, key, token, now))

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return await self._write(lambda c, now: operations.renew(c, key, token, lease_ms, now))

    # -- the store as a whole

    async def health(self) -> None:
        await self.database.write(lambda _: None)  # takes the lock for writing, and syncs nothing

    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return _Walk(self, ctx)

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return sum([step.removed async for step in self.purging(ctx, user)])

    async def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        last, after = await self._read(lambda c, _: last_id(c)), 0
        while after < last:
            step, after = await self._write(partial(_purge_window, ctx=ctx, user=user, after=after))
            yield step

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
        return await self._read(partial(_read_window, ctx=ctx, after=after))

    async def last_id(self) -> int:
        """Return where a walk that begins now ends."""
        return await self._read(lambda c, _: last_id(c))


def upkeep(timer: Timer) -> Callable[[sqlite3.Connection], float]:
    """Return what frees expired sessions, a few at a time; for a `Database`."""

    def free(connection: sqlite3.Connection) -> float:
        now = timer()
        soonest = operations.free_expired(connection, now, _FREED_ROWS)
        if soonest is not None and soonest <= now:
            return _FREEING_PAUSE_S
        left = _LONGEST_SLEEP_S if soonest is None else soonest - now
        return min(max(left, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S)

    return free


def _read_window(connection: sqlite3.Connection, now: float, ctx: TenantCtx, after: int) -> tuple[list[Wait], int]:
    window = next_window(connection, after)
    if window is None:
        return [], END
    found, size = list[Wait](), 0
    for row in rows_between(connection, *window, (ctx.env, ctx.tenant_id), text=True):
        wait = _readable(row) if transitions.is_live(row, now) else None
        if wait is not None and tenancy.administers(ctx, None, wait.data):
            found.append(wait)
        size += row.size
        if size >= STEP_BYTES:
            return found, row.id
    return found, window[1]


def _readable(row: Row) -> Wait | None:
    try:
        return row.wait(row.known_scope)
    except CorruptSessionError:
        return None  # whose it is cannot be said; reading it by its key tells


def _purge_window(
    connection: sqlite3.Connection, now: float, ctx: TenantCtx, user: str | None, after: int
) -> tuple[Step, int]:
    window = next_window(connection, after)
    if window is None:
        return Step(0, 0), END
    looked = removed = 0
    for row in list(rows_between(connection, *window)):
        looked += 1
        if tenancy.administers(ctx, user, row.data):
            removed += delete(connection, row) and transitions.is_live(row, now)
    return Step(looked, removed), window[1]


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
