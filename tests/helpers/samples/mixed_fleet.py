"""Contexts, scopes and small steps that the tests of a mixed fleet share."""

from redis_invariants import Dump

from greentic_session import Claim, RedisSessionStore, ReplyScope, TenantCtx
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

BOB = ctx("bob")
OTHER = ReplyScope("telegram:chat-2")
THIRD = ReplyScope("telegram:chat-3")


async def park(store: RedisSessionStore, key: str = "k1", scope: ReplyScope = CHAT, ttl: float | None = None) -> str | None:
    """Park a session of alice's, as a runner of ours does."""
    return await store.register_wait(ALICE, "alice", scope, key, data(), ttl)


async def claimed(store: RedisSessionStore) -> Claim:
    """Return a claim on the session that waits in alice's chat."""
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    return claim


async def found(store: RedisSessionStore, scope: ReplyScope = CHAT, who: TenantCtx = ALICE) -> str | None:
    """Return what waits at a scope; both lookups must say the same."""
    key = await store.find_wait_by_scope(who, str(who.effective_user), scope)
    wait = await store.find_wait(who, str(who.effective_user), scope)
    assert key == (None if wait is None else wait.key)
    return key


async def listed(store: RedisSessionStore, who: TenantCtx = ALICE) -> list[str]:
    return [*await store.list_waits_for_user(who, str(who.effective_user))]


def contents(found: Dump) -> dict[str, object]:
    """What there is, without lifetimes: they run on while a test looks."""
    return {key: (entry.kind, entry.ttl == -1, entry.value) for key, entry in found.items()}
