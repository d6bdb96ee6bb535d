"""Operations on a cluster find the slot of a user here, and take a reservation or an entry there.

`owner_pointers` tells what a reservation is, `ready_entries` what an entry is.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from greentic_session._concurrency.detached import Detached
from greentic_session._redis.cluster import ClusterClient
from greentic_session._redis.executor import Executor
from greentic_session._redis.scanning import together, walk
from greentic_session.backend import SessionBackend
from greentic_session.models import TenantCtx

from .keys import SESSION_KIND, ClusterKeys
from .owner_pointers import Pointers, Reservation, new_nonce
from .ready_entries import Ask, Entries, SlotExecutor
from .slot import Slot

__all__ = ["ClusterSlots"]

T = TypeVar("T")

_AT_ONCE = 64
"""Number of slots that a walk asks at a time."""
_UNRESERVED = ("", "")


class ClusterSlots(SessionBackend):
    """The slots of one namespace of one cluster.

    Args:
        client: The way there.
        keys: How keys are named.
        reading: The same for reads that may be stale, where the caller asked for that; else
            `client` again.
    """

    system = "redis"
    keeps_text = True

    def __init__(self, client: ClusterClient, keys: ClusterKeys, reading: Executor) -> None:
        self.client = client
        self._reading = reading
        self._keys = keys
        self._pointers = Pointers(client, keys.namespace)
        self._entries = Entries(client, keys)
        self._detached = Detached()

    async def _step(
        self, tag: str, take: Ask[SlotExecutor, T], held: Reservation | None = None, *, due_ms: int | None = None
    ) -> T:
        """As `Entries.step`."""
        return await self._entries.step(tag, take, self._reserve, held, due_ms=due_ms)

    async def _at(self, tag: str, ask: Ask[Slot, T], held: Reservation | None = None, *, due_ms: int | None = None) -> T:
        """Ask the sessions of one slot, with what a reservation allows there."""
        keys, hold = self._keys.within(tag), _UNRESERVED if held is None else (held.nonce, held.lives)
        return await self._step(tag, lambda way: ask(Slot(way, keys, hold, limits=self.reply_limits)), held, due_ms=due_ms)

    async def _look_at(self, tag: str, ask: Ask[Slot, T]) -> T:
        """Ask one slot for what may be stale, if the caller asked for that."""
        if self._reading is self.client:
            return await self._at(tag, ask)
        return await ask(Slot(self._reading, self._keys.within(tag)))

    async def _where_it_is(
        self, key: str, ask: Ask[Slot, T], is_there: Callable[[T], bool], *, stale: bool = False
    ) -> T | None:
        """Ask the remembered slot of a key; if nothing is there, the slot of its owner pointer."""
        at = self._look_at if stale else self._at
        tag = self._pointers.remembered(key)
        if tag is not None:
            found = await at(tag, ask)
            if is_there(found):
                return found
        asked = await self._pointers.follow(key)
        return None if asked is None else await at(asked, ask)

    async def _reserve(self, key: str, tag: str, ttl_ms: int | None, replaced: str) -> Reservation:
        """As `Pointers.reserve`; who is cancelled or fails leaves no reservation behind."""
        nonce = new_nonce()
        try:
            return await self._pointers.reserve(key, tag, nonce, ttl_ms, replaced)
        except BaseException:
            self._leave(key, Reservation(nonce, tag, 0))
            raise

    def _leave(self, key: str, held: Reservation) -> None:
        """End the unused reservation of this call, unless a session lives under its key."""

        async def end() -> None:
            async with self.client.in_time():
                outcome, *_ = await self._vacate(key, held, "")
                if outcome == b"free":
                    await self._pointers.end(key, held.nonce)

        self._detached.start(end)

    async def _vacate(self, key: str, held: Reservation, owner: str) -> list[bytes]:
        """Bar a reservation that another slot has, if nothing lives there."""
        return await Slot(self.client, self._keys.within(held.tag)).vacate(key, held.nonce, owner)

    async def _steps(
        self,
        do: Callable[[str, list[bytes]], Awaitable[T]],
        kind: str = SESSION_KIND,
        *terms: str,
        ctx: TenantCtx,
        pattern: str | None = None,
    ) -> AsyncGenerator[T, None]:
        """Run `do` on all of a tenant's keys of a kind, slot by slot; again if slots have moved.

        Args:
            do: Is given the hash tag of a slot, and the keys there behind their kind.
            kind: What stands before them.
            terms: As for SCAN.
            ctx: Of the tenant.
            pattern: What the keys look like; behind the kind anything by default.
        """
        names = self._keys.every(pattern or f"{kind}*", f"{ctx.env}:{ctx.tenant_id}:")
        while True:
            servers = await self.client.servers()
            before = self.client.owners()
            for server in servers:
                async for found in walk(server, names, *terms):
                    self.check_open()
                    work = list(self._keys.by_tag(dict.fromkeys(found), kind).items())
                    for start in range(0, len(work), _AT_ONCE):
                        for done in await together(*(do(tag, keys) for tag, keys in work[start : start + _AT_ONCE])):
                            yield done
            await self.client.servers()
            if self.client.owners() == before:
                return
