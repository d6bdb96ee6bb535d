"""Replies of a Redis as one side of a copy, each inbox in one step."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Iterable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from greentic_session._redis.answers import foreign, number
from greentic_session._redis.executor import Arg, Executor
from greentic_session.backends.redis.keys import CARRIED_KIND, DELIVERED_KIND, REPLIES_KIND, owner_of
from greentic_session.backends.redis.reply_answers import terms_of
from greentic_session.backends.redis.scripts import script, step
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope
from greentic_session.reply import delivery_hash

from .exported import CopiedReply, ExportedDelivery, ExportedInbox, ExportedReply, ExportedTurn
from .redis_side import RedisSide
from .sides import ReplySource, ReplyTarget, unheard

__all__ = ["RedisReplySource", "RedisReplyTarget", "read_turn", "words_of_turn"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_CARRIED = script("carried", repeatable=True)
_EXPORT_DELIVERIES = script("export_deliveries", repeatable=True)
_EXPORT_INBOXES = script("export_inboxes", repeatable=True)
_IMPORT_DELIVERIES = script("import_deliveries", int)
_IMPORT_INBOX = step("import_inbox", int)
_LACKING = script("lacking", repeatable=True)
_SETTLE_COPIES = step("settle_copies", int)

_STEP: Final = 50
"""How many deliveries are remembered in one step."""
_BESIDE: Final = msgspec.json.Decoder(tuple[str | None, str | None, msgspec.Raw])
_SCOPES: Final = msgspec.json.Decoder(ReplyScope)


class RedisReplySource(ReplySource):
    """Replies that come from a Redis.

    Args:
        side: Which one.
    """

    def __init__(self, side: RedisSide) -> None:
        self._side = side

    async def inboxes(self) -> AsyncGenerator[ExportedInbox, None]:
        """See `ReplySource.inboxes`."""
        async for keys, names in self._side.walk(REPLIES_KIND, unheard, "hash"):
            at = 0
            while at < len(names):
                seen = asyncio.get_running_loop().time()
                words = (keys.session(""), keys.namespace, *names[at:])
                looked, found = await _EXPORT_INBOXES.run(self._side.client, 1, words)
                at += number(looked)
                for owner, scope, terms, *replies in found:
                    yield ExportedInbox(seen, owner, scope, tuple([_exported(one) for one in replies]), terms.decode())

    async def deliveries(self) -> AsyncIterator[list[ExportedDelivery]]:
        """See `ReplySource.deliveries`."""
        async for keys, names in self._side.walk(DELIVERED_KIND, unheard):
            seen = asyncio.get_running_loop().time()
            found = await _EXPORT_DELIVERIES.run(self._side.client, 1, (keys.session(""), keys.namespace, *names))
            yield [ExportedDelivery(seen, owner, bytes.fromhex(name.decode()), number(left)) for owner, name, left in found]

    async def lacks(self, copies: list[CopiedReply]) -> list[CopiedReply]:
        """See `ReplySource.lacks`."""
        gone = list[CopiedReply]()
        for owner, lying in _by(copies, lambda copy: copy.owner).items():
            keys = self._side.keys_of(owner_of(owner))
            words: list[Arg] = [keys.session(""), keys.namespace]
            for copy in lying:
                words += (copy.owner, copy.scope_hash, copy.id, copy.name)
            found = await _LACKING.run(self._side.client, 1, tuple(words))
            gone += [
                copy._replace(forgotten=told == b"forgotten")
                for copy, told in zip(lying, found, strict=True)
                if told != b"there"
            ]
        return gone


class RedisReplyTarget(ReplyTarget):
    """Replies that go to a Redis.

    Args:
        side: Which one.
        source: What copies are marked with.
    """

    def __init__(self, side: RedisSide, source: str) -> None:
        self._side = side
        self._source = source

    async def put_inbox(self, inbox: ExportedInbox) -> int:
        """See `ReplyTarget.put_inbox`."""
        keys, hash = self._side.keys_of(owner_of(inbox.owner)), _SCOPES.decode(inbox.scope).scope_hash()
        place: tuple[Arg, ...] = (self._source, inbox.owner, hash, inbox.scope, inbox.terms or _DEFAULT_TERMS)

        async def take(way: Executor) -> int:
            passed = _passed(inbox.seen)
            words: list[Arg] = [keys.session(""), keys.namespace, *place]
            for reply in inbox.replies:
                words += _words_of(reply, passed)
            return int(await _IMPORT_INBOX.run(way, 1, tuple(words)))

        is_due = any(reply.keep is None and not reply.token for reply in inbox.replies)
        return await self._side.step(keys, take, due_ms=0 if is_due else None)

    async def put_deliveries(self, deliveries: list[ExportedDelivery]) -> None:
        """See `ReplyTarget.put_deliveries`."""
        for group in _by(deliveries, lambda one: self._side.keys_of(owner_of(one.owner)).namespace).values():
            keys = self._side.keys_of(owner_of(group[0].owner))
            for start in range(0, len(group), _STEP):
                words: list[Arg] = [keys.session(""), keys.namespace]
                for one in group[start : start + _STEP]:
                    words += (one.owner, one.name.hex(), one.left - _passed(one.seen))
                await _IMPORT_DELIVERIES.run(self._side.client, 1, tuple(words))

    async def copies(self) -> AsyncIterator[list[CopiedReply]]:
        """See `ReplyTarget.copies`."""
        async for keys, names in self._side.walk(CARRIED_KIND, unheard, "hash"):
            words = (keys.session(""), keys.namespace, self._source, *names)
            for owner, hash, *lying in await _CARRIED.run(self._side.client, 1, words):
                pairs = zip(lying[::2], lying[1::2], strict=True)
                yield [CopiedReply(owner, hash.decode(), id.decode(), name.decode()) for id, name in pairs]

    async def remove(self, copies: list[CopiedReply]) -> None:
        """See `ReplyTarget.remove`."""
        for (owner, hash), lying in _by(copies, lambda copy: (copy.owner, copy.scope_hash)).items():
            keys = self._side.keys_of(owner_of(owner))
            words: list[Arg] = [keys.session(""), keys.namespace, self._source, owner, hash]
            for copy in lying:
                words += (copy.id, "1" if copy.forgotten else "")
            await self._side.step(keys, partial(_SETTLE_COPIES.run, keys=1, words=tuple(words)))


def read_turn(told: list[Any]) -> ExportedTurn | None:
    """Return what `lua/migration/export.lua` tells of a session's part; None for none."""
    if not told:
        return None
    deadline, rest, resume, put_off, is_new, about, failed, key, held, terms = told
    return ExportedTurn(
        deadline=_left(deadline),
        rest=_left(rest),
        resume=bool(number(resume)),
        put_off=_left(put_off),
        is_new=bool(number(is_new)),
        about=about.decode(),
        failed=number(failed),
        key=key.decode(),
        held=tuple(held.decode().split()),
        terms=terms.decode(),
    )


