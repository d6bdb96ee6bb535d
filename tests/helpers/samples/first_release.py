"""A runtime of 0.1.0 on Redis: its scripts as they were, recorded by name, in lines.

What it did in Python around them stands here in short: keys, arguments, and what their answers
mean.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import redis

from greentic_session import ReplyScope, SessionData, TenantCtx, tenancy
from greentic_session.backends.redis.keys import Keys, identity_text, owner_path, owner_text, payload_prefix
from greentic_session.models import version_of

_RECORDED = Path(__file__).parent.parent.parent / "vectors" / "redis_scripts_0_1_0.json"
_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)
_REFUSED = {b"held": tenancy.scope_held, b"over": tenancy.claim_over}


@cache
def _recorded() -> dict[str, list[str]]:
    return msgspec.json.decode(_RECORDED.read_bytes(), type=dict[str, list[str]])


@cache
def script(name: str) -> str:
    """Return a script of 0.1.0 with what it includes."""

    def assemble(name: str, included: set[str]) -> str:
        def text_of(found: re.Match[str]) -> str:
            if found[1] in included:
                return ""
            included.add(found[1])
            return assemble(found[1], included)

        return _INCLUDE.sub(text_of, "\n".join([*_recorded()[name], ""]))

    return assemble(name, set())


class FirstRelease:
    """Operations of 0.1.0 in one namespace; they answer and raise as those of a store do.

    Args:
        raw: The server.
        namespace: That of the fleet.
    """

    def __init__(self, raw: redis.Redis, namespace: str) -> None:
        self._raw = raw
        self._keys = Keys(namespace)

    def create(self, who: TenantCtx, data: SessionData, key: str, ttl_ms: int) -> str:
        pointer = owner_text(_owner(who))
        words = (key, *_text(data), identity_text(data.tenant_ctx), pointer, ttl_ms)
        if self._run("create", [self._keys.session(key)], *words) == 0:
            raise tenancy.taken(key)
        return key

    def register(
        self, who: TenantCtx, scope: ReplyScope, key: str, data: SessionData, ttl_ms: int, *, replace: bool, token: str = ""
    ) -> str | None:
        place, text = owner_path(_owner(who)), data.to_json()
        leading = [self._scope(who, scope), self._keys.waits(place), self._keys.scopes(place), self._keys.latest(place)]
        words = (key, *_text(data), identity_text(data.tenant_ctx), text.find(b'"attempt":'))
        how = (scope.scope_hash(), msgspec.json.encode(scope), ttl_ms, "replace" if replace else "fail", token)
        outcome, *more = self._run("register", leading, *words, *how)
        if outcome == b"mismatch":
            raise tenancy.cannot_change(more[0].decode(), data, key)
        if outcome != b"ok":
            raise _REFUSED[outcome](key)
        return more[0].decode() or None

    def update(self, data: SessionData, key: str) -> None:
        checked = ""
        while True:
            words = (key, *_text(data), identity_text(data.tenant_ctx), data.to_json().find(b'"attempt":'), "", "", checked)
            outcome, *more = self._run("update", [self._keys.session(key)], *words)
            if outcome == b"ok":
                return
            if outcome != b"check":
                raise tenancy.absent(key) if outcome == b"absent" else tenancy.cannot_change(more[0].decode(), data, key)
            checked = version_of(more[0])

    def touch(self, key: str, ttl_ms: int) -> bool:
        return bool(self._run("touch", [self._keys.session(key)], key, ttl_ms, ""))

    def remove(self, key: str) -> None:
        if self._run("remove", [self._keys.session(key)], key, "") == 0:
            raise tenancy.absent(key)

    def find(self, who: TenantCtx, scope: ReplyScope) -> tuple[str, bytes] | None:
        found = self._run("find", [self._scope(who, scope)])
        return None if found is None else (found[1].decode(), found[2])

    def list_waits(self, who: TenantCtx) -> list[str]:
        place = owner_path(_owner(who))
        keys = [self._keys.waits(place), self._keys.scopes(place)]
        words = (owner_text(_owner(who)), payload_prefix(_owner(who)))
        found = self._run("list_waits", keys, *words, self._keys.scope(place, ""))
        if len(set(found)) < len(found):
            found = self._run("list_waits", keys, *words, "")
        return sorted(key.decode() for key in found)

    def clear(self, who: TenantCtx, scope: ReplyScope) -> None:
        self._run("clear", [self._scope(who, scope)], owner_text(_owner(who)), scope.scope_hash())

    def claim(self, who: TenantCtx, scope: ReplyScope, token: str, lease_ms: int) -> tuple[str, bytes] | None:
        found = self._run("claim", [self._scope(who, scope)], token, lease_ms)
        if found is None:
            return None
        if len(found) == 1:
            raise tenancy.claimed(found[0].decode())
        return found[1].decode(), found[2]

    def complete(self, key: str, token: str) -> None:
        if self._run("complete", [self._keys.claim(key)], key, token) == 0:
            raise tenancy.claim_over(key)

    def release(self, key: str, token: str) -> None:
        if self._run("release", [self._keys.claim(key)], key, token) == 0:
            raise tenancy.claim_over(key)

    def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return bool(self._run("renew", [self._keys.claim(key)], key, token, lease_ms))

    def _scope(self, who: TenantCtx, scope: ReplyScope) -> str:
        return self._keys.wait(_owner(who), scope)

    def _run(self, name: str, keys: list[str], *words: str | bytes | int) -> Any:
        return self._raw.eval(script(name), len(keys), *keys, self._keys.namespace, *words)


def _owner(who: TenantCtx) -> tenancy.Owner:
    owner = tenancy.lookup_owner(who, who.effective_user or "")
    assert owner is not None
    return owner


def _text(data: SessionData) -> tuple[bytes, str]:
    json = data.to_json()
    return json, version_of(json)
