"""Sessions in Redis: every operation is one command or one script, and decodes what it gets.

The scripts decide all that needs stored state, in one atomic step; here is only what they cannot do: reading JSON, and
saying in words what an outcome means. `lua/_rules.lua` tells how the keys hang together.
"""

import re
from collections.abc import AsyncIterator
from typing import cast

import msgspec

from greentic_session import fence
from greentic_session.backend import SessionBackend
from greentic_session.errors import CorruptSessionError, InvalidInputError, OperationTimeoutError, UnavailableError
from greentic_session.fence import Owner
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.transport.link import Link
from greentic_session.wait import Wait

from .keys import Keys, identity_text
from .scripts import Scripts, Text

__all__ = ["RedisBackend"]

_SCANNED = 500
"""How many keys Redis looks at in one step of a walk."""
_STEP = 100
"""How many sessions a walk reads, or a purge removes, in one step."""
_ENOUGH = 2**20
"""After how many bytes a walk's step ends early: snapshots may be long, and the server waits for them."""
_SCOPE = msgspec.json.Decoder(ReplyScope)


class RedisBackend(SessionBackend):
    """Storage in one namespace of one Redis.

    Args:
        link: The way to it.
        keys: Those of the namespace.
        reading: The way for reads that may be stale; the same by default.
    """

    def __init__(self, link: Link, keys: Keys, reading: Link | None = None) -> None:
        self._link = link
        self._reading = reading or link
        self._keys = keys
        self._scripts = Scripts(link, keys)
        self._reads = Scripts(self._reading, keys)

    # -- sessions, by key

    async def create(self, key: SessionKey, data: SessionData, pointer: Owner | None, ttl_ms: int | None) -> bool:
        return await self._scripts.create(key, Text(data), pointer, ttl_ms)

    async def read(self, key: str) -> Wait | None:
        text: bytes | None = await self._reading.call("GET", self._keys.session(key), repeatable=True)
        return None if text is None else _wait(key, text)

    async def update(self, key: str, data: SessionData, ctx: TenantCtx | None, if_version: str | None) -> str:
        text = Text(data)
        wanted = "" if if_version is None else if_version or "none"  # an empty one matches nothing
        checked = ""
        while True:
            outcome, *more = await self._scripts.update(key, text, identity_text(ctx), wanted, checked)
            match outcome:
                case b"ok":
                    return text.version
                case b"check":  # the reference wrote it, or somebody else: is it a session at all?
                    stored = _wait(key, more[0])
                    checked = stored.version
                case b"absent":
                    raise fence.absent(key)
                case b"mismatch":
                    raise fence.cannot_change(more[0].decode(), data, key)
                case _:
                    raise fence.changed(key)

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return await self._scripts.remove(key, identity_text(ctx))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return await self._scripts.touch(key, ttl_ms, identity_text(ctx))

    # -- waits, by scope

    async def register(
        self,
        owner: Owner,
        scope: ReplyScope,
        key: SessionKey,
        data: SessionData,
        ttl_ms: int | None,
        *,
        replace: bool = True,
        token: str | None = None,
    ) -> SessionKey | None:
        outcome, *more = await self._scripts.register(
            owner,
            scope,
            msgspec.json.encode(scope),
            key,
            Text(data),
            ttl_ms,
            "replace" if replace else "fail",
            token or "",
        )
        match outcome:
            case b"ok":
                return _key(more[0]) if more[0] else None
            case b"over":
                raise fence.claim_over(key)
            case b"corrupt":
                raise CorruptSessionError("the stored text under this key is not a session", session_key=key)
            case b"mismatch":
                raise fence.cannot_change(more[0].decode(), data, key)
            case _:
                raise fence.scope_held(key)

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        found = await self._reads.find(owner, scopes)
        return None if found is None else _wait(_key(found[1]), found[2], scopes[found[0]])

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        found = await self._reads.find_key(owner, scope)
        return None if found is None else _key(found)

    async def keys(self, owner: Owner) -> list[SessionKey]:
        # UTF-8 sorts as the characters do.
        return [_key(key) for key in sorted(await self._scripts.keys(owner))]

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        await self._scripts.clear(owner, scope)

    async def find_by_user(self, owner: Owner) -> Wait | None:
        found = await self._scripts.find_by_user(owner)
        if found is None:
            return None
        if not found:
            raise fence.several_waits()
        return _wait(_key(found[0]), found[1])

    # -- claims

    async def claim(self, owner: Owner, scopes: tuple[ReplyScope, ...], token: str, lease_ms: int) -> Wait | None:
        found = await self._scripts.claim(owner, scopes, token, lease_ms)
        if found is None:
            return None
        if len(found) == 1:
            raise fence.claimed(_key(found[0]))
        number, key, text = found
        try:
            return _wait(_key(key), text, scopes[number])
        except CorruptSessionError:
            await self._scripts.release(_key(key), token)
            raise

    async def complete(self, key: str, token: str) -> bool:
        return await self._scripts.complete(key, token)

    async def release(self, key: str, token: str) -> bool:
        return await self._scripts.release(key, token)

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return await self._scripts.renew(key, token, lease_ms)

    # -- the store as a whole

    async def health(self) -> None:
        try:
            await self._link.call("PING", repeatable=True)
        except OperationTimeoutError as error:
            raise UnavailableError(error.message) from error

    async def scan(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        yielded: set[str] = set()  # SCAN may name a key twice
        async for keys in self._steps():
            at = 0
            while at < len(keys):
                looked, found = await self._scripts.read_many(_ENOUGH, keys[at:])
                at += looked
                for key, text, scope in found:
                    try:
                        wait = _wait(_key(key), text, _SCOPE.decode(scope) if scope else None)
                    except CorruptSessionError:
                        continue  # whose it is cannot be said; reading it by its key tells
                    if wait.key not in yielded and fence.administers(ctx, None, wait.data):
                        yielded.add(wait.key)
                        yield wait

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        own = ctx.effective_user
        if user is not None and own not in (None, user):
            return 0
        removed = 0
        async for keys in self._steps():
            removed += await self._scripts.purge(ctx.env, ctx.tenant_id, ctx.effective_team or "", user or own or "", keys)
        return removed

    async def _steps(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of all sessions, a few at a time, without ever blocking the server."""
        prefix = self._keys.session("").encode()
        pattern = re.sub(rb"([\\\[\]*?^-])", rb"\\\1", prefix) + b"*"
        cursor: bytes = b"0"
        while True:
            self.check_open()
            cursor, found = await self._link.call(
                "SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED, "TYPE", "string", repeatable=True
            )
            keys = [key[len(prefix) :] for key in dict.fromkeys(found)]
            for start in range(0, len(keys), _STEP):
                yield keys[start : start + _STEP]
            if cursor == b"0":
                return

    async def aclose(self) -> None:
        self.closed = True
        await self._link.aclose()
        await self._reading.aclose()


def _key(key: bytes) -> SessionKey:
    # Not checked: the reference bounds no session key, and one of its own must not hide the waits beside it.
    return cast("SessionKey", key.decode("utf-8", "replace"))


def _wait(key: str, text: bytes, scope: ReplyScope | None = None) -> Wait:
    try:
        return Wait(cast("SessionKey", key), SessionData.from_json(text), scope, text)
    except InvalidInputError as error:
        raise CorruptSessionError("the stored text is not a session", session_key=key) from error
