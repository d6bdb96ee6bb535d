"""The scripts of `lua/`, each as a typed function. What one does and returns stands in the head of its file."""

from collections.abc import Awaitable
from types import NoneType
from typing import Any, TypeAlias, cast

from greentic_session._redis.answers import foreign, texts
from greentic_session._redis.executor import Arg, Executor
from greentic_session._redis.scripts import Script
from greentic_session.backend import Claiming, Creation, Parking
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, version_of
from greentic_session.tenancy import Owner

from .keys import Keys, identity_text, key_of, owner_text, payload_prefix, place_of

__all__ = ["BARRED", "COUNT", "FOR_EVER", "SHORT", "THOROUGH", "Scripts", "Text", "text_of"]

FOR_EVER = -1
"""The lifetime, in ms, of what never expires."""
SHORT = b"short"
"""The answer where the owner pointer would not live as long as the session; nothing was done."""
BARRED = b"barred"
"""The answer where the reservation is over; nothing was done."""
COUNT = b"count"
"""The answer where the waits of a user have to be counted before one more is parked; nothing was done."""
_GO_ON = b"go on"
"""The answer where the rest is for another step."""
THOROUGH = "thorough"
"""For a look that leaves nothing to the reader."""


Text: TypeAlias = tuple[bytes, str, str]
"""A session's text on its way to Redis, with what the scripts want to know of it: its SHA-1, and whose it is."""


def text_of(data: SessionData, text: bytes | None) -> Text:
    """Return a session's text; `text` is it, if somebody has written it before."""
    json = data.to_json() if text is None else text
    return json, version_of(json), identity_text(data.tenant_ctx)


def _script(name: str, *answers: type, repeatable: bool = False) -> Script:
    return Script("greentic_session.backends.redis.lua", name, answers, repeatable=repeatable)


_CLAIM = _script("claim", list, NoneType)
_CLEAR = _script("clear", list, NoneType)
_COMPLETE = _script("complete", int, bytes)
_CREATE = _script("create", int, bytes)
_FIND = _script("find", list, NoneType, repeatable=True)
_FIND_BY_USER = _script("find_by_user", list, NoneType, repeatable=True)
_FIND_KEY = _script("find_key", bytes, NoneType, repeatable=True)
_GIVE_BACK = _script("give_back", int)
_LIST_WAITS = _script("list_waits", list, repeatable=True)
_PURGE = _script("purge", list)
_GET_MANY = _script("get_many", list, repeatable=True)
_PARK = _script("park", int, bytes, list)
_RELEASE = _script("release", int)
_REMAINING = _script("remaining", int, NoneType, repeatable=True)
_REMOVE = _script("remove", int, bytes)
_RENEW = _script("renew", int, bytes)
_TIDY = _script("tidy", list)
_TOUCH = _script("touch", int, bytes)
_UPDATE = _script("update", int, list)
_VACATE = _script("vacate", list)


