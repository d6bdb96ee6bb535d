"""The scripts of `lua/`, each as a typed function.

What one does and returns stands in the head of its file.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, cast

import msgspec

from greentic_session._concurrency.shield import shielded
from greentic_session._redis.answers import number, texts
from greentic_session._redis.executor import Arg, Executor
from greentic_session._redis.scripts import Script
from greentic_session.backend import Claiming, Creation, Parking
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, version_of
from greentic_session.tenancy import Owner

from .keys import Keys, identity_text, key_of, owner_path, owner_text, payload_prefix
from .plain_find import PlainFind
from .staging import Storing, new_nonce, take

__all__ = ["FOR_EVER", "GIVE_BACK", "THOROUGH", "Answer", "Scripts", "Text", "ms", "script", "step", "text_of"]

FOR_EVER = -1
"""The lifetime, in ms, of what never expires."""
THOROUGH = "thorough"
"""ARGV value that forces the slow path, which verifies the owner on the server."""


Answer: TypeAlias = list[Any]
"""The outcome of a script, a word, and what belongs to it."""
Text: TypeAlias = tuple[bytes, str, str]
"""A session's text on its way to Redis, with what the scripts want to know of it.

Its SHA-1, and whose it is.
"""


def text_of(data: SessionData, text: bytes | None) -> Text:
    """Return a session's text; `text` is it, if somebody has written it before."""
    json = data.to_json() if text is None else text
    return json, version_of(json), identity_text(data.tenant_ctx)


def script(name: str, *answers: type, repeatable: bool = False, one_key: bool = False) -> Script:
    """Return the script of a file of `lua/`, which answers with a list if nothing else is said."""
    return Script("greentic_session.backends.redis.lua", name, answers or (list,), repeatable=repeatable, one_key=one_key)


def step(name: str, *answers: type, repeatable: bool = False) -> Script:
    """Return one that may make something ready: on a cluster it can be undone.

    See `ready_entries`.
    """
    around = ("step_begins", "step_ends")
    return Script("greentic_session.backends.redis.lua", name, answers or (list,), repeatable=repeatable, around=around)


_CLAIM = step("claim")
_CLEAR = step("clear")
_COMPLETE = step("complete")
_CREATE = Storing(script("create"), text=3, size=8)
_FIND = script("find", repeatable=True)
_FIND_BY_USER = script("find_by_user", repeatable=True)
_FIND_KEY = script("find_key", repeatable=True)
GIVE_BACK = step("give_back")
"""Gives back a claim whose caller does not get to know of it."""
_LIST_WAITS = script("list_waits", repeatable=True)
_PURGE = step("purge")
_GET_MANY = script("get_many", repeatable=True)
_PARK = Storing(step("park", list, bytes), text=3, size=11)
_RELEASE = step("release")
_REMAINING = step("remaining", repeatable=True)
_REMOVE = step("remove")
_RENEW = step("renew")
_REMOVE_LEFTOVERS = step("remove_leftovers")
_TOUCH = step("touch")
_UPDATE = Storing(script("update", list, bytes), text=3, size=7)
_UPDATE_AND_CREATE = Storing(script("update_and_create", list, bytes), text=9, size=14)
_UPDATE_AND_PARK = Storing(script("update_and_park", list, bytes), text=9, size=17)
_VACATE = script("vacate")


