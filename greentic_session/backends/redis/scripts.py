"""The scripts of `lua/`, each as a typed function. What one does and returns stands in the head of its file."""

from collections.abc import Awaitable
from typing import Any

from greentic_session.fence import Owner
from greentic_session.models import ReplyScope, SessionData, version_of
from greentic_session.transport.link import Link
from greentic_session.transport.scripts import Script

from .keys import Keys, front, identity_text, owner_text

__all__ = ["Scripts", "Text"]

_FOR_EVER = -1


class Text:
    """A session's text on its way to Redis, with what the scripts want to know of it.

    Attributes:
        json: The text.
        version: Its SHA-1.
        owner: Whose it is, as the scripts read it.
        named: How many bytes at its front tell all of that, and perhaps more: two texts that agree in them have one owner.
    """

    __slots__ = ("json", "named", "owner", "version")

    def __init__(self, data: SessionData) -> None:
        self.json = data.to_json()
        self.version = version_of(self.json)
        self.owner = identity_text(data.tenant_ctx)
        self.named = self.json.find(
            b'"attempt":'
        )  # always there, and behind the identity; in a value its quotes are escaped


def _script(name: str, *, repeatable: bool = False) -> Script:
    return Script("greentic_session.backends.redis.lua", name, repeatable=repeatable)


_CLAIM = _script("claim")
_CLEAR = _script("clear")
_COMPLETE = _script("complete")
_CREATE = _script("create")
_FIND = _script("find", repeatable=True)
_FIND_BY_USER = _script("find_by_user", repeatable=True)
_FIND_KEY = _script("find_key", repeatable=True)
_KEYS = _script("keys", repeatable=True)
_PURGE = _script("purge")
_READ_MANY = _script("read_many", repeatable=True)
_REGISTER = _script("register")
_RELEASE = _script("release")
_REMOVE = _script("remove")
_RENEW = _script("renew")
_TIDY = _script("tidy")
_TOUCH = _script("touch")
_UPDATE = _script("update")