class Scripts:
    """The scripts over one client, in one namespace. Each call is one atomic step on the server.

    Lifetimes are in milliseconds, None for ever. Answers are as Redis gives them: bytes, ints, lists, None. What a removal
    did is 1, or on a cluster the nonce of the reservation that it ended. `SHORT` and `BARRED` come on a cluster only.
    """

    def __init__(self, executor: Executor, keys: Keys, hold: tuple[str | int, ...] = ()) -> None:
        """`hold` goes with what may store a session or lengthen its life, on a cluster: see `owner_pointers`."""
        self._executor = executor
        self._keys = keys
        self._namespace = keys.namespace
        self._sessions = keys.session("")
        self._hold = hold

    def create(self, creation: Creation, text: Text) -> Awaitable[int | bytes]:
        """Store a new session; 0 if a live one has the key."""
        key, pointer = creation.key, creation.pointer
        led_by = "" if pointer is None else owner_text(pointer)
        words = (self._sessions + key, self._namespace, key, *text, led_by, _ms(creation.ttl_ms), *self._hold)
        return _CREATE.run(self._executor, 1, words)

    def update(self, key: str, text: Text, terms: tuple[str, ...]) -> Awaitable[int | list[bytes]]:
        """Replace a session's text; return 1, or what came in the way.

        Args:
            key: The session key.
            text: The new text.
            terms: If there are any: for whom, over which version, and the SHA-1 of what is a session for sure.
        """
        return _UPDATE.run(self._executor, 1, (self._sessions + key, self._namespace, key, *text, *terms))

    def remove(self, key: str, caller: str) -> Awaitable[int | bytes]:
        """Remove a session; 0 if it is absent for this caller."""
        return _REMOVE.run(self._executor, 1, (self._sessions + key, self._namespace, key, caller))

    def touch(self, key: str, ttl_ms: int | None, caller: str) -> Awaitable[int | bytes]:
        """Give a session a lifetime; 0 if it is absent for this caller."""
        words = (self._sessions + key, self._namespace, key, _ms(ttl_ms), caller, *self._hold)
        return _TOUCH.run(self._executor, 1, words)

    def remaining(self, key: str, caller: str) -> Awaitable[int | None]:
        """Return how long a session has still to live, in ms; None if it is absent for this caller."""
        return _REMAINING.run(self._executor, 1, (self._sessions + key, self._namespace, key, caller))

    def park(self, parking: Parking, scope_json: bytes, text: Text) -> Awaitable[int | bytes | list[bytes]]:
        """Make a session the one wait of a scope; return 1, the key of the displaced session, or what came in the way."""
        keys, place = self._keys, place_of(parking.owner)
        leading = (keys.scope(place, parking.scope.scope_hash()), keys.waits(place), keys.latest(place))
        on_conflict = ("" if parking.replace else "fail:") + (parking.token or "")
        what = (parking.key, *text, scope_json, _ms(parking.ttl_ms), on_conflict, parking.max_waits or "", *self._hold)
        return _PARK.run(self._executor, 3, (*leading, self._namespace, *what))

    def find(self, owner: Owner, scopes: tuple[ReplyScope, ...], *terms: str) -> Awaitable[list[Any] | None]:
        """Return which scope matched, the session key and the text.

        With `THOROUGH` among the terms it is the owner's for certain; else the reader has to see whose it is.
        """
        if len(scopes) == 1:  # in one step: every answer comes by
            return _FIND.run(self._executor, 1, (self._keys.wait(owner, scopes[0]), self._namespace, *terms))
        return _FIND.run(self._executor, len(scopes), (*self._places(owner, scopes), self._namespace, *terms))

    def find_key(self, owner: Owner, scope: ReplyScope) -> Awaitable[bytes | None]:
        """Return the session key."""
        return _FIND_KEY.run(self._executor, 1, (self._keys.wait(owner, scope), self._namespace, owner_text(owner)))

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        """Return the session keys of a user's waits, in no order: up to 1,000 of them in one step."""
        found = await self._keys_of(owner, b"")
        if isinstance(found[0], int):
            number, lines = found
            keys = key_of(lines).split("\n") if number else []  # all in one step
            if len(set(keys)) == len(keys) == number:
                return cast("list[SessionKey]", keys)
            # Two scopes lead to one session (somebody else wrote), or a key holds a newline.
            found = await self._keys_of(owner, b"0")
        cursor, server, listed = found
        every = set(texts(listed))
        while int(cursor):
            cursor, same_server, listed = await self._keys_of(owner, cursor)
            if same_server != server:  # after a failover: there the cursor means nothing
                cursor, server, listed = await self._keys_of(owner, b"0")
                every.clear()
            every.update(texts(listed))
        return [*map(key_of, every)]

    def _keys_of(self, owner: Owner, cursor: bytes) -> Awaitable[list[Any]]:
        place = place_of(owner)
        keys = (self._keys.waits(place), self._keys.scopes(place))
        words = (self._namespace, owner_text(owner), payload_prefix(owner), self._keys.scope(place, ""), cursor)
        return _LIST_WAITS.run(self._executor, 2, (*keys, *words))

    def clear(self, owner: Owner, scope: ReplyScope) -> Awaitable[list[Any] | None]:
        """Remove the session that waits at a scope; return its key and what the removal did, if there was one."""
        return _CLEAR.run(self._executor, 1, (self._keys.wait(owner, scope), self._namespace, owner_text(owner)))

    async def find_by_user(self, owner: Owner) -> list[bytes] | None:
        """Return the session key and the text; an empty list for several waits."""
        cursor, only = b"0", b""
        while True:  # mostly once: again only where many of the user's waits have ended
            words = (self._keys.waits(place_of(owner)), self._namespace, owner_text(owner), cursor, only)
            found: list[bytes] | None = await _FIND_BY_USER.run(self._executor, 1, words)
            if found is None or len(found) < 3:
                return found
            cursor, only, more = found
            if more != _GO_ON:
                raise foreign()

    def claim(self, claiming: Claiming) -> Awaitable[list[Any] | None]:
        """Return which scope matched, the session key and the text; the session key alone if it is claimed.

        A caller who is cancelled or late gives back what it got.
        """
        places = self._places(claiming.owner, claiming.scopes)
        undo = _GIVE_BACK.command(self._executor, len(places), (*places, self._namespace, claiming.token))
        words = (*places, self._namespace, payload_prefix(claiming.owner), claiming.token, claiming.lease_ms, *self._hold)
        return _CLAIM.run(self._executor, len(places), words, undo)

    def complete(self, owner: Owner, key: str, token: str) -> Awaitable[int | bytes]:
        """Remove the session of a claim; 0 if that is over."""
        words = (self._keys.claim(key), self._namespace, key, token, place_of(owner), payload_prefix(owner))
        return _COMPLETE.run(self._executor, 1, words)

    def release(self, key: str, token: str) -> Awaitable[int]:
        """End a claim; 0 if it is over."""
        return _RELEASE.run(self._executor, 2, (self._keys.claim(key), self._sessions + key, self._namespace, token))

    def renew(self, key: str, token: str, lease_ms: int) -> Awaitable[int | bytes]:
        """Give a claim a new lease; 0 if it is over."""
        words = (self._keys.claim(key), self._namespace, key, token, lease_ms, *self._hold)
        return _RENEW.run(self._executor, 1, words)

    def purge(
        self, env: str, tenant: str, team: str, user: str, keys: list[bytes]
    ) -> Awaitable[tuple[int, list[list[Any]]]]:
        """Remove those of some sessions that a caller administers.

        Returns:
            How many were looked at; of each that was removed the key, and what the removal did.
        """
        words: tuple[Arg, ...] = (self._sessions, self._namespace, env, tenant, team, user, *keys)
        return _PURGE.run(self._executor, 1, words)

    def vacate(self, key: str, nonce: str, owner: str) -> Awaitable[list[bytes]]:
        """Keep a key free that is, on a cluster; return what became of it."""
        return _VACATE.run(self._executor, 1, (self._sessions + key, self._namespace, key, nonce, owner))

    async def tidy(self, env: str, tenant: str, team: str, user: str, names: list[bytes]) -> None:
        """Remove what leads nowhere among some keys of whoever is purged."""
        at = 0
        while at < len(names):
            words: tuple[Arg, ...] = (f"{self._namespace}:", self._namespace, env, tenant, team, user, *names[at:])
            looked, _ = await _TIDY.run(self._executor, 1, words)
            at += looked

    def get_many(self, keys: list[bytes]) -> Awaitable[tuple[int, list[list[bytes]]]]:
        """Return how many sessions were looked at, and key, text and scope of each."""
        return _GET_MANY.run(self._executor, 1, (self._sessions, self._namespace, *keys))

    def _places(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> tuple[str, ...]:
        return tuple([self._keys.wait(owner, scope) for scope in scopes])


def _ms(ttl_ms: int | None) -> int:
    return FOR_EVER if ttl_ms is None else ttl_ms
