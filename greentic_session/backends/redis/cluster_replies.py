"""Replies and deadlines on a Redis Cluster: the operations of one Redis, in the slot of the user.

What is ready is found by the index of `ready_entries`.
"""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar, cast

from greentic_session import tenancy
from greentic_session._redis.answers import foreign, reading_answers, texts
from greentic_session._redis.executor import Arg
from greentic_session._redis.scanning import together
from greentic_session.admin import Step
from greentic_session.backend import arguments, replies
from greentic_session.errors import CorruptSessionError, GreenticError, NotFoundError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner

from .cluster_slots import ClusterSlots
from .keys import REPLIES_KIND, REPLY_KINDS, Keys, glob_of_kinds, key_of, owner_of, owner_text, scope_of, tag_of
from .owner_pointers import Reservation, new_nonce
from .ready_entries import Ask, Named, OutlivesError, SlotExecutor, left_of, looking
from .replies import MAX_COUNTING_STEPS, PASS_TIME, administered, lying_of
from .reply_answers import claimed_of, delivery_name
from .scripts import GIVE_BACK, script, step
from .single import RedisBackend
from .slot import BarredError, ShortError

if TYPE_CHECKING:
    from greentic_session._redis.client import RedisClient

__all__ = ["ClusterReplies"]

T = TypeVar("T")

_CLAIM_HERE = step("claim_here")
_LOOK_HERE = step("look_here")
_DUE_USERS = script("due_users", repeatable=True)
_AT_ONCE = 64
"""Number of slots that are asked at a time for what is ready."""
_MAX_COUNTED_USERS = 500
"""Limit of the users whose ready waits are counted: each is asked for in a slot of its own."""


class _InSlot(RedisBackend):
    """The operations on one Redis, in one slot."""

    def __init__(self, cluster: "ClusterReplies", way: SlotExecutor, keys: Keys) -> None:
        super().__init__(cast("RedisClient", way), keys)  # what it does here, it does in one slot
        self.limit_replies(cluster.reply_limits)
        self._cluster = cluster

    async def put_off(self, putting_off: replies.PuttingOff) -> bool:
        # A step of its own: what came before it must not be done again.
        return await self._cluster.put_off(putting_off)

    async def release(self, key: str, token: str) -> bool:
        return await self._cluster.release(key, token)


