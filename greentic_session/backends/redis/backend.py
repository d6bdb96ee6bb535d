"""Sessions on one Redis."""

from collections.abc import AsyncIterator

from greentic_session import fence
from greentic_session.backend import SessionBackend
from greentic_session.fence import Owner
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.transport.link import Link
from greentic_session.wait import Wait

from .keys import Keys
from .sessions import Sessions
from .walk import walk

__all__ = ["RedisBackend"]

_STEP = 100
"""How many sessions a walk reads, or a purge removes, in one step."""


class RedisBackend(Sessions, SessionBackend):
    """Storage in one namespace of one Redis."""

    system = "redis"

    def __init__(self, link: Link, keys: Keys) -> None:
        super().__init__(link, keys)
        self._link = link

    async def create(self, key: SessionKey, data: SessionData, pointer: Owner | None, ttl_ms: int | None) -> bool:
        return bool(await super().create(key, data, pointer, ttl_ms))

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return bool(await super().remove(key, ctx))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return bool(await super().touch(key, ttl_ms, ctx))

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        await super().clear(owner, scope)

    async def complete(self, key: str, token: str) -> bool:
        return bool(await super().complete(key, token))

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return bool(await super().renew(key, token, lease_ms))

    async def health(self) -> None:
        await self._link.ping()

    async def scan(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        yielded: set[str] = set()  # SCAN may name a key twice
        async for keys in self._steps():
            async for wait in self.read_many(keys):
                if wait.key not in yielded and fence.administers(ctx, None, wait.data):
                    yielded.add(wait.key)
                    yield wait

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        if user is not None and ctx.effective_user not in (None, user):
            return 0
        removed = 0
        async for keys in self._steps():
            removed += len(await self.remove_many(ctx, user, keys))
        return removed

    async def _steps(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of all sessions, a few at a time."""
        prefix = self._keys.session("").encode()
        async for found in walk(self._link, prefix, b"", self.check_open):
            for start in range(0, len(found), _STEP):
                yield [key[len(prefix) :] for key in found[start : start + _STEP]]

    async def aclose(self) -> None:
        self.closed = True
        await self._link.aclose()
