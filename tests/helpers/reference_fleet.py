"""Redis commands of the Rust crate greentic-session (the reference), with every fault of it.

The commands are sent one after the other, without a check. Of the library nothing is used but the
wire text of a session.
"""

import redis

from greentic_session import ReplyScope, SessionData, TenantCtx

__all__ = ["Reference"]


class Reference:
    """A runtime of the reference on one namespace."""

    def __init__(self, raw: redis.Redis, namespace: str) -> None:
        self.raw = raw
        self.namespace = namespace

    # -- names

    def session_key(self, key: str) -> str:
        return f"{self.namespace}:session:{key}"

    def scope_key(self, who: TenantCtx, scope: ReplyScope) -> str:
        return f"{self.namespace}:waits:scope:{self.place(who)}:{scope.scope_hash()}"

    def set_key(self, who: TenantCtx) -> str:
        return f"{self.namespace}:waits:user:{self.place(who)}"

    def pointer_key(self, who: TenantCtx) -> str:
        return f"{self.namespace}:user:{self.place(who)}"

    def place(self, who: TenantCtx) -> str:
        return f"{who.env}:{who.tenant_id}:{who.effective_team or '-'}:{who.effective_user}"

    # -- what it does

    def led_to(self, name: str) -> str | None:
        found = self.raw.get(name)
        assert found is None or isinstance(found, bytes)
        return None if found is None else found.decode()

    def members(self, who: TenantCtx) -> list[str]:
        return sorted(key.decode() for key in self.raw.smembers(self.set_key(who)) if isinstance(key, bytes))

    def create_session(self, key: str, data: SessionData) -> None:
        self.raw.set(self.session_key(key), data.to_json())

    def update_session(self, key: str, data: SessionData) -> bool:
        """Its lifetime is lost; and between the two commands anybody may have removed it."""
        found = self.raw.get(self.session_key(key)) is not None
        if found:
            self.raw.set(self.session_key(key), data.to_json())
        return found

    def remove_session(self, key: str) -> bool:
        """The scope key stays, and leads to whoever gets the session key next."""
        text = self.raw.get(self.session_key(key))
        if text is None:
            return False
        self.raw.delete(self.session_key(key))
        who = SessionData.from_json(text).tenant_ctx
        if who.effective_user:
            self.raw.srem(self.set_key(who), key)
        return True

    def register_wait(
        self, scope: ReplyScope, key: str, data: SessionData, ttl_ms: int | None = None, *, racing: bool = False
    ) -> None:
        """Park a session: whose it was before, and where it waited, is not asked.

        Args:
            scope: Where.
            key: The session key.
            data: The snapshot.
            ttl_ms: The lifetime of session and scope key; the set gets none.
            racing: Two take-overs at once: both read the scope before either wrote it, and the one
                that was displaced stays listed.
        """
        who = data.tenant_ctx
        self.raw.set(self.session_key(key), data.to_json(), px=ttl_ms)
        self.raw.sadd(self.set_key(who), key)
        before = self.led_to(self.scope_key(who, scope))
        self.raw.set(self.scope_key(who, scope), key, px=ttl_ms)
        if before not in (None, key) and not racing:
            self.raw.srem(self.set_key(who), before)

    def find_wait_by_scope(self, who: TenantCtx, scope: ReplyScope) -> str | None:
        key = self.led_to(self.scope_key(who, scope))
        if key is None:
            return None
        if not self.raw.exists(self.session_key(key)):
            self.raw.delete(self.scope_key(who, scope))
            self.raw.srem(self.set_key(who), key)
            return None
        return key

    def list_waits_for_user(self, who: TenantCtx) -> list[str]:
        return [key for key in self.members(who) if self.raw.exists(self.session_key(key))]

    def get_session(self, key: str) -> SessionData | None:
        text = self.raw.get(self.session_key(key))
        return None if text is None else SessionData.from_json(text)

    def clear_wait(self, who: TenantCtx, scope: ReplyScope) -> None:
        """Whatever the scope key says is removed, wherever it waits by now."""
        key = self.led_to(self.scope_key(who, scope))
        if key is None:
            return
        self.raw.delete(self.scope_key(who, scope))
        self.raw.delete(self.session_key(key))
        self.raw.srem(self.set_key(who), key)
