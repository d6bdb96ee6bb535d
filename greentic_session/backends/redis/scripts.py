"""The scripts of `lua/`, each as a typed function. What one does and returns stands in the head of its file."""

from collections.abc import Awaitable
from typing import Any, cast

from greentic_session.fence import Owner
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, version_of
from greentic_session.transport.route import Route
from greentic_session.transport.scripts import Script

from .keys import Keys, front, identity_text, key_of, owner_text, place_of

__all__ = ["BARRED", "SHORT", "Scripts", "Text"]

_FOR_EVER = -1
SHORT = b"short"
"""The answer where the owner pointer would not live as long as the session; nothing was done."""
BARRED = b"barred"
"""The answer where the reservation is over; nothing was done."""


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
        self.json: bytes = data.to_json()
        self.version: str = version_of(self.json)
        self.owner: str = identity_text(data.tenant_ctx)
        self.named: int = self.json.find(
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
_VACATE = _script("vacate")


class Scripts:
    """The scripts over one link, in one namespace. Each call is one atomic step on the server.

    Lifetimes are in milliseconds, None for ever. Answers are as Redis gives them: bytes, ints, lists, None. What a removal
    did is 1, or on a cluster the nonce of the reservation that it ended. `SHORT` and `BARRED` come on a cluster only.
    """

    def __init__(self, route: Route, keys: Keys, hold: tuple[str | int, ...] = ()) -> None:
        """`hold` goes with what may store a session or lengthen its life, on a cluster: see `pointers`."""
        self._route = route
        self._keys = keys
        self._namespace = keys.namespace
        self._hold = hold

    async def create(self, key: str, text: Text, pointer: Owner | None, ttl_ms: int | None) -> int | bytes:
        """Store a new session; 0 if a live one has the key."""
        led_by = "" if pointer is None else owner_text(pointer)
        args = (key, text.json, text.version, text.owner, led_by, _ms(ttl_ms), *self._hold)
        answer: int | bytes = await self._run(_CREATE, (self._keys.session(key),), *args)
        return answer

    async def update(self, key: str, text: Text, caller: str, if_version: str, checked: str) -> list[bytes]:
        """Replace a session's text; return the outcome and what belongs to it."""
        args = (key, text.json, text.version, text.owner, text.named, caller, if_version, checked)
        answer: list[bytes] = await self._run(_UPDATE, (self._keys.session(key),), *args)
        return answer

    async def remove(self, key: str, caller: str) -> int | bytes:
        """Remove a session; 0 if it is absent for this caller."""
        answer: int | bytes = await self._run(_REMOVE, (self._keys.session(key),), key, caller)
        return answer

    async def touch(self, key: str, ttl_ms: int | None, caller: str) -> int | bytes:
        """Give a session a lifetime; 0 if it is absent for this caller."""
        answer: int | bytes = await self._run(_TOUCH, (self._keys.session(key),), key, _ms(ttl_ms), caller, *self._hold)
        return answer

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
        keys, place = self._keys, place_of(owner)
        leading = (keys.scope(place, hashed), keys.waits(place), keys.scopes(place), keys.latest(place))
        what = (key, text.json, text.version, text.owner, text.named)
        how = (hashed, scope_json, _ms(ttl_ms), on_conflict, token, *self._hold)
        answer: list[bytes] = await self._run(_REGISTER, leading, *what, *how)
        return answer

    def find(self, owner: Owner, scopes: tuple[ReplyScope, ...], *, thorough: bool = False) -> Awaitable[list[Any] | None]:
        """Return which scope matched, the session key and the text; the owner's for certain after a thorough look only."""
        places = self._places(owner, scopes)
        return self._run(_FIND, places, "thorough") if thorough else self._run(_FIND, places)

    async def find_key(self, owner: Owner, scope: ReplyScope) -> bytes | None:
        """Return the session key."""
        hashed = scope.scope_hash()
        scoped = self._keys.scope(place_of(owner), hashed)
        answer: bytes | None = await self._run(_FIND_KEY, (scoped,), owner_text(owner), hashed)
        return answer

    async def keys(self, owner: Owner) -> list[SessionKey]:
        """Return the session keys of a user's waits, in no order."""
        # SORT puts what it looks up in place of the first star.
        scopes = "" if "*" in self._namespace else self._keys.scope(place_of(owner), "")
        found = await self._keys_of(owner, scopes)
        if found and isinstance(found[0], int):
            number, lines = found
            keys = key_of(lines).split("\n") if number else []  # all in one step
            if len(set(keys)) == len(keys) == number:
                return cast("list[SessionKey]", keys)
            # Two scopes lead to one session (somebody else wrote), or a key holds a newline.
            found = await self._keys_of(owner, "")
        return [*map(key_of, found)]

    def _keys_of(self, owner: Owner, scopes: str) -> Awaitable[list[Any]]:
        place = place_of(owner)
        keys = (self._keys.waits(place), self._keys.scopes(place))
        return self._run(_KEYS, keys, owner_text(owner), front(owner), scopes)

    async def clear(self, owner: Owner, scope: ReplyScope) -> list[Any] | None:
        """Remove the session that waits at a scope; return its key and what the removal did, if there was one."""
        hashed = scope.scope_hash()
        scoped = self._keys.scope(place_of(owner), hashed)
        answer: list[Any] | None = await self._run(_CLEAR, (scoped,), owner_text(owner), hashed)
        return answer

    async def find_by_user(self, owner: Owner) -> list[bytes] | None:
        """Return the session key and the text; an empty list for several waits."""
        answer: list[bytes] | None = await self._run(_FIND_BY_USER, (self._keys.waits(place_of(owner)),), owner_text(owner))
        return answer

    async def claim(self, owner: Owner, scopes: tuple[ReplyScope, ...], token: str, lease_ms: int) -> list[Any] | None:
        """Return which scope matched, the session key and the text; the session key alone if it is claimed."""
        what = (front(owner), token, lease_ms)
        answer: list[Any] | None = await self._run(_CLAIM, self._places(owner, scopes), *what, *self._hold)
        return answer

    async def complete(self, owner: Owner, key: str, token: str) -> int | bytes:
        """Remove the session of a claim; 0 if that is over."""
        args = (key, token, place_of(owner), front(owner))
        answer: int | bytes = await self._run(_COMPLETE, (self._keys.claim(key),), *args)
        return answer

    async def release(self, key: str, token: str) -> bool:
        """End a claim; False if it is over."""
        return bool(await self._run(_RELEASE, (self._keys.claim(key), self._keys.session(key)), token))

    async def renew(self, key: str, token: str, lease_ms: int) -> int | bytes:
        """Give a claim a new lease; 0 if it is over."""
        answer: int | bytes = await self._run(_RENEW, (self._keys.claim(key),), key, token, lease_ms, *self._hold)
        return answer

    async def purge(self, env: str, tenant: str, team: str, user: str, keys: list[bytes]) -> list[list[Any]]:
        """Remove those of some sessions that a caller administers; return the key of each, and what its removal did."""
        removed: list[list[Any]] = await self._run(_PURGE, (self._keys.session(""),), env, tenant, team, user, *keys)
        return removed

    async def vacate(self, key: str, nonce: str, owner: str) -> list[bytes]:
        """Keep a key free that is, on a cluster; return what became of it."""
        answer: list[bytes] = await self._run(_VACATE, (self._keys.session(key),), key, nonce, owner)
        return answer

    async def tidy(self, env: str, tenant: str, team: str, user: str, names: list[bytes]) -> int:
        """Remove what leads nowhere among some keys of whoever is purged; return how many."""
        removed: int = await self._run(_TIDY, (f"{self._namespace}:",), env, tenant, team, user, *names)
        return removed

    async def read_many(self, enough: int, keys: list[bytes]) -> tuple[int, list[list[bytes]]]:
        """Return how many sessions were looked at until `enough` bytes were read, and key, text and scope of each."""
        looked, found = await self._run(_READ_MANY, (self._keys.session(""),), enough, *keys)
        return looked, found

    def _places(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> tuple[str, ...]:
        place = place_of(owner)
        if len(scopes) == 1:  # without a loop: every answer comes by
            return (self._keys.scope(place, scopes[0].scope_hash()),)
        return tuple([self._keys.scope(place, scope.scope_hash()) for scope in scopes])

    def _run(self, script: Script, keys: tuple[str, ...], *args: str | bytes | int) -> Awaitable[Any]:
        return script(self._route, keys, self._namespace, *args)


def _ms(ttl_ms: int | None) -> int:
    return _FOR_EVER if ttl_ms is None else ttl_ms