def words_of_turn(turn: ExportedTurn | None) -> tuple[Arg, ...]:
    """Return the same for `lua/migration/import.lua`."""
    if turn is None:
        return ()
    moments = [_word(moment) for moment in (turn.deadline, turn.rest, turn.put_off)]
    deadline, rest, put_off = moments
    flags = "1" if turn.resume else "", "1" if turn.is_new else ""
    open_turn = (turn.about, turn.failed, turn.key)
    return (deadline, rest, flags[0], put_off, flags[1], *open_turn, " ".join(turn.held), turn.terms or _DEFAULT_TERMS)


def _exported(told: list[Any]) -> ExportedReply:
    id, body, beside, accepted_at, size, accepted, keep, token, held = told
    try:
        delivery_id, sender, scope = _BESIDE.decode(beside)
    except msgspec.MsgspecError as error:
        raise foreign() from error
    return ExportedReply(
        id=id.decode(),
        scope=bytes(scope),
        delivery_id=delivery_id,
        sender=sender,
        size=number(size),
        accepted=int(accepted),
        told=int(accepted_at),
        keep=_left(keep),
        token=token.decode(),
        held=int(held),
        body=body,
    )


def _words_of(reply: ExportedReply, passed: int) -> tuple[Arg, ...]:
    name = ""
    if reply.delivery_id is not None:
        name = delivery_hash(_SCOPES.decode(reply.scope).conversation, reply.delivery_id).hex()
    beside = msgspec.json.encode((reply.delivery_id, reply.sender, msgspec.Raw(reply.scope)))
    keep = "" if reply.keep is None else reply.keep - passed
    moments = (reply.size, reply.accepted - passed, keep, reply.token, reply.held - passed)
    return (reply.id, reply.body, beside, reply.told, *moments, name)


def _by(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return some items by what they have in common, in their order."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _passed(seen: float) -> int:
    """Return how many milliseconds ago something was read."""
    return round((asyncio.get_running_loop().time() - seen) * 1000)


def _left(told: bytes) -> int | None:
    return int(told) if told else None


def _word(left: int | None) -> Arg:
    return "" if left is None else left


_DEFAULT_TERMS: Final = terms_of(ReplyLimits())
"""For how long things are kept that come from where no store of ours said so."""
