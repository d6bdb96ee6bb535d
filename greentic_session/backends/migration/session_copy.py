"""The sessions of a copy: out of one Redis, and into another, each in one step."""

import asyncio
from typing import Any, NamedTuple, Self

from greentic_session._hiding import outline
from greentic_session._redis.executor import Arg
from greentic_session._redis.scanning import together
from greentic_session._redis.scripts import Script
from greentic_session.backends.redis.keys import Keys, tag_of, tag_without_user
from greentic_session.backends.redis.owner_pointers import new_nonce

from .report import Report
from .side import ClusterSide, Group, ServerSide, Side

__all__ = ["Source", "Target"]

_ON_ITS_WAY = 1000
"""Of what is left of a reservation so many ms are not counted on: the import may wait in a line."""


def _script(name: str, *, repeatable: bool = False) -> Script:
    return Script("greentic_session.backends.redis.lua", name, (list,), repeatable=repeatable)


_EXPORT = _script("export", repeatable=True)
_EXPUNGE = _script("expunge")
_IMPORT = _script("import")


class Exported(NamedTuple):
    """A session on its way, as `lua/migration/export.lua` tells it.

    Attributes:
        believed: Whether only a scope key tells that it waits there.
        seen: When it was read, by the loop's clock.
        lease: What is left of the claim, in ms.
    """

    believed: bool
    seen: float
    key: bytes
    text: bytes
    ttl: int
    owner: bytes
    scope_hash: bytes
    scope: bytes
    latest: bytes
    claim: bytes
    lease: int
    unseen: bytes

    def __repr__(self) -> str:
        return outline(self, *self._fields)

    def aged(self) -> Self | None:
        """Return it as it is now; None if its life is over."""
        passed = round((asyncio.get_running_loop().time() - self.seen) * 1000)
        ttl, lease = self.ttl if self.ttl == -1 else self.ttl - passed, self.lease - passed
        if self.ttl != -1 and ttl <= 0:
            return None
        aged = self._replace(ttl=ttl, lease=lease, seen=self.seen + passed / 1000)
        return aged if lease > 0 else aged._replace(claim=b"", lease=0)


class Source:
    """Where sessions come from.

    Args:
        side: Which Redis.
        report: Where corrupt ones are counted.
    """

    def __init__(self, side: Side, report: Report) -> None:
        self._side = side
        self._report = report

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
                    exported.append(Exported(believed, seen, *one))
        return exported

    async def lacks(self, key: bytes) -> bool:
        """Say whether no session lives under a key."""
        return not await self._side.has(key.decode("utf-8", "replace"))


class Target:
    """Where sessions go to.

    Args:
        side: Which Redis.
        source: What copies are marked with.
        report: Where all is counted.
    """

    def __init__(self, side: ServerSide | ClusterSide, source: str, report: Report) -> None:
        self._side = side
        self._source = source
        self._report = report

    async def write(self, session: Exported) -> None:
        """Store a session, unless that is not to be done."""
        put = self._into_cluster if isinstance(self._side, ClusterSide) else self._into_server
        outcome = await put(session)
        if session.believed:
            self._report.waits += outcome == b"stored"
        elif outcome == b"stored":
            self._report.copied += 1
        elif outcome == b"same":
            self._report.unchanged += 1
        elif outcome == b"kept":
            self._report.kept += 1

    async def remove(self, keys: Keys, names: list[bytes]) -> None:
        """Remove the copies under some keys of one slot that are as they were left."""
        removed, _ = await self._expunge(keys, names)
        self._report.removed += removed

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
            held = await side.pointers.reserve(key, tag, new_nonce(), None if now.ttl == -1 else now.ttl, replaced)
            within = side.keys.within(held.tag)
            since = (asyncio.get_running_loop().time() - now.seen) * 1000
            reach = max(held.lives - round(since) - _ON_ITS_WAY, 0)
            outcome = b"other" if held.tag != tag else await self._import(within, now, held.nonce, reach)
            if outcome not in (b"other", b"barred"):
                return outcome
            replaced = held.nonce
            if outcome == b"other":
                # What the key leads to goes, if it is a copy, and the reservation with it.
                _, kept = await self._expunge(within, [session.key], held.nonce, ends=False)
                if kept:
                    return b"kept"
        return None

    async def _import(self, keys: Keys, session: Exported, *hold: Arg) -> bytes | None:
        now = session.aged()
        if now is None:
            return None
        what = (now.key, now.text, now.ttl, now.owner, now.scope_hash, now.scope)
        how = (now.latest, now.claim, now.lease, now.unseen, "1" if now.believed else "")
        words = (keys.session(""), keys.namespace, self._source, *what, *how, *hold)
        answer = await _IMPORT.run(self._side.client, 1, words)
        outcome: bytes = answer[0]
        return outcome

    async def _expunge(self, keys: Keys, names: list[bytes], nonce: str = "", *, ends: bool = True) -> tuple[int, int]:
        """Remove copies and end their owner pointers; return the numbers of removed and kept."""
        removed, kept, at = list[list[bytes]](), 0, 0
        while at < len(names):
            words: tuple[Arg, ...] = (keys.session(""), keys.namespace, self._source, nonce, *names[at:])
            looked, gone, stay = await _EXPUNGE.run(self._side.client, 1, words)
            at, removed, kept = at + looked, removed + gone, kept + stay
        if ends and isinstance(self._side, ClusterSide):
            pointers = self._side.pointers
            await together(*(pointers.end(key.decode(), held.decode()) for key, held in removed))
        return len(removed), kept


def _tag(session: Exported) -> str:
    """Return in which slot a session belongs.

    Its user's, or that of the user whose latest it is.
    """
    env, tenant, team, user = (session.latest or session.owner).decode().split(":")
    if user:
        return tag_of((env, tenant, team or None, user))
    return tag_without_user(env, tenant, team or None, session.key.decode())


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
