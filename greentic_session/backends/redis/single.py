"""Sessions on one Redis."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from functools import partial

from greentic_session import tenancy
from greentic_session._redis.answers import handed_on, reading_answers
from greentic_session._redis.client import RedisClient
from greentic_session._redis.executor import Executor
from greentic_session._redis.scanning import glob_of, stride, walk
from greentic_session.admin import Inspector, Step
from greentic_session.backend import Claimed, Claiming, Creation, Parking, Settled, Update
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from .keys import LEFTOVER_KINDS, LEFTOVER_KINDS_OF_ALL, Keys, glob_of_kinds
from .purging import meant_by, purge_all
from .replies import RedisReplies
from .slot import Slot

__all__ = ["RedisBackend"]

_STEP = 40
"""Number of sessions that a walk reads in one step."""
_PURGE_STEP = 20
"""Number of sessions that a purge removes in one step: to remove one costs more than to read it."""


@reading_answers
class RedisBackend(RedisReplies):
    """Storage in one namespace of one Redis.

    Args:
        client: The way to it.
        keys: Those of the namespace.
        reading: The way for reads that may be stale; the same by default.
    """

    system = "redis"
    keeps_text = True
    updates_with = True

    def __init__(self, client: RedisClient, keys: Keys, reading: Executor | None = None) -> None:
        self._client = client
        self._reading = reading or client
        self._keys = keys
        self._slot = Slot(client, keys, reading=reading)

    def limit_replies(self, limits: ReplyLimits) -> None:
        super().limit_replies(limits)
        self._slot = Slot(self._client, self._keys, reading=self._reading, limits=limits)

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        return bool(await self._slot.create(creation))

    @handed_on
    def get(self, key: str) -> Awaitable[Wait | None]:
        return self._slot.get(key)

    @handed_on
    def update(self, update: Update) -> Awaitable[str]:
        return self._slot.update(update)

    @handed_on
    def update_with(self, update: Update, other: Creation | Parking) -> Awaitable[str | None]:
        return self._slot.update_with(update, other)

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return bool(await self._slot.remove(key, ctx))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return bool(await self._slot.touch(key, ttl_ms, ctx))

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        return await self._slot.remaining_ms(key, ctx)

    # -- waits, by scope

    @handed_on
    def park(self, parking: Parking) -> Awaitable[Settled]:
        return self._slot.park(parking)

    @handed_on
    def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Awaitable[Wait | None]:
        return self._slot.find(owner, scopes)

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        return await self._slot.find_key(owner, scope)

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        return await self._slot.list_waits(owner)

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        await self._slot.clear(owner, scope)

    async def find_by_user(self, owner: Owner) -> Wait | None:
        return await self._slot.find_by_user(owner)

    # -- claims

    @handed_on
    def claim(self, claiming: Claiming) -> Awaitable[Claimed | None]:
        return self._slot.claim(claiming)

    @handed_on
    def complete(self, owner: Owner, key: str, token: str) -> Awaitable[Settled | None]:
        return self._slot.complete(owner, key, token)

    async def release(self, key: str, token: str) -> bool:
        return await self._slot.release(key, token)

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return bool(await self._slot.renew(key, token, lease_ms))

    # -- the store as a whole

    async def health(self) -> None:
        await self._client.ping()

    async def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        yielded: set[str] = set()  # SCAN may name a key twice
        async for keys in self._steps():
            async for wait in self._slot.get_many(keys):
                if wait.key not in yielded and tenancy.administers(ctx, None, wait.data):
                    yielded.add(wait.key)
                    yield wait

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return sum([step.removed async for step in self.purging(ctx, user)])

    async def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        async with aclosing(self._purging(ctx, user)) as steps:
            async for step in steps:
                yield step
        # What others left behind names users, too: the reference's scope keys, records of what it
        # removed.
        async with aclosing(self._removing_leftovers(ctx, user)) as steps:
            async for step in steps:
                yield step

    async def _purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        if (meant := meant_by(ctx, user)) is None:
            return
        prefix = self._keys.session("")
        skipped = len(prefix.encode())

        async def remove(keys: list[bytes]) -> Step:
            names = [key[skipped:] for key in keys]
            return Step(len(keys), len(await purge_all(names, partial(self._slot.purge, meant))))

        async with aclosing(stride(self._client, glob_of(prefix), remove, "TYPE", "string", step=_PURGE_STEP)) as strides:
            async for steps in strides:
                for step in steps:
                    yield step
                self.check_open()

    async def _removing_leftovers(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        if (meant := meant_by(ctx, user)) is None:
            return
        prefix, within = f"{self._keys.namespace}:", f":{ctx.env}:{ctx.tenant_id}:".encode()
        skipped = len(prefix.encode())

        async def remove_leftovers(keys: list[bytes]) -> None:
            names = [key[skipped:] for key in keys]
            names = [name for name in names if name.startswith(LEFTOVER_KINDS_OF_ALL) or within in name]
            if names:
                await self._slot.remove_leftovers(meant, names)

        pattern = glob_of(prefix, glob_of_kinds(LEFTOVER_KINDS))  # it matches no session
        async with aclosing(stride(self._client, pattern, remove_leftovers, step=2 * _STEP)) as strides:
            async for steps in strides:
                yield Step(len(steps), 0)
                self.check_open()

    def inspector(self) -> Inspector:
        from greentic_session.backends.redis.admin.inspector import RedisInspector  # noqa: PLC0415  # its scripts are for administration only

        return RedisInspector(self._client, self._keys)

    async def _steps(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of all sessions, a few at a time, without ever blocking the server."""
        prefix = self._keys.session("")
        async for found in walk(self._client, glob_of(prefix), "TYPE", "string"):
            self.check_open()
            keys = [key[len(prefix.encode()) :] for key in dict.fromkeys(found)]
            for start in range(0, len(keys), _STEP):
                yield keys[start : start + _STEP]

    async def aclose(self) -> None:
        self.closed = True
        await self._client.aclose()
        await self._reading.aclose()
