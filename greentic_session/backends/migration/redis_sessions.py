"""The sessions of a copy: out of a Redis, and into one, each in one step."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from greentic_session._redis.executor import Arg, Executor
from greentic_session._redis.scanning import together
from greentic_session.backends.redis.keys import COPIED_KIND, SCOPE_KIND, SESSION_KIND, Keys, tag_of, tag_without_user
from greentic_session.backends.redis.owner_pointers import Reservation
from greentic_session.backends.redis.scripts import script, step

from .exported import Exported, identity_of
from .redis_replies import RedisReplySource, RedisReplyTarget, read_turn, words_of_turn
from .redis_side import ClusterSide, RedisSide, ServerSide, redis_side_of
from .report import Report
from .sides import Endpoint, Group, Looked, ReplySource, ReplyTarget, Source, Target

__all__ = ["RedisSource", "RedisTarget", "redis_endpoint"]

_ON_ITS_WAY = 1000
"""Of what is left of a reservation so many ms are not counted on: the import may wait in a line."""


_EXPORT = script("export", repeatable=True)
_EXPUNGE = step("expunge")
_IMPORT = step("import")


class RedisSource(Source):
    """Where sessions come from.

    Args:
        side: Which Redis.
        report: Where corrupt ones are counted.
    """

    def __init__(self, side: RedisSide, report: Report) -> None:
        self._side = side
        self._report = report
        self.replies: ReplySource = RedisReplySource(side)

    async def check(self) -> None:
        """See `Source.check`: any namespace may be copied from, an empty one, too."""

    def sessions(self, looked: Looked) -> AsyncGenerator[Group, None]:
        """See `Source.sessions`."""
        return self._side.walk(SESSION_KIND, looked)

    def waits(self, looked: Looked) -> AsyncIterator[Group]:
        """See `Source.waits`: the scope keys, which the reference writes alone."""
        return self._side.walk(SCOPE_KIND, looked)

    async def read(self, group: Group, *, believed: bool = False) -> list[Exported]:
        """Return those of some sessions that are there.

        Args:
            group: Their keys.
            believed: The group names scopes instead, and what waits there is returned only if
                nothing else tells of it.
        """
        keys, names = group
        kind = "scopes" if believed else "keys"
        exported, at = list[Exported](), 0
        looked: int
        found: list[list[Any]]
        while at < len(names):
            seen = asyncio.get_running_loop().time()
            words: tuple[Arg, ...] = (keys.session(""), keys.namespace, kind, *names[at:])
            looked, found = await _EXPORT.run(self._side.client, 1, words)
            at += looked
            for one in found:
                if len(one) == 1 or not _is_text(one[0]):
                    self._report.corrupt += 1
                else:
                    exported.append(Exported(believed, seen, *one)._replace(turn=read_turn(one[-1])))
        return exported

    async def lacks(self, key: bytes) -> bool:
        """Say whether no session lives under a key."""
        return not await self._side.has(key.decode("utf-8", "replace"))


class RedisTarget(Target):
    """Where sessions go to.

    Args:
        side: Which Redis.
        source: What copies are marked with.
        report: Where all is counted.
    """

    def __init__(self, side: ServerSide | ClusterSide, source: str, report: Report) -> None:
        super().__init__(report)
        self._side = side
        self._source = source
        self.replies: ReplyTarget = RedisReplyTarget(side, source)

    async def put(self, session: Exported) -> bytes | None:
        """See `Target.put`."""
        return await (self._into_cluster(session) if isinstance(self._side, ClusterSide) else self._into_server(session))

    def copies(self, looked: Looked) -> AsyncIterator[Group]:
        """See `Target.copies`."""
        return self._side.walk(COPIED_KIND, looked)

    async def remove(self, group: Group) -> None:
        """See `Target.remove`."""
        removed, _ = await self._expunge(*group)
        self.report.removed += removed

    async def _into_server(self, session: Exported) -> bytes | None:
        keys = self._side.keys
        assert isinstance(keys, Keys)
        while True:
            outcome = await self._import(keys, session)
            if outcome != b"other":
                return outcome
            _, kept = await self._expunge(keys, [session.key])
            if kept:
                return b"kept"

    async def _into_cluster(self, session: Exported) -> bytes | None:
        side = self._side
        assert isinstance(side, ClusterSide)
        key, tag, replaced = session.key.decode(), _tag(session), ""
        while (now := session.aged()) is not None:
            held = await side.reserve(key, tag, None if now.ttl == -1 else now.ttl, replaced)
            within = side.keys.within(held.tag)
            outcome = b"other" if held.tag != tag else await self._import(within, now, held)
            if outcome not in (b"other", b"barred"):
                return outcome
            replaced = held.nonce
            if outcome == b"other":
                # What the key leads to goes, if it is a copy, and the reservation with it.
                _, kept = await self._expunge(within, [session.key], held.nonce, ends=False)
                if kept:
                    return b"kept"
        return None

    async def _import(self, keys: Keys, session: Exported, held: Reservation | None = None) -> bytes | None:
        """Store a session; on a cluster under a reservation that was made when it was last aged."""

        async def take(way: Executor) -> bytes | None:
            now = session.aged()
            if now is None:
                return None
            hold: tuple[Arg, Arg] = ("", "")
            if held is not None:
                hold = (held.nonce, max(held.lives - round((now.seen - session.seen) * 1000) - _ON_ITS_WAY, 0))
            what = (now.key, now.text, now.ttl, now.owner, now.scope_hash, now.scope)
            how = (now.latest, now.unseen, "1" if now.believed else "")
            words = (keys.session(""), keys.namespace, self._source, *what, *how, *hold, now.claim, now.lease)
            answer = await _IMPORT.run(way, 1, (*words, *words_of_turn(now.turn)))
            outcome: bytes = answer[0]
            return outcome

        return await self._side.step(keys, take, held, due_ms=_due_ms(session))

    async def _expunge(self, keys: Keys, names: list[bytes], nonce: str = "", *, ends: bool = True) -> tuple[int, int]:
        """Remove copies and end their owner pointers; return the numbers of removed and kept."""
        removed, kept, at = list[list[bytes]](), 0, 0
        while at < len(names):
            words: tuple[Arg, ...] = (keys.session(""), keys.namespace, self._source, nonce, *names[at:])
            looked, gone, stay = await self._side.step(keys, partial(_EXPUNGE.run, keys=1, words=words))
            at, removed, kept = at + looked, removed + gone, kept + stay
        if ends and isinstance(self._side, ClusterSide):
            pointers = self._side.pointers
            await together(*(pointers.end(key.decode(), held.decode()) for key, held in removed))
        return len(removed), kept


def _tag(session: Exported) -> str:
    """Return in which slot a session belongs.

    Its user's, or that of the user whose latest it is.
    """
    env, tenant, team, user = identity_of(session.latest or session.owner)
    if user is not None:
        return tag_of((env, tenant, team, user))
    return tag_without_user(env, tenant, team, session.key.decode())


def _due_ms(session: Exported) -> int | None:
    """Return in how many ms a deadline is to be heard that comes with a session; None for never."""
    turn = session.turn
    if turn is None or not turn.resume or turn.deadline is None:
        return None
    return max(turn.deadline, turn.put_off or 0, session.lease, 0)


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def redis_endpoint(url: str, namespace: str) -> Endpoint:
    """Return the endpoint that a URL names. No I/O.

    Raises:
        InvalidInputError: The URL cannot be read, or the namespace cannot be one there.
        TypeError: One of them is no str.
    """
    side = redis_side_of(url, namespace)
    return Endpoint(side, partial(RedisSource, side), partial(RedisTarget, side))