class Scripts:
    """The scripts over one client, in one namespace. Each call is one atomic step on the server.

    Lifetimes are in milliseconds, None for ever. An answer is a list: the outcome, a word, and what
    belongs to it; the heads of the scripts name them. Bulk operations have one outcome, and leave
    it out.

    Attributes:
        plain: Finds by plain commands what is remembered; None on a cluster.
    """

    def __init__(self, executor: Executor, keys: Keys, hold: tuple[str | int, ...] = ()) -> None:
        """`hold` goes with what may store a session or lengthen its life, on a cluster.

        See `owner_pointers`.
        """
        self._executor = executor
        self._keys = keys
        self._namespace = keys.namespace
        self._sessions = keys.session("")
        self._session_bytes = self._sessions.encode()
        self._hold = hold
        self.plain: PlainFind | None = None if executor.moving else PlainFind(executor, keys)

    def create(self, creation: Creation, text: Text) -> Awaitable[Answer]:
        """Store a new session."""
        words = (self._sessions + creation.key, self._namespace, *self._of_new(creation, text), *self._hold)
        return _CREATE.run(self._executor, self._keys, 1, words)

    def _of_new(self, creation: Creation, text: Text) -> tuple[Arg, ...]:
        """Return what `create.lua` is given of a session."""
        led_by = "" if creation.pointer is None else owner_text(creation.pointer)
        return creation.key, *text, led_by, ms(creation.ttl_ms), ""

    def update(self, key: str, prefix: str, text: Text, terms: tuple[str, ...], *, again: bool = False) -> Awaitable[Any]:
        """Replace a session's text; the usual outcome comes as a word alone.

        Args:
            key: The session key.
            prefix: How the owner's payloads begin, "" where a text with that may be another's.
            text: The new text.
            terms: If there are any: for whom, over which version, and the SHA-1 of what is a
                session for sure.
            again: Whether it was "unstaged"; see `Storing.repeat`.
        """
        words: tuple[Arg, ...] = (self._sessions + key, self._namespace, key, *text, prefix, "", *terms)
        if again:
            return _UPDATE.repeat(self._executor, 1, words)
        return _UPDATE.start(self._executor, self._keys, 1, words)

    def update_with(
        self, key: str, text: Text, version: str, other: Creation | Parking, beside: Text, *, again: bool = False
    ) -> Awaitable[Any]:
        """Replace a session's text if it has a version, and store another one, both or none.

        The usual outcome comes as a word alone; `again` is as for `update`.
        """
        head: tuple[Arg, ...] = (self._namespace, key, *text, version)
        if isinstance(other, Creation):
            storing = _UPDATE_AND_CREATE
            words = (self._sessions + key, self._sessions + other.key, *head, *self._of_new(other, beside))
        else:
            storing = _UPDATE_AND_PARK
            place, scope = self._keys.wait(other.owner, other.scope), msgspec.json.encode(other.scope)
            words = (self._sessions + key, place, *head, *self._of_wait(other, scope, beside, ""))
        return storing.repeat(self._executor, 2, words) if again else storing.start(self._executor, self._keys, 2, words)

    def remove(self, key: str, caller: str) -> Awaitable[Answer]:
        """Remove a session."""
        return _REMOVE.run(self._executor, 1, (self._sessions + key, self._namespace, key, caller))

    def touch(self, key: str, ttl_ms: int | None, caller: str) -> Awaitable[Answer]:
        """Give a session a lifetime."""
        words = (self._sessions + key, self._namespace, key, ms(ttl_ms), caller, *self._hold)
        return _TOUCH.run(self._executor, 1, words)

    def remaining(self, key: str, caller: str) -> Awaitable[Answer]:
        """Tell how long a session has still to live."""
        return _REMAINING.run(self._executor, 1, (self._sessions + key, self._namespace, key, caller))

    def park(self, parking: Parking, scope: str, scope_json: bytes, text: Text, terms: str) -> Awaitable[Answer]:
        """Make a session the one wait of a scope, by the scope's key.

        `terms` are those of the store, for one that is to be resumed.
        """
        words = (scope, self._namespace, *self._of_wait(parking, scope_json, text, terms), *self._hold)
        return _PARK.run(self._executor, self._keys, 1, words)

    def _of_wait(self, parking: Parking, scope_json: bytes, text: Text, terms: str) -> tuple[Arg, ...]:
        """Return what `park.lua` is given of a wait."""
        on_conflict = ("" if parking.replace else "fail:") + (parking.token or "")
        at_deadline = "keep" if parking.resume is None else "forget"
        if parking.resume:
            at_deadline = f"resume {terms}"
        about = (parking.key, *text, payload_prefix(parking.owner), scope_json, ms(parking.ttl_ms))
        return *about, on_conflict, parking.max_waits or "", "", at_deadline

    def note(self, scope: str, key: str, *, lasting: bool) -> None:
        """Remember which session waits at a scope from now on, for the next find or claim.

        It is `lasting` where it has no lifetime.
        """
        if self.plain is not None:
            self.plain.remember(scope, key.encode(), lasting=lasting)

    async def _with_text(
        self, run: "Callable[[tuple[Arg, ...] | None], Awaitable[tuple[Answer, bytes | None]]]", nonce: str
    ) -> Answer:
        """Run a script that reads a text, and put the text in its answer that was staged for it."""
        answer, text = await run(take(self._keys.staged(nonce)))
        if answer[0] == b"found" and answer[3] is None:
            if text is None:  # it was not sent in one piece, or the server has evicted it
                text = await self._executor.call(take(self._keys.staged(nonce)))
            answer[3] = text
        return answer

    def find(self, owner: Owner, scopes: tuple[ReplyScope, ...], *terms: str) -> Awaitable[Answer]:
        """Find the wait of the first scope that has one.

        With `THOROUGH` among the terms it is the owner's for certain; else the reader has to see
        whose it is.
        """
        places = self._places(owner, scopes)
        if terms:
            return _FIND.run(self._executor, len(places), (*places, self._namespace, "", *terms))
        return self._find(places)

    async def _find(self, places: tuple[str, ...]) -> Answer:
        """Find by the script."""
        nonce = new_nonce()
        answer = await self._with_text(
            lambda behind: _FIND.run(self._executor, len(places), (*places, self._namespace, nonce), behind=behind), nonce
        )
        if self.plain is not None and answer[0] == b"found":
            self.plain.remember(places[answer[1]], answer[2])
        return answer

    def find_key(self, owner: Owner, scope: ReplyScope) -> Awaitable[Answer]:
        """Find the session that waits at a scope."""
        return _FIND_KEY.run(self._executor, 1, (self._keys.wait(owner, scope), self._namespace, owner_text(owner)))

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        """Return the session keys of a user's waits, in no order.

        Up to 1,000 of them in one step.
        """
        outcome, *found = await self._keys_of(owner, b"")
        if outcome == b"all":
            count, lines = found
            keys = key_of(lines).split("\n") if number(count) else []  # all in one step
            if len(set(keys)) == len(keys) == count:
                return cast("list[SessionKey]", keys)
            # Two scopes lead to one session (somebody else wrote), or a key holds a newline.
            _, *found = await self._keys_of(owner, b"0")
        cursor, server, listed = found
        every = set(texts(listed))
        while int(cursor):
            _, cursor, same_server, listed = await self._keys_of(owner, cursor)
            if same_server != server:  # after a failover: there the cursor means nothing
                _, cursor, server, listed = await self._keys_of(owner, b"0")
                every.clear()
            every.update(texts(listed))
        return [*map(key_of, every)]

    def _keys_of(self, owner: Owner, cursor: bytes) -> Awaitable[list[Any]]:
        place = owner_path(owner)
        keys = (self._keys.waits(place), self._keys.scopes(place))
        words = (self._namespace, owner_text(owner), payload_prefix(owner), self._keys.scope(place, ""), cursor)
        return _LIST_WAITS.run(self._executor, 2, (*keys, *words))

    def clear(self, owner: Owner, scope: ReplyScope) -> Awaitable[Answer]:
        """Remove the session that waits at a scope."""
        return _CLEAR.run(self._executor, 1, (self._keys.wait(owner, scope), self._namespace, owner_text(owner)))

    async def find_by_user(self, owner: Owner) -> Answer:
        """Find the only wait of a user, else the user's latest session."""
        cursor, only = b"0", b""
        while True:  # mostly once: again only where many of the user's waits have ended
            words = (self._keys.waits(owner_path(owner)), self._namespace, owner_text(owner), cursor, only)
            answer: Answer = await _FIND_BY_USER.run(self._executor, 1, words)
            if answer[0] != b"more":
                return answer
            _, cursor, only = answer

    async def claim(self, claiming: Claiming) -> Answer:
        """Claim the wait of the first scope that has one.

        A caller who is cancelled or late gives back what it got. Where the client remembers which
        session waits at the first scope, that one's text is read right behind the script: it may be
        newer than the claim by what somebody has written in between.
        """
        places = self._places(claiming.owner, claiming.scopes)
        plain, scope = self.plain, places[0]
        remembered = None if plain is None else plain.remembered(scope)
        token, prefix = claiming.token, payload_prefix(claiming.owner)
        undo = GIVE_BACK.command(self._executor, len(places), (*places, self._namespace, token))
        words = (*places, self._namespace, prefix, token, claiming.lease_ms, remembered or "", *self._hold)
        behind = take(self._keys.staged(token)) if remembered is None else ("GET", self._session_bytes + remembered)
        answer: Answer
        answer, text = await _CLAIM.run(self._executor, len(places), words, undo, behind=behind)
        if answer[0] != b"found":
            return answer
        key = answer[2]
        if answer[3] is None and key == remembered:
            answer[3] = text
            if text is None:  # somebody has removed it in between
                await shielded(partial(self.release, key_of(key), token))
                self._forget(scope)
                return await self.claim(claiming)
        elif answer[3] is None:
            # It was not sent in one piece, or the server has evicted it.
            if text is None or remembered is not None:
                text = await self._executor.call(take(self._keys.staged(token)))
            answer[3] = text
        if plain is not None and key != remembered:
            if remembered is not None:
                plain.missed(scope)
            plain.remember(places[answer[1]], key)
        return answer

    def _forget(self, scope: str) -> None:
        if self.plain is not None:
            self.plain.missed(scope)

    def complete(self, owner: Owner, key: str, token: str) -> Awaitable[Answer]:
        """Remove the session of a claim."""
        words = (self._keys.claim(key), self._namespace, key, token, owner_path(owner), payload_prefix(owner))
        return _COMPLETE.run(self._executor, 1, words)

    def release(self, key: str, token: str) -> Awaitable[Answer]:
        """End a claim."""
        return _RELEASE.run(self._executor, 2, (self._keys.claim(key), self._sessions + key, self._namespace, token))

    def renew(self, key: str, token: str, lease_ms: int) -> Awaitable[Answer]:
        """Give a claim a new lease."""
        words = (self._keys.claim(key), self._namespace, key, token, lease_ms, *self._hold)
        return _RENEW.run(self._executor, 1, words)

    def purge(
        self, env: str, tenant: str, team: str, user: str, keys: list[bytes]
    ) -> Awaitable[tuple[int, list[list[Any]]]]:
        """Remove those of some sessions that a caller administers.

        Returns:
            How many were looked at; of each that was removed the key, and on a cluster the nonce of
            its reservation.
        """
        words: tuple[Arg, ...] = (self._sessions, self._namespace, env, tenant, team, user, *keys)
        return _PURGE.run(self._executor, 1, words)

    def vacate(self, key: str, nonce: str, owner: str) -> Awaitable[Answer]:
        """Keep a key free that is, on a cluster."""
        return _VACATE.run(self._executor, 1, (self._sessions + key, self._namespace, key, nonce, owner))

    async def remove_leftovers(self, env: str, tenant: str, team: str, user: str, names: list[bytes]) -> None:
        """Remove what leads nowhere among some keys of whoever is purged."""
        at = 0
        while at < len(names):
            words: tuple[Arg, ...] = (f"{self._namespace}:", self._namespace, env, tenant, team, user, *names[at:])
            looked, _ = await _REMOVE_LEFTOVERS.run(self._executor, 1, words)
            at += looked

    def get_many(self, keys: list[bytes]) -> Awaitable[tuple[int, list[list[bytes]]]]:
        """Return how many sessions were looked at, and key, text and scope of each."""
        return _GET_MANY.run(self._executor, 1, (self._sessions, self._namespace, *keys))

    def _places(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> tuple[str, ...]:
        if len(scopes) == 1:  # the usual case, in one step
            return (self._keys.wait(owner, scopes[0]),)
        return tuple([self._keys.wait(owner, scope) for scope in scopes])


def ms(ttl_ms: int | None) -> int:
    """Return a lifetime as scripts read it."""
    return FOR_EVER if ttl_ms is None else ttl_ms
