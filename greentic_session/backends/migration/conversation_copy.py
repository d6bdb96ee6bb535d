"""The conversations of a copy: out of one Redis, and into another, each in one step."""

import asyncio
from typing import NamedTuple

from greentic_session.conversation.backends.redis.scripts import Scripts
from greentic_session.tenancy import NO_TEAM, Partition

from .report import Report
from .side import Side

__all__ = ["Conversations"]

_NEAR = 1000
"""How far apart two lifetimes may be that count as one, in ms."""
_TIMES = (b"created_at", b"updated_at")


class _Seen(NamedTuple):
    """What is to be known before a conversation is read.

    Attributes:
        ttl: In ms, -1 for ever.
        at: When it was seen, by the loop's clock.
    """

    updated_at: int
    birth: str
    ttl: int
    at: float

    def left(self) -> int | None:
        """Return what is left of its life now, in ms; None for ever."""
        passed = round((asyncio.get_running_loop().time() - self.at) * 1000)
        return None if self.ttl == -1 else self.ttl - passed


class Conversations:
    """Copies conversations. The later change wins; of two alike the longer lifetime.

    Args:
        source: Where they come from.
        target: Where they go to.
        report: Where all is counted.
    """

    def __init__(self, source: Side, target: Side, report: Report) -> None:
        self._sides = (source, target)
        self._from = Scripts(source.client, source.conversations)
        self._to = Scripts(target.client, target.conversations)
        self._report = report

    async def copy(self, name: bytes) -> None:
        """Copy a conversation, if it is newer than the target's.

        Args:
            name: ``env:tenant:team or -:id``.
        """
        try:
            env, tenant, team, id = name.decode().split(":", 3)
        except ValueError:
            self._report.conversations_corrupt += 1
            return
        partition: Partition = (env, tenant, None if team == NO_TEAM else team)
        theirs, ours = await asyncio.gather(*(self._peek(side, partition, id) for side in self._sides))
        if theirs is None:
            return
        if ours is not None and not _is_older(ours, theirs):
            await self._compare(partition, id, theirs, ours)
        else:
            await self._write(partition, id, theirs, ours)

    async def _compare(self, partition: Partition, id: str, theirs: _Seen, ours: _Seen) -> None:
        """Leave the target's alone, unless it is the same and lives shorter."""
        if (ours.updated_at, ours.birth) != (theirs.updated_at, theirs.birth):
            self._report.conversations_kept += 1
            return
        left = theirs.left()
        if left is not None and ours.ttl != -1 and left > ours.ttl + _NEAR:
            await self._to.messages(partition, id, 0, left)
            self._report.conversations += 1
        elif left is None and ours.ttl != -1:
            await self._write(partition, id, theirs, ours)
        else:
            self._report.conversations_unchanged += 1

    async def _write(self, partition: Partition, id: str, theirs: _Seen, ours: _Seen | None) -> None:
        outcome, *more = await self._from.load(partition, id, None)
        if outcome == b"absent":
            return
        if outcome != b"ok":
            self._report.conversations_corrupt += 1
            return
        parts, messages = more
        fields: dict[bytes, bytes] = dict(zip(parts[::2], parts[1::2], strict=True))
        created, updated = (int(fields.pop(time)) for time in _TIMES)
        expected = "" if ours is None else f"{ours.birth}:{ours.updated_at}"
        if ours is not None and (ours.birth != theirs.birth or (theirs.ttl == -1 and ours.ttl != -1)):
            # Another one under this id, or a lifetime that ends: storing would keep what was there
            # of these.
            await self._to.delete(partition, id)
            expected = ""
        left = theirs.left()
        if left is not None and left <= 0:
            return
        flat = [part for pair in fields.items() for part in pair]
        outcome, *_ = await self._to.put(partition, id, (created, updated), flat, messages, expected, left, left)
        if outcome == b"ok":
            self._report.conversations += 1
        else:
            self._report.conversations_kept += 1

    async def _peek(self, side: Side, partition: Partition, id: str) -> _Seen | None:
        head, _ = side.conversations.conversation(partition, id)
        at = asyncio.get_running_loop().time()
        (updated, birth), ttl = await asyncio.gather(
            side.client.call(("HMGET", head, "updated_at", "birth"), repeatable=True),
            side.client.call(("PTTL", head), repeatable=True),
        )
        if ttl == -2:
            return None
        return _Seen(_moment(updated or b""), (birth or b"").decode("utf-8", "replace"), ttl, at)


def _moment(text: bytes) -> int:
    """Return a moment; what cannot be read counts as the oldest: the scripts refuse it."""
    return int(text) if text.isdigit() and len(text) <= 17 else 0


def _is_older(ours: _Seen, theirs: _Seen) -> bool:
    return ours.updated_at < theirs.updated_at
