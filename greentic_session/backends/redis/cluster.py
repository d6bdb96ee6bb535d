"""Sessions on a Redis Cluster: the operations of a slot, each in the slot of one user.

`owner_pointers` tells where things are and why that is safe. An operation by scope goes to the slot
of the user, in one round trip. One by session key goes to the slot that the client remembers, or
asks the owner pointer of the key first. Storing a new session takes a reservation first, and
removing one takes its pointer away afterwards: a round trip more each.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from greentic_session import tenancy
from greentic_session._redis.answers import reading_answers
from greentic_session.admin import Inspector, Step
from greentic_session.backend import Claimed, Claiming, Creation, Parking, Settled, Update
from greentic_session.errors import CorruptSessionError, GreenticError, OperationTimeoutError
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from .cluster_replies import ClusterReplies
from .keys import SESSION_KIND, identity_text, key_of, tag_of, tag_without_user
from .owner_pointers import Reservation
from .purging import meant_by, purge_all
from .slot import BarredError, Removal, ShortError, Slot

__all__ = ["RedisClusterBackend"]

T = TypeVar("T")

_UNRESERVED = ("", "")


@reading_answers
class RedisClusterBackend(ClusterReplies):
    """Storage in one namespace of one cluster."""

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        key, pointer = creation.key, creation.pointer
        async with self.client.in_time():
            tag = tag_of(pointer) if pointer is not None else _tag_without_user(creation.data, key)
            replaced = ""
            while True:
                held = await self._reserve(key, tag, creation.ttl_ms, replaced)
                if held.tag != tag:
                    outcome, *_ = await self._vacate(key, held, "")
                    if outcome == b"live":
                        return False
                    replaced = held.nonce
                    continue
                try:
                    created = bool(await self._at(tag, lambda at: at.create(creation), held))
                except BarredError:
                    replaced = held.nonce
                    continue
                except BaseException:
                    self._leave(key, held)
                    raise
                if created:
                    self._pointers.remember(key, tag)
                return created

    async def get(self, key: str) -> Wait | None:
        async with self.client.in_time():
            return await self._where_it_is(key, lambda at: at.get(key), lambda found: found is not None, stale=True)

    async def update(self, update: Update) -> str:
        key = update.key
        async with self.client.in_time():
            tag = self._pointers.remembered(key)
            if tag is not None:
                try:
                    return await self._at(tag, lambda at: at.update(update))
                except LookupError:
                    pass  # perhaps it is elsewhere
            asked = await self._pointers.follow(key)
            if asked is None:
                raise tenancy.absent(key)
            return await self._at(asked, lambda at: at.update(update))

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        async with self.client.in_time():
            return await self._ended(key, await self._where_it_is(key, lambda at: at.remove(key, ctx), bool))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        async with self.client.in_time():
            return bool(await self._lengthened(key, ttl_ms, lambda at: at.touch(key, ttl_ms, ctx)))

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        async with self.client.in_time():
            ask: Callable[[Slot], Awaitable[int | Never | None]] = lambda at: at.remaining_ms(key, ctx)
            return await self._where_it_is(key, ask, lambda left: left is not None, stale=True)

    # -- waits, by scope

    async def park(self, parking: Parking) -> Settled:
        key = parking.key
        lives_ms, due_ms = parking.ttl_ms, parking.ttl_ms if parking.resume else None
        if parking.resume and lives_ms is not None:
            lives_ms += self.reply_limits.timeout_grace_ms
        async with self.client.in_time():
            tag = tag_of(parking.owner)

            async def park(held: Reservation | None = None) -> Settled:
                settled = await self._at(tag, lambda at: at.park(parking), held, due_ms=due_ms)
                self._pointers.remember(key, tag)
                return settled

            if parking.token is not None or self._pointers.remembered(key) == tag:
                try:
                    return await park()
                except ShortError:
                    pass  # it is not there, or its pointer would not live as long
            replaced = ""
            while True:
                held = await self._reserve(key, tag, lives_ms, replaced)
                if held.tag != tag:
                    if parking.token is not None:
                        raise tenancy.claim_over(key)
                    outcome, *more = await self._vacate(key, held, identity_text(parking.data.tenant_ctx))
                    if outcome == b"live" and not more[0]:
                        raise CorruptSessionError("the stored text under this key is not a session", session_key=key)
                    if outcome == b"live":
                        raise tenancy.cannot_change(more[0].decode(), parking.data, key)
                    replaced = held.nonce
                    continue
                try:
                    return await park(held)
                except BarredError:
                    replaced = held.nonce
                except BaseException:
                    self._leave(key, held)
                    raise

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        return await self._look_at(tag_of(owner), lambda at: at.find(owner, scopes))

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        return await self._look_at(tag_of(owner), lambda at: at.find_key(owner, scope))

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        return await self._at(tag_of(owner), lambda at: at.list_waits(owner))

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        async with self.client.in_time():
            if removed := await self._at(tag_of(owner), lambda at: at.clear(owner, scope)):
                await self._ended(*removed)

    async def find_by_user(self, owner: Owner) -> Wait | None:
        return await self._at(tag_of(owner), lambda at: at.find_by_user(owner))

    # -- claims

    async def claim(self, claiming: Claiming) -> Claimed | None:
        tag, held = tag_of(claiming.owner), None
        try:
            async with self.client.in_time():
                while True:
                    try:
                        found = await self._at(tag, lambda at: at.claim(claiming), held)
                    except ShortError as error:
                        held = await self._reserve(error.key, tag, claiming.lease_ms, "")
                        continue
                    if found is None:
                        return None
                    self._pointers.remember(found.wait.key, tag)
                    return found
        except (asyncio.CancelledError, OperationTimeoutError):
            places = tuple([self._keys.within(tag).wait(claiming.owner, scope) for scope in claiming.scopes])
            self._give_back(tag, places, claiming.token)
            raise

    async def complete(self, owner: Owner, key: str, token: str) -> Settled | None:
        async with self.client.in_time():
            removal = await self._at(tag_of(owner), lambda at: at.complete(owner, key, token))
            await self._ended(key, removal)
            return removal

    async def release(self, key: str, token: str) -> bool:
        async with self.client.in_time():
            return bool(await self._where_it_is(key, lambda at: at.release(key, token), bool))

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        async with self.client.in_time():
            return bool(await self._lengthened(key, lease_ms, lambda at: at.renew(key, token, lease_ms)))

    # -- the store as a whole

    async def health(self) -> None:
        await self.client.ping()

    async def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        yielded: set[str] = set()

        async def read(tag: str, keys: list[bytes]) -> list[Wait]:
            return [wait async for wait in Slot(self.client, self._keys.within(tag)).get_many(keys)]

        async for found in self._steps(read, SESSION_KIND, "TYPE", "string", ctx=ctx):
            for wait in found:
                if wait.key not in yielded and tenancy.administers(ctx, None, wait.data):
                    yielded.add(wait.key)
                    yield wait

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return sum([step.removed async for step in self.purging(ctx, user)])

    async def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        meant = meant_by(ctx, user)
        if meant is None:
            return

        async def remove(tag: str, keys: list[bytes]) -> Step:
            # Each script is a step of its own: what came before one that is undone stays done.
            removed = await purge_all(keys, lambda some: self._at(tag, lambda at: at.purge(meant, some)))
            for key, nonce in removed:
                await self._ended(key_of(key), Removal(nonce=nonce))
            return Step(len(keys), len(removed))

        async with aclosing(self._steps(remove, SESSION_KIND, "TYPE", "string", ctx=ctx)) as steps:
            async for step in steps:
                yield step
        async with aclosing(self._forgetting_replies(ctx, meant)) as steps:
            async for step in steps:
                yield step

    def inspector(self) -> Inspector:
        from greentic_session.backends.redis.admin.cluster_inspector import RedisClusterInspector  # noqa: PLC0415  # its scripts are for administration only

        return RedisClusterInspector(self.client, self._keys, self._pointers)

    async def aclose(self) -> None:
        self.closed = True
        await self.client.aclose()

    # -- within

    async def _lengthened(self, key: str, ttl_ms: int | None, give: Callable[[Slot], Awaitable[bool]]) -> bool:
        """Lengthen the lifetime of a session, after that of its owner pointer if need be."""
        tag, held = self._pointers.remembered(key), None
        certain = tag is None
        if tag is None:
            tag = await self._pointers.follow(key)
        while tag is not None:
            try:
                given = await self._at(tag, give, held)
            except ShortError:
                held = await self._reserve(key, tag, ttl_ms, "")
                tag = held.tag
                continue
            if given or certain:
                return given
            tag, held, certain = await self._pointers.follow(key), None, True
        return False

    async def _ended(self, key: str, removal: Removal | None) -> bool:
        """Delete the owner pointer of a removed session; return whether a session was removed."""
        if removal is not None and removal.nonce is not None:
            try:
                await self._pointers.end(key, removal.nonce.decode())
            except GreenticError:
                pass  # the session is gone, which is what counts; a lone pointer expires
        return removal is not None


def _tag_without_user(data: SessionData, key: str) -> str:
    ctx = data.tenant_ctx
    return tag_without_user(ctx.env, ctx.tenant_id, ctx.effective_team, key)
