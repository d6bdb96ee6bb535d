"""Never run.

Mypy and pyright read it, to see that the public API can be used as README shows, with nothing
untyped.
"""

from datetime import timedelta
from typing import Any, assert_type

import msgspec

from greentic_session import (
    NEVER,
    Claim,
    EnvId,
    InMemory,
    InMemorySessionStore,
    RedisUrl,
    ReplyScope,
    SessionBackendConfig,
    SessionCursor,
    SessionData,
    SessionKey,
    SessionStore,
    SQLiteSessionStore,
    TenantCtx,
    Wait,
    create_session_store,
)
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.mapping import telegram_update_to_session_key
from greentic_session.wait import SessionIterator


class Ticket(msgspec.Struct):
    number: int


ctx = TenantCtx.new("dev", "acme", team="ops", user="alice")
assert_type(ctx, TenantCtx)
assert_type(EnvId("dev"), EnvId)
TenantCtx.new(EnvId("dev"), "acme").with_team(None).with_attributes({"a": "b"})
data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n", "why"), context_json="")
assert_type(data.new_context(Ticket(7)), SessionData)
assert_type(data.context(Ticket), Ticket)
assert_type(data.context(list[int]), list[int])
assert_type(data.context(), Any)
assert_type(data.to_json(), bytes)
assert_type(SessionData.from_json(b""), SessionData)
scope = ReplyScope("c", reply_to="7")
config: SessionBackendConfig = InMemory() if scope.thread else RedisUrl("redis://localhost")


async def use(store: SessionStore) -> None:
    key = await store.create_session(ctx, data, ttl=timedelta(days=1))
    assert_type(key, SessionKey)
    assert_type(await store.get_session("plain str"), SessionData | None)
    assert_type(await store.get_versioned(key, ctx=ctx), Wait | None)
    assert_type(await store.update_session(key, data, if_version="v"), str)
    assert_type(await store.register_wait(ctx, "alice", scope, key, data, NEVER, on_conflict="fail"), SessionKey | None)
    assert_type(await store.find_wait(ctx, "alice", scope), Wait | None)
    assert_type(await store.list_waits_for_user(ctx, "alice"), list[SessionKey])
    assert_type(store.iter_sessions(ctx), SessionIterator)
    claim = await store.claim_wait(ctx, "alice", scope, lease=timedelta(seconds=5))
    assert_type(claim, Claim | None)
    if claim:
        async with claim as held:
            assert_type(held, Claim)
            assert_type(held.scope, ReplyScope)
            assert_type(await held.park(scope, data, ttl=5), SessionKey | None)


store: SessionStore = InMemorySessionStore(default_wait_ttl=60, default_session_ttl=NEVER)
assert_type(SQLiteSessionStore.open("bot.db", default_wait_ttl=timedelta(days=7), durability="process"), SQLiteSessionStore)
assert_type(create_session_store("memory://", default_wait_ttl=5), SessionStore)
assert_type(telegram_update_to_session_key(1, "2", 3, ctx=ctx), SessionKey)
encrypted: SessionStore = EncryptedSessionStore(store, Keyring.from_text(EncryptionKey.generate("k1").to_text()))