class Scripts:
    """The scripts over one link, in one namespace. Each call is one atomic step on the server.

    Lifetimes are in milliseconds, None for ever. Answers are as Redis gives them: bytes, ints, lists, None.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._namespace = keys.namespace

    async def create(self, key: str, text: Text, pointer: Owner | None, ttl_ms: int | None) -> bool:
        """Store a new session; False if a live one has the key."""
        led_by = "" if pointer is None else owner_text(pointer)
        args = (key, text.json, text.version, text.owner, led_by, _ms(ttl_ms))
        return bool(await self._run(_CREATE, (self._keys.session(key),), *args))

    async def update(self, key: str, text: Text, caller: str, if_version: str, checked: str) -> list[bytes]:
        """Replace a session's text; return the outcome and what belongs to it."""
        args = (key, text.json, text.version, text.owner, text.named, caller, if_version, checked)
        answer: list[bytes] = await self._run(_UPDATE, (self._keys.session(key),), *args)
        return answer

    async def remove(self, key: str, caller: str) -> bool:
        """Remove a session; False if it is absent for this caller."""
        return bool(await self._run(_REMOVE, (self._keys.session(key),), key, caller))

    async def touch(self, key: str, ttl_ms: int | None, caller: str) -> bool:
        """Give a session a lifetime; False if it is absent for this caller."""
        return bool(await self._run(_TOUCH, (self._keys.session(key),), key, _ms(ttl_ms), caller))

    async def register(
        self,
        owner: Owner,
        scope: ReplyScope,
        scope_json: bytes,
        key: str,
        text: Text,
        ttl_ms: int | None,
        on_conflict: str,
        token: str,
    ) -> list[bytes]:
        """Make a session the one wait of a scope; return the outcome and what belongs to it."""
        hashed = scope.scope_hash()
        keys = self._keys
        leading = (keys.scope(owner, hashed), keys.waits(owner), keys.scopes(owner), keys.latest(owner))
        args = (key, text.json, text.version, text.owner, text.named, hashed, scope_json, _ms(ttl_ms), on_conflict, token)
        answer: list[bytes] = await self._run(_REGISTER, leading, *args)
        return answer

    def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Awaitable[list[Any] | None]:
        """Return which scope matched, the session key and the text."""
        return self._run(_FIND, self._places(owner, scopes))

    async def find_key(self, owner: Owner, scope: ReplyScope) -> bytes | None:
        """Return the session key."""
        hashed = scope.scope_hash()
        answer: bytes | None = await self._run(_FIND_KEY, (self._keys.scope(owner, hashed),), owner_text(owner), hashed)
        return answer

    async def keys(self, owner: Owner) -> list[bytes]:
        """Return the session keys of a user's waits, in no order."""
        # SORT puts what it looks up in place of the first star.
        scopes = "" if "*" in self._namespace else self._keys.scope(owner, "")
        found = await self._keys_of(owner, scopes)
        if len(set(found)) < len(found):  # two scopes lead to one session: somebody else wrote
            found = await self._keys_of(owner, "")
        return found

    def _keys_of(self, owner: Owner, scopes: str) -> Awaitable[list[bytes]]:
        keys = (self._keys.waits(owner), self._keys.scopes(owner))
        return self._run(_KEYS, keys, owner_text(owner), front(owner), scopes)

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        """Remove the session that waits at a scope."""
        hashed = scope.scope_hash()
        await self._run(_CLEAR, (self._keys.scope(owner, hashed),), owner_text(owner), hashed)

    async def find_by_user(self, owner: Owner) -> list[bytes] | None:
        """Return the session key and the text; an empty list for several waits."""
        answer: list[bytes] | None = await self._run(_FIND_BY_USER, (self._keys.waits(owner),), owner_text(owner))
        return answer

    async def claim(self, owner: Owner, scopes: tuple[ReplyScope, ...], token: str, lease_ms: int) -> list[Any] | None:
        """Return which scope matched, the session key and the text; the session key alone if it is claimed."""
        answer: list[Any] | None = await self._run(_CLAIM, self._places(owner, scopes), token, lease_ms)
        return answer

    async def complete(self, key: str, token: str) -> bool:
        """Remove the session of a claim; False if that is over."""
        return bool(await self._run(_COMPLETE, (self._keys.claim(key),), key, token))

    async def release(self, key: str, token: str) -> bool:
        """End a claim; False if it is over."""
        return bool(await self._run(_RELEASE, (self._keys.claim(key),), key, token))

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        """Give a claim a new lease; False if it is over."""
        return bool(await self._run(_RENEW, (self._keys.claim(key),), key, token, lease_ms))

    async def purge(self, env: str, tenant: str, team: str, user: str, keys: list[bytes]) -> int:
        """Remove those of some sessions that a caller administers; return how many."""
        removed: int = await self._run(_PURGE, (self._keys.session(""),), env, tenant, team, user, *keys)
        return removed

    async def tidy(self, env: str, tenant: str, team: str, user: str, names: list[bytes]) -> int:
        """Remove what leads nowhere among some keys of whoever is purged; return how many."""
        removed: int = await self._run(_TIDY, (f"{self._namespace}:",), env, tenant, team, user, *names)
        return removed

    async def read_many(self, enough: int, keys: list[bytes]) -> tuple[int, list[list[bytes]]]:
        """Return how many sessions were looked at until `enough` bytes were read, and key, text and scope of each."""
        looked, found = await self._run(_READ_MANY, (self._keys.session(""),), enough, *keys)
        return looked, found

    def _places(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> tuple[str, ...]:
        return tuple([self._keys.scope(owner, scope.scope_hash()) for scope in scopes])

    def _run(self, script: Script, keys: tuple[str, ...], *args: str | bytes | int) -> Awaitable[Any]:
        return script(self._link, keys, self._namespace, *args)


def _ms(ttl_ms: int | None) -> int:
    return _FOR_EVER if ttl_ms is None else ttl_ms