@reading_answers
class ClusterReplies(ClusterSlots):
    """The operations on replies and deadlines, in one namespace of one cluster."""

    async def deliver(self, delivering: replies.Delivering) -> replies.Delivered:
        tag, beginning, held = tag_of(delivering.owner), delivering.beginning, None
        due_ms = delivering.lease_ms if delivering.claims else 0
        try:
            async with self.client.in_time():
                begins, replaced, live = beginning is not None and not self._entries.is_remembered(tag, due_ms), "", False
                while True:
                    if beginning is not None and begins and held is None and not live:
                        got = await self._reserve(beginning.key, tag, self._lives_ms(beginning), replaced)
                        if got.tag != tag:
                            outcome, *_ = await self._vacate(beginning.key, got, "")
                            live, replaced = outcome == b"live", got.nonce
                            continue
                        held = got
                    try:
                        delivered = await self._whole(tag, lambda slot: slot.deliver(delivering), held, due_ms=due_ms)
                    except ShortError as error:
                        if live:
                            raise tenancy.taken(error.key) from None
                        begins = True
                    except BarredError:
                        replaced, held = "" if held is None else held.nonce, None
                    else:
                        break
        except BaseException as error:
            if not isinstance(error, GreenticError) or error.code not in {"conflict", "rate_limited"}:
                places = tuple([self._keys.within(tag).wait(delivering.owner, scope) for scope in delivering.scopes])
                whose = (delivery_name(delivering), owner_text(delivering.owner))
                self._give_back(tag, places, delivering.token, *whose)
            if beginning is not None and held is not None:
                self._leave(beginning.key, held)
            raise
        claimed = delivered.claimed
        if claimed is not None:
            self._pointers.remember(claimed.wait.key, tag)
        if beginning is not None and held is not None and (claimed is None or claimed.wait.key != beginning.key):
            self._leave(beginning.key, held)  # of no use, unless the session is there
        return delivered

    async def claim_ready(self, readying: replies.Readying) -> replies.Readiness:
        tenant, team = administered(readying.ctx)
        while True:
            async with self.client.in_time():
                seen = await self._entries.next(tenant, team)
                if not isinstance(seen, Named):
                    return replies.Readiness(next_ms=seen)
                claimed = await self._claim_here(seen, readying)
            if claimed is not None:
                return replies.Readiness(claimed)

    async def readiness(self, ctx: TenantCtx | None) -> replies.Backlog:
        index, (tenant, team) = self._keys.index, administered(ctx)
        counts, tags, at = list[replies.Backlog](), list[bytes](), [0, 0]
        for _ in range(MAX_COUNTING_STEPS):
            words: tuple[Arg, ...] = (index.ready(""), index.namespace, tenant, team, *at, _MAX_COUNTED_USERS - len(tags))
            users, at = await _DUE_USERS.run(self.client, 1, words)
            tags += texts(users)
            if not at or len(tags) == _MAX_COUNTED_USERS:
                break

        async def count(tag: str) -> replies.Backlog:
            return await _InSlot(self, SlotExecutor(self.client), self._keys.within(tag)).readiness_of(tag)

        for start in range(0, len(tags), _AT_ONCE):
            counts += await together(*(count(tag.decode()) for tag in tags[start : start + _AT_ONCE]))
        ages = [each.oldest_ms for each in counts if each.oldest_ms is not None]
        total = sum(each.count for each in counts)
        is_capped = bool(at) or any(each.is_capped for each in counts)
        return replies.Backlog(total, max(ages, default=None), is_capped=is_capped)

    async def take(self, taking: replies.Taking) -> tuple[Reply, ...] | None:
        return await self._in_time(taking.owner, lambda slot: slot.take(taking))

    async def stay(self, staying: replies.Staying) -> bool:
        return await self._in_time(staying.owner, lambda slot: slot.stay(staying))

    async def put_off(self, putting_off: replies.PuttingOff) -> bool:
        def put_off(slot: RedisBackend) -> Awaitable[bool]:
            return RedisBackend.put_off(slot, putting_off)

        return await self._in_time(putting_off.owner, put_off)

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        return await self._in_time(owner, lambda slot: slot.inbox(owner, scope))

    async def retry(self, key: str) -> bool:
        return await self._by_key(key, lambda slot: slot.retry(key))

    async def drop(self, key: str) -> Reply | None:
        return await self._by_key(key, lambda slot: slot.drop(key))

    async def lying(self, ctx: TenantCtx) -> AsyncGenerator[replies.Lying, None]:
        seen: set[tuple[str, bytes]] = set()  # SCAN may name a key twice

        async def read(tag: str, names: list[bytes]) -> list[replies.Lying]:
            fresh = [name for name in names if (tag, name) not in seen]
            seen.update([(tag, name) for name in fresh])
            return await self._step(tag, lambda way: lying_of(way, self._keys.within(tag), fresh, ctx)) if fresh else []

        async with aclosing(self._steps(read, REPLIES_KIND, "TYPE", "hash", ctx=ctx)) as steps:
            async for found in steps:
                for lying in found:
                    yield lying

    async def rewrite(self, rewriting: replies.Rewriting) -> bool:
        return await self._in_time(rewriting.lying.owner, lambda slot: slot.rewrite(rewriting))

    async def pass_time(self, passed_ms: int) -> None:
        """Let so much time pass, in milliseconds: for tests, it looks at every key there is."""
        for server in await self.client.servers():
            await PASS_TIME.run(server, 0, (f"{self._keys.namespace}:", passed_ms))

    # -- within

    async def _forgetting_replies(self, ctx: TenantCtx, meant: tuple[str, str, str, str]) -> AsyncGenerator[Step, None]:
        """Forget the replies and ids of whoever is purged, and what tells that something is ready.

        The slots of others are left alone.
        """
        team, user = meant[2:]

        def is_meant(tag: str) -> bool:
            env, tenant, *within = tag.split(":")
            in_team = not team or within[:1] == [team]
            return [env, tenant] == [ctx.env, ctx.tenant_id] and in_team and (not user or within[1:] == [user])

        async def forget(tag: str, names: list[bytes]) -> Step:
            if is_meant(tag):
                await self._at(tag, lambda at: at.remove_leftovers(meant, names))
            return Step(len(names), 0)

        async with aclosing(self._steps(forget, "", ctx=ctx, pattern=glob_of_kinds(REPLY_KINDS))) as steps:
            async for done in steps:
                yield done
        async for seen in self._entries.every(f"{ctx.env}:{ctx.tenant_id}:"):
            self.check_open()
            if is_meant(seen.tag):
                keys, nonce = self._keys.within(seen.tag), new_nonce()
                way = SlotExecutor(self.client, looking(seen, nonce))
                _, left = await _LOOK_HERE.run(way, 1, (keys.ready(_team_of(seen.tag)), keys.namespace))
                if left_of(left) is None:
                    await self._entries.move(seen, nonce, None)

    def _lives_ms(self, beginning: replies.Beginning) -> int | None:
        """Return how long what is begun may live, at first."""
        if beginning.ttl_ms is None:
            return None
        limits = self.reply_limits
        more = limits.timeout_grace_ms if beginning.resume else 0
        return max(beginning.ttl_ms + more, limits.reply_grace_ms)

    async def _whole(
        self, tag: str, do: Ask[RedisBackend, T], held: Reservation | None = None, *, due_ms: int | None = None
    ) -> T:
        keys = self._keys.within(tag)
        return await self._step(tag, lambda way: do(_InSlot(self, way, keys)), held, due_ms=due_ms)

    async def _in_time(self, owner: Owner, do: Ask[RedisBackend, T]) -> T:
        async with self.client.in_time():
            return await self._whole(tag_of(owner), do)

    async def _by_key(self, key: str, do: Ask[RedisBackend, T]) -> T:
        async with self.client.in_time():
            tag = self._pointers.remembered(key)
            if tag is not None:
                try:
                    return await self._whole(tag, do)
                except NotFoundError:
                    pass  # perhaps it is elsewhere
            asked = await self._pointers.follow(key)
            if asked is None:
                raise tenancy.absent(key)
            return await self._whole(asked, do)

    async def _claim_here(self, seen: Named, readying: replies.Readying) -> arguments.Claimed | None:
        """Claim what an entry leads to; see that the entry tells what is left."""
        tag, token = seen.tag, readying.token
        keys, held = self._keys.within(tag), None
        words = (keys.ready(_team_of(tag)), keys.namespace, tag, token, readying.turn_key, readying.lease_ms)
        try:
            while True:
                nonce = new_nonce()
                try:
                    answer = await _CLAIM_HERE.run(SlotExecutor(self.client, looking(seen, nonce, held)), 1, words)
                except OutlivesError as error:
                    held = await self._reserve(error.key, tag, error.ttl_ms, "")
                    continue
                outcome, *more, left = answer
                if outcome != b"again":
                    break
            self._entries.forget(tag)
            await self._entries.move(seen, nonce, left_of(left))
        except BaseException:
            self._give_back(tag, (f"{keys.namespace}:made:{token}",), token)
            raise
        if outcome == b"nothing":
            return None
        if outcome != b"claimed":
            raise foreign()
        return await self._read_claim(tag, token, more)

    async def _read_claim(self, tag: str, token: str, told: list[Any]) -> arguments.Claimed | None:
        owner, scope, key, text, *rest = told
        whose, slot = owner_of(owner), _InSlot(self, SlotExecutor(self.client), self._keys.within(tag))
        try:
            claimed = claimed_of(slot.read_wait(whose, key, text, scope_of(scope)), rest)
        except CorruptSessionError as error:
            await slot.put_off_unreadable(whose, key_of(key), token, error)
            return None
        self._pointers.remember(claimed.wait.key, tag)
        return claimed

    def _give_back(self, tag: str, places: tuple[str, ...], token: str, *whose: str) -> None:
        """Give back the claim of a call that was cut off, if it got one."""
        words: tuple[Arg, ...] = (*places, self._keys.within(tag).namespace, token, *whose)

        async def give_back() -> None:
            async with self.client.in_time():
                await self._step(tag, lambda way: GIVE_BACK.run(way, len(places), words))
                await self._entries.name(tag, 0)  # where the server did so before, nobody has written it

        self._detached.start(give_back)


def _team_of(tag: str) -> str:
    """Return what names the team of a user: ``env:tenant:team or -``."""
    return tag.rpartition(":")[0]
