"""Replies of a SQLite file as one side of a copy."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec

from greentic_session._base.dates import EPOCH
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session._sqlite.database import Database
from greentic_session.backends.sqlite.copying import CopiedTurn
from greentic_session.backends.sqlite.copying_replies import (
    Letter,
    Settled,
    copied_replies,
    inboxes_behind,
    lacking,
    remember_settled,
    settle_copies,
    settled_behind,
    store_inbox,
)
from greentic_session.backends.sqlite.walking import END
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import Received, Turn, name_of_deadline

from .exported import DEADLINE, CopiedReply, ExportedDelivery, ExportedInbox, ExportedReply, ExportedTurn, identity_of
from .sides import ReplySource, ReplyTarget

__all__ = ["SQLiteReplySource", "SQLiteReplyTarget", "copied_turn", "exported_turn"]

_STEP: Final = 100
"""How many copies are looked at in a step."""
_SCOPES: Final = msgspec.json.Decoder(ReplyScope)


class SQLiteReplySource(ReplySource):
    """Replies that come from a file.

    Args:
        database: Which one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def inboxes(self) -> AsyncGenerator[ExportedInbox, None]:
        """See `ReplySource.inboxes`."""
        after = 0
        while after != END:
            seen, now = asyncio.get_running_loop().time(), time.time()
            found, after = await self._database.read(partial(inboxes_behind, after=after, now=now))
            for owner, scope, letters in found:
                yield ExportedInbox(seen, _text_of(owner), scope, tuple([_exported(letter, now) for letter in letters]))

    async def deliveries(self) -> AsyncIterator[list[ExportedDelivery]]:
        """See `ReplySource.deliveries`."""
        after = 0
        while after != END:
            seen, now = asyncio.get_running_loop().time(), time.time()
            found, after = await self._database.read(partial(settled_behind, after=after, now=now))
            yield [ExportedDelivery(seen, _text_of(owner), name, round((end - now) * 1000)) for owner, name, end in found]

    async def lacks(self, copies: list[CopiedReply]) -> list[CopiedReply]:
        """See `ReplySource.lacks`."""
        asked = [(copy.id, _owner_of(copy.owner), bytes.fromhex(copy.name)) for copy in copies]
        gone = await self._database.read(partial(lacking, copies=asked))
        return [copy._replace(forgotten=gone[copy.id]) for copy in copies if copy.id in gone]


class SQLiteReplyTarget(ReplyTarget):
    """Replies that go to a file.

    Args:
        database: Which one.
        source: What copies are marked with.
    """

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source

    async def put_inbox(self, inbox: ExportedInbox) -> int:
        """See `ReplyTarget.put_inbox`."""
        base = _base(inbox.seen)
        return await self._database.write(
            lambda c: store_inbox(
                c,
                self._source,
                _owner_of(inbox.owner),
                _SCOPES.decode(inbox.scope),
                [_received(reply, base) for reply in inbox.replies],
                time.time(),
            )
        )

    async def put_deliveries(self, deliveries: list[ExportedDelivery]) -> None:
        """See `ReplyTarget.put_deliveries`."""
        settled = [Settled(_owner_of(one.owner), one.name, _base(one.seen) + one.left / 1000) for one in deliveries]
        await self._database.write(lambda c: remember_settled(c, settled, time.time()))

    async def copies(self) -> AsyncIterator[list[CopiedReply]]:
        """See `ReplyTarget.copies`."""
        after, source = "", self._source
        while found := await self._database.read(partial(copied_replies, source=source, after=after, most=_STEP)):
            after = found[-1][0]
            yield [
                CopiedReply(_text_of(owner), _SCOPES.decode(at).scope_hash(), id, "" if name is None else name.hex())
                for id, owner, at, name in found
            ]

    async def remove(self, copies: list[CopiedReply]) -> None:
        """See `ReplyTarget.remove`."""
        gone = {copy.id: copy.forgotten for copy in copies}
        await self._database.write(lambda c: settle_copies(c, self._source, gone, time.time()))


def exported_turn(turn: CopiedTurn | None, now: float, held: tuple[bytes, ...] = ()) -> ExportedTurn | None:
    """Return what a session takes part in, on its way."""
    if turn is None:
        return None
    open_turn = turn.turn
    about = "" if open_turn is None else open_turn.about
    return ExportedTurn(
        deadline=_left(turn.deadline, now),
        rest=_left(turn.rest_end, now),
        resume=turn.resume,
        put_off=_left(turn.put_off, now) if turn.put_off else None,
        is_new=turn.is_new,
        about=DEADLINE if about == name_of_deadline(turn.deadline) else about,
        failed=0 if open_turn is None else open_turn.failed,
        key="" if open_turn is None else open_turn.key,
        held=tuple([_SCOPES.decode(at).scope_hash() for at in held]),
    )


def copied_turn(turn: ExportedTurn | None, now: float) -> CopiedTurn | None:
    """Return what a session takes part in, as it is stored."""
    if turn is None:
        return None
    deadline = _moment(turn.deadline, now)
    about = name_of_deadline(deadline) if turn.about == DEADLINE else turn.about
    return CopiedTurn(
        deadline,
        _moment(turn.rest, now),
        turn.resume,
        0.0 if turn.put_off is None else _moment(turn.put_off, now),
        turn.is_new,
        Turn(about, turn.failed, turn.key) if turn.key else None,
    )


def _exported(letter: Letter, now: float) -> ExportedReply:
    return ExportedReply(
        id=letter.id,
        scope=letter.scope,
        delivery_id=letter.delivery_id,
        sender=letter.sender,
        size=letter.size,
        accepted=round((letter.accepted - now) * 1000),
        told=round(letter.accepted_at * 1_000_000),
        keep=_left(letter.keep_until, now) if letter.keep_until else None,
        token=letter.token or "",
        held=round((letter.held_until - now) * 1000) if letter.token else 0,
        body=letter.body,
    )


def _received(reply: ExportedReply, base: float) -> Received:
    return Received(
        Reply(
            reply.id,
            reply.body.decode(),
            _SCOPES.decode(reply.scope),
            EPOCH + timedelta(microseconds=reply.told),
            reply.delivery_id,
            reply.sender,
        ),
        reply.size,
        base + reply.accepted / 1000,
        0.0 if reply.keep is None else base + reply.keep / 1000,
        reply.token or None,
        base + reply.held / 1000 if reply.token else 0.0,
    )


def _base(seen: float) -> float:
    """Return, by this machine's clock, when something was read."""
    return time.time() - (asyncio.get_running_loop().time() - seen)


def _left(moment: float, now: float) -> int | None:
    return None if moment == NEVER_ENDS else round((moment - now) * 1000)


def _moment(left: int | None, now: float) -> float:
    return NEVER_ENDS if left is None else now + left / 1000


def _text_of(owner: Owner) -> bytes:
    env, tenant, team, user = owner
    return f"{env}:{tenant}:{team or ''}:{user}".encode()


def _owner_of(text: bytes) -> Owner:
    env, tenant, team, user = identity_of(text)
    return env, tenant, team, user or ""
