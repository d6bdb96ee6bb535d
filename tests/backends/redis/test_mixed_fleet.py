"""A Redis that runtimes of the reference write to as well: we stay right, whatever they leave behind."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import redis
from redis_invariants import Dump, check, dump
from redis_server import Server
from reference_fleet import Reference

from greentic_session import (
    ConflictError,
    CorruptSessionError,
    InternalError,
    NotFoundError,
    RedisSessionStore,
    ReplyScope,
    SessionData,
    TenantCtx,
    TenantMismatchError,
    Wait,
)
from greentic_session.backends.redis.slot import wait_of
from greentic_session.models import Impersonation, InvocationDeadline
from greentic_session.testing._sessions.samples import ALICE, CHAT, by_user, ctx, data

pytestmark = pytest.mark.asyncio

BOB = ctx("bob")
OTHER = ReplyScope("telegram:chat-2")
THIRD = ReplyScope("telegram:chat-3")


@pytest_asyncio.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


@pytest.fixture
def reference(raw: redis.Redis, namespace: str) -> Reference:
    return Reference(raw, namespace)


async def park(store: RedisSessionStore, key: str = "k1", scope: ReplyScope = CHAT, ttl: float | None = None) -> str | None:
    """Park a session of alice's, as a runner of ours does."""
    return await store.register_wait(ALICE, "alice", scope, key, data(), ttl)


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


def text_of(raw: redis.Redis, reference: Reference, key: str = "k1") -> bytes:
    text = raw.get(reference.session_key(key))
    assert isinstance(text, bytes)
    return text


# -- what one writes, the other reads

LONG = "x" * 400
WRITTEN_BY = {
    "team and user": ctx("alice"),
    "no team": ctx("alice", team=None),
    "only the old fields": TenantCtx(env="dev", tenant="acme", tenant_id="acme", team="ops", user="alice", attempt=0),
    "only the new fields": TenantCtx(env="dev", tenant="acme", tenant_id="acme", team_id="ops", user_id="alice", attempt=0),
    "old fields that differ": TenantCtx(
        env="dev", tenant="old", tenant_id="acme", team="old", team_id="ops", user="old", user_id="alice", attempt=7
    ),
    "an old team, a new user": TenantCtx(
        env="dev", tenant="acme", tenant_id="acme", team="ops", user_id="alice", attempt=0, session_id="team"
    ),
    "ids longer than the front that is read": ctx(LONG, team=LONG, tenant=LONG, env=LONG),
    "attributes and all": ctx("alice")
    .with_attributes({"team": 'x","team_id":"other', "user_id": "bob"})
    .with_session("s")
    .with_flow('f","user_id":"bob')
    .with_deadline(InvocationDeadline(5))
    .with_impersonation(Impersonation("bob")),
    "odd ids": ctx("-", team="--", tenant="..", env="_"),
}
shapes = pytest.mark.parametrize("who", WRITTEN_BY.values(), ids=WRITTEN_BY.keys())


@shapes
async def test_what_the_reference_parks_is_ours_to_resume(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, who: TenantCtx
) -> None:
    user = str(who.effective_user)
    caller = TenantCtx.new(who.env, who.tenant_id, team=who.effective_team, user=user)
    parked = data(who)
    reference.register_wait(CHAT, "k1", parked, 60_000)

    assert await found(store, CHAT, caller) == "k1"
    assert await listed(store, caller) == ["k1"]
    assert await store.get_session("k1") == parked
    assert await store.get_session("k1", ctx=caller) == parked
    assert await store.get_session("k1", ctx=caller.with_user("eve")) is None
    assert await by_user(store, caller, user) == ("k1", parked)
    wait = await store.find_wait(caller, user, CHAT)
    assert wait is not None
    assert (wait.data, wait.scope) == (parked, CHAT)
    assert wait.version == hashlib.sha1(parked.to_json()).hexdigest()

    claim = await store.claim_wait(caller, user, CHAT, lease=30)
    assert claim is not None
    assert claim.data == parked
    assert await claim.park(OTHER, data(who, "next"), 60) is None
    assert await found(store, CHAT, caller) is None  # cleaned, though nothing led back to it
    assert reference.find_wait_by_scope(who, OTHER) == "k1"
    assert reference.get_session("k1") == data(who, "next")
    check(raw, reference.namespace)
    await store.clear_wait(caller, user, OTHER)
    assert dump(raw, reference.namespace) == {}


@shapes
async def test_what_we_park_is_the_references_to_resume(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, who: TenantCtx
) -> None:
    user = str(who.effective_user)
    await store.register_wait(who, user, CHAT, "k1", data(who), 60)
    assert text_of(raw, reference) == data(who).to_json()
    assert raw.get(reference.scope_key(who, CHAT)) == b"k1"
    assert raw.smembers(reference.set_key(who)) == {b"k1"}
    assert reference.find_wait_by_scope(who, CHAT) == "k1"
    assert reference.list_waits_for_user(who) == ["k1"]
    assert reference.get_session("k1") == data(who)

    await store.update_session("k1", data(who, "next"))
    assert reference.get_session("k1") == data(who, "next")
    assert 55_000 < raw.pttl(reference.session_key("k1")) <= 60_020

    reference.clear_wait(who, CHAT)
    assert await store.get_session("k1") is None
    assert await found(store, CHAT, who) is None
    assert await listed(store, who) == []


@shapes
async def test_what_the_reference_created_is_updated_with_its_version(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, who: TenantCtx
) -> None:
    reference.create_session("k1", data(who))
    seen = await store.get_versioned("k1")
    assert seen is not None
    with pytest.raises(ConflictError):
        await store.update_session("k1", data(who, "next"), if_version="0" * 40)
    assert text_of(raw, reference) == data(who).to_json()
    assert list(dump(raw, reference.namespace)) == ["session:k1"]  # a call that failed has left nothing
    version = await store.update_session("k1", data(who, "next"), if_version=seen.version)
    assert version == hashlib.sha1(data(who, "next").to_json()).hexdigest()
    assert reference.get_session("k1") == data(who, "next")

    reference.update_session("k1", data(who, "theirs"))
    with pytest.raises(ConflictError):
        await store.update_session("k1", data(who, "ours"), if_version=version)
    await store.update_session("k1", data(who, "ours"))
    assert reference.get_session("k1") == data(who, "ours")
    assert await store.touch("k1", 60, ctx=who) is True
    assert 55_000 < raw.pttl(reference.session_key("k1")) <= 60_020
    await store.remove_session("k1", ctx=who)
    assert dump(raw, reference.namespace) == {}


@pytest.mark.parametrize("who", [None, ALICE], ids=["anybody", "its owner"])
async def test_an_update_gets_through_though_the_reference_writes_while_it_looks(
    store: RedisSessionStore, reference: Reference, monkeypatch: pytest.MonkeyPatch, who: TenantCtx | None
) -> None:
    """What somebody else wrote is sent here to be read: and may be another text once we are back."""
    writes = iter(range(3))

    def read_while_it_writes(key: str, text: bytes, *more: ReplyScope) -> Wait:
        for number in itertools.islice(writes, 1):
            reference.update_session("k1", data(node=f"theirs {number}"))
        return wait_of(key, text, *more)

    monkeypatch.setattr("greentic_session.backends.redis.slot.wait_of", read_while_it_writes)
    reference.create_session("k1", data())
    async with asyncio.timeout(10):
        await store.update_session("k1", data(node="ours"), ctx=who)
    assert next(writes, None) is None
    assert reference.get_session("k1") == data(node="ours")
    reference.update_session("k1", data(node="theirs"))
    with pytest.raises(ConflictError):
        await store.update_session("k1", data(node="next"), ctx=who, if_version="0" * 40)


async def test_a_session_of_nobody(store: RedisSessionStore, reference: Reference) -> None:
    for team in ("ops", None):
        nobody = ctx(None, team=team)
        reference.create_session("k1", data(nobody))
        assert await store.get_session("k1", ctx=nobody) == data(nobody)
        assert await store.get_session("k1", ctx=nobody.with_user("alice")) == data(nobody)
        assert await store.get_session("k1", ctx=ctx("alice", team="dev")) is None
        with pytest.raises(TenantMismatchError, match="user cannot change"):
            await store.update_session("k1", data(nobody.with_user("alice")))
        await store.update_session("k1", data(nobody, "next"), ctx=nobody.with_user("alice"))
        assert reference.get_session("k1") == data(nobody, "next")
        await store.remove_session("k1", ctx=nobody)


async def test_an_identity_is_read_wherever_the_front_of_a_long_text_is_cut(
    store: RedisSessionStore, reference: Reference
) -> None:
    """The scripts look at 1 KiB first. Cut between an old field and the new one, it would name somebody else."""

    def named(tenant: str) -> SessionData:
        return data(
            TenantCtx(
                env="dev",
                tenant=tenant,
                tenant_id="acme",
                team="old",
                team_id="ops",
                user="old",
                user_id="alice",
                attempt=0,
            )
        )

    start = named("acme").to_json().index(b',"team"')
    for padding in range(1024 - start - 110, 1024 - start + 1):
        reference.register_wait(CHAT, "k1", named("acme" + padding * "x"))
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k1", padding
        assert await store.get_session("k1", ctx=ALICE) is not None


STRANGERS = {
    "user": ctx("bob"),
    "team": ctx(team="dev"),
    "no team": ctx(team=None),
    "tenant": ctx(tenant="globex"),
    "env": ctx(env="prod"),
}


@pytest.mark.parametrize("who", STRANGERS.values(), ids=STRANGERS.keys())
@pytest.mark.parametrize("theirs", ["waiting", "created"])
async def test_what_only_the_reference_wrote_keeps_its_owner(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, who: TenantCtx, theirs: str
) -> None:
    if theirs == "waiting":
        reference.register_wait(CHAT, "k1", data())
    else:
        reference.create_session("k1", data())
    before = contents(dump(raw, reference.namespace))
    with pytest.raises(TenantMismatchError, match="cannot change"):
        await store.register_wait(who, str(who.user_id), OTHER, "k1", data(who))
    with pytest.raises(TenantMismatchError, match="cannot change"):
        await store.update_session("k1", data(who))
    with pytest.raises(ConflictError):
        await store.create_session(who, data(who), key="k1")
    with pytest.raises(NotFoundError):
        await store.update_session("k1", data(who), ctx=who)
    with pytest.raises(NotFoundError):
        await store.remove_session("k1", ctx=who)
    assert await store.touch("k1", 1, ctx=who) is False
    assert await found(store, CHAT, who) is None
    await store.clear_wait(who, str(who.user_id), CHAT)
    assert contents(dump(raw, reference.namespace)) == before


# -- an index entry answers only if the session exists, and its owner owns the entry


async def test_a_scope_key_that_the_reference_left_behind(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store)
    reference.remove_session("k1")
    assert raw.get(reference.scope_key(ALICE, CHAT)) == b"k1"
    assert await found(store) is None
    assert dump(raw, reference.namespace) == {}  # our record went with it


async def test_two_scopes_that_lead_to_one_session_hide_no_other(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k1", CHAT)
    await park(store, "k2", OTHER)
    raw.set(reference.scope_key(ALICE, CHAT), "k2")  # as if it had lost a race; the numbers of waits agree all the same
    assert await listed(store) == ["k2"]


async def test_a_list_is_of_the_set_though_a_scope_key_was_left(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k1", CHAT)
    raw.srem(reference.set_key(ALICE), "k1")
    reference.register_wait(OTHER, "k2", data())
    assert await listed(store) == ["k2"]


async def test_a_reused_key_does_not_answer_where_another_waited(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    reference.remove_session("k1")
    await store.create_session(ALICE, data(node="other"), key="k1")  # alice's again, and no wait
    assert await found(store) is None
    assert await listed(store) == []
    assert await store.claim_wait(ALICE, "alice", CHAT) is None
    assert await store.get_session("k1") == data(node="other")


async def test_the_reference_gives_our_key_to_another_user(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store)
    reference.remove_session("k1")
    reference.register_wait(CHAT, "k1", data(BOB))
    raw.sadd(reference.set_key(ALICE), "k1")  # as if it had lost a race

    assert await found(store) is None
    assert await listed(store) == []
    assert await store.claim_wait(ALICE, "alice", CHAT) is None
    await store.clear_wait(ALICE, "alice", CHAT)
    with pytest.raises(NotFoundError):
        await store.remove_session("k1", ctx=ALICE)
    assert not raw.exists(reference.scope_key(ALICE, CHAT), reference.set_key(ALICE))

    assert await found(store, CHAT, BOB) == "k1"
    assert await listed(store, BOB) == ["k1"]
    await store.update_session("k1", data(BOB, "next"))
    assert await found(store, CHAT, BOB) == "k1"
    with pytest.raises(TenantMismatchError):
        await park(store)
    await store.remove_session("k1", ctx=BOB)
    assert await found(store, CHAT, BOB) is None
    assert dump(raw, reference.namespace) == {}


async def test_the_reference_overwrites_our_session_for_another_user(store: RedisSessionStore, reference: Reference) -> None:
    """Fault 4, and nothing was removed before: all of alice's entries still lead to what is bob's now."""
    await park(store)
    reference.register_wait(OTHER, "k1", data(BOB))
    assert await found(store) is None
    assert await listed(store) == []
    assert await by_user(store, ALICE, "alice") is None
    assert await found(store, OTHER, BOB) == "k1"
    assert await listed(store, BOB) == ["k1"]


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "corrupt"])
@pytest.mark.parametrize("operation", ["find", "claim", "complete"])
async def test_what_is_bobs_under_the_key_and_as_usual_in_all_else_is_not_alices(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, operation: str, *, readable: bool
) -> None:
    await park(store)
    claim = await store.claim_wait(ALICE, "alice", CHAT) if operation == "complete" else None
    text = data(BOB).to_json() if readable else data(BOB).to_json()[:-9]
    raw.set(reference.session_key("k1"), text, keepttl=True)

    if operation == "find":
        assert await store.find_wait(ALICE, "alice", CHAT) is None
    elif operation == "claim":
        assert await store.claim_wait(ALICE, "alice", CHAT) is None
        assert not raw.exists(f"{reference.namespace}:claim:k1")
    else:
        assert claim is not None
        with pytest.raises(ConflictError):
            await claim.complete()
    assert raw.get(reference.session_key("k1")) == text


async def test_a_pointer_that_the_reference_left_lives_as_long_as_the_wait_it_leads_to_now(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await store.create_session(ALICE, data(), key="k1")
    reference.remove_session("k1")
    for ttl in (60, 600):
        await park(store, ttl=ttl)
        assert ttl - 5 < raw.ttl(reference.pointer_key(ALICE)) <= ttl
    assert raw.get(reference.pointer_key(ALICE)) == b"k1"


async def test_the_latest_session_of_alice_becomes_bobs(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await store.create_session(ALICE, data(), key="k1")
    reference.create_session("k1", data(BOB))
    assert await by_user(store, ALICE, "alice") is None
    assert not raw.exists(reference.pointer_key(ALICE))
    assert await store.get_session("k1", ctx=BOB) == data(BOB)


@pytest.mark.parametrize("member", ["gone", "somebody else's"])
async def test_dead_ids_in_the_set_are_no_waits(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, member: str
) -> None:
    await park(store)
    raw.sadd(reference.set_key(ALICE), "k2")
    if member != "gone":
        reference.create_session("k2", data(BOB))
    assert await by_user(store, ALICE, "alice") == ("k1", data())  # one wait, not several
    assert await listed(store) == ["k1"]
    assert raw.smembers(reference.set_key(ALICE)) == {b"k1"}


# -- our record against a scope key


async def test_the_scope_that_our_record_names_wins_over_another_that_leads_to_it(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    reference.register_wait(OTHER, "k1", data())
    await park(store)
    assert await found(store, OTHER) is None
    assert not raw.exists(reference.scope_key(ALICE, OTHER))  # cleaned
    raw.set(reference.scope_key(ALICE, OTHER), "k1")
    await store.clear_wait(ALICE, "alice", OTHER)  # must not remove what waits at CHAT
    assert await found(store) == "k1"
    assert await listed(store) == ["k1"]


@pytest.mark.parametrize(("ours", "theirs"), [(None, None), (60, None), (60, 90_000), (None, 90_000)])
async def test_the_reference_moves_what_we_parked_with_the_same_text(
    store: RedisSessionStore, reference: Reference, ours: float | None, theirs: int | None
) -> None:
    await park(store, "k1", CHAT, ours)
    reference.register_wait(OTHER, "k1", data(), theirs)
    for _ in range(2):
        assert await found(store, OTHER) == "k1"
        assert reference.find_wait_by_scope(ALICE, OTHER) == "k1"
        assert await listed(store) == ["k1"]
    await store.touch("k1", None)
    assert await found(store, OTHER) == "k1"
    await park(store, "k1", THIRD)  # and we move it again
    assert [await found(store, scope) for scope in (OTHER, THIRD)] == [None, "k1"]


@pytest.mark.parametrize("ttl", [None, 60])
async def test_a_displaced_session_that_the_reference_has_moved_waits_where_it_was_moved_to(
    store: RedisSessionStore, reference: Reference, ttl: float | None
) -> None:
    await park(store, "k1", CHAT, ttl)
    reference.register_wait(OTHER, "k1", data(node="theirs"))
    assert await park(store, "k2", CHAT, ttl) == "k1"
    assert await found(store) == "k2"
    assert await found(store, OTHER) == "k1"
    assert reference.find_wait_by_scope(ALICE, OTHER) == "k1"
    assert await listed(store) == ["k1", "k2"]
    assert reference.list_waits_for_user(ALICE) == ["k1", "k2"]


@pytest.mark.parametrize("again", ["created", "parked", "somebody else's"])
async def test_no_scope_key_of_ours_leads_to_a_key_that_is_used_again(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, again: str
) -> None:
    await store.create_session(ALICE, data(), key="k1")
    await park(store)
    reference.remove_session("k1")
    if again == "created":
        await store.create_session(ALICE, data(), key="k1")
    elif again == "parked":
        await park(store, "k1", OTHER)
    else:
        await store.create_session(BOB, data(BOB), key="k1")
        assert not raw.exists(reference.pointer_key(ALICE))
    assert reference.find_wait_by_scope(ALICE, CHAT) is None
    check(raw, reference.namespace)


async def test_a_record_that_is_forgotten_takes_its_scope_key_along(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store)
    reference.register_wait(OTHER, "k1", data(node="theirs"))
    reference.remove_session("k1")
    assert await found(store, OTHER) is None
    assert dump(raw, reference.namespace) == {}


async def test_we_move_what_the_reference_parked(store: RedisSessionStore, reference: Reference) -> None:
    reference.register_wait(CHAT, "k1", data())
    await park(store, "k1", OTHER)
    assert reference.find_wait_by_scope(ALICE, CHAT) == "k1"  # nothing led us back there
    assert await found(store) is None
    assert await found(store, OTHER) == "k1"
    assert reference.find_wait_by_scope(ALICE, CHAT) is None  # cleaned when it was seen


async def test_the_reference_moves_what_we_parked(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    reference.register_wait(OTHER, "k1", data(node="next"))
    assert await found(store, OTHER) == "k1"
    assert await listed(store) == ["k1"]
    await store.update_session("k1", data(node="ours again"))  # our text, and yet only the reference knows where it waits
    assert await found(store, OTHER) == "k1"
    assert await listed(store) == ["k1"]
    claim = await store.claim_wait(ALICE, "alice", OTHER)
    assert claim is not None
    await claim.park(THIRD, data())
    assert [await found(store, scope) for scope in (CHAT, OTHER, THIRD)] == [None, None, "k1"]


async def test_what_the_reference_parks_of_ours(store: RedisSessionStore, reference: Reference) -> None:
    """It was created by us and waits for the first time."""
    await store.create_session(ALICE, data(), key="k1")
    reference.register_wait(CHAT, "k1", data(node="next"))
    assert await found(store) == "k1"
    assert await listed(store) == ["k1"]
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == ["k1"]


@pytest.mark.parametrize("racing", [False, True], ids=["alone", "racing"])
async def test_the_reference_takes_our_scope(store: RedisSessionStore, reference: Reference, *, racing: bool) -> None:
    await park(store)
    reference.register_wait(CHAT, "k2", data(), racing=racing)
    assert await listed(store) == ["k2"]
    assert await found(store) == "k2"
    assert await store.get_session("k1") == data()
    assert await by_user(store, ALICE, "alice") == ("k2", data())
    await store.remove_session("k1")  # must not take k2's scope along
    assert await found(store) == "k2"


async def test_a_walk_names_no_scope_where_a_session_does_not_wait(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    reference.register_wait(CHAT, "k2", data())
    walked = {str(wait.key): wait.scope async for wait in store.iter_sessions(ALICE)}
    assert walked["k1"] is None
    assert walked.keys() == {"k1", "k2"}


@pytest.mark.parametrize("on_conflict", ["replace", "fail"])
async def test_we_take_a_scope_of_the_references(store: RedisSessionStore, reference: Reference, on_conflict: str) -> None:
    reference.register_wait(CHAT, "k1", data(), 60_000)
    if on_conflict == "fail":
        with pytest.raises(ConflictError):
            await store.register_wait(ALICE, "alice", CHAT, "k2", data(), on_conflict="fail")
        assert await store.get_session("k2") is None
        assert await found(store) == "k1"
        return
    assert await park(store, "k2") == "k1"
    assert await listed(store) == ["k2"]
    assert await found(store) == "k2"
    assert await store.get_session("k1") == data()
    assert 55_000 < reference.raw.pttl(reference.session_key("k1")) <= 60_020
    check(reference.raw, reference.namespace)


async def test_a_stale_entry_displaces_nobody(store: RedisSessionStore, raw: redis.Redis, reference: Reference) -> None:
    """Where a scope key leads to what does not wait there, the place is free."""
    reference.register_wait(CHAT, "k1", data())
    await park(store, "k1", OTHER)
    assert await store.register_wait(ALICE, "alice", CHAT, "k2", data(), on_conflict="fail") is None
    assert await found(store, OTHER) == "k1"
    assert await listed(store) == ["k1", "k2"]
    check(raw, reference.namespace)


async def test_the_reference_clears_what_we_parked_and_we_park_again(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k1", CHAT, 60)
    old = await store.claim_wait(ALICE, "alice", CHAT)
    assert old is not None
    reference.clear_wait(ALICE, CHAT)
    await park(store, "k1", OTHER)
    assert await found(store, OTHER) == "k1"
    with pytest.raises(ConflictError):
        await old.complete()
    new = await store.claim_wait(ALICE, "alice", OTHER)  # nothing is left of the first claim
    assert new is not None
    await new.release()
    check(raw, reference.namespace)


async def test_a_claim_does_not_outlive_its_session_under_a_key_that_is_used_again(
    store: RedisSessionStore, reference: Reference
) -> None:
    await park(store)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    reference.clear_wait(ALICE, CHAT)
    await store.create_session(ALICE, data(), key="k1")
    for call in (claim.renew(10), claim.park(OTHER, data()), claim.complete()):
        with pytest.raises(ConflictError):
            await call
    assert await store.get_session("k1") == data()


async def test_touch_leaves_alone_what_another_session_has_taken(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store)
    reference.register_wait(CHAT, "k2", data())
    assert await store.touch("k1", 30) is True
    assert raw.pttl(reference.scope_key(ALICE, CHAT)) == -1
    assert await found(store) == "k2"


async def test_the_reference_clears_what_is_claimed(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    reference.clear_wait(ALICE, CHAT)
    for call in (claim.renew(10), claim.park(OTHER, data())):
        with pytest.raises(ConflictError):
            await call
    with pytest.raises(ConflictError):
        await claim.complete()
    assert await store.get_session("k1") is None


async def test_completing_what_the_reference_parked_removes_it(store: RedisSessionStore, reference: Reference) -> None:
    reference.register_wait(CHAT, "k1", data())
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.complete()
    assert reference.get_session("k1") is None
    assert await found(store) is None
    assert await listed(store) == []


async def test_cleaning_never_fails_a_read(server: Server) -> None:
    """A replica cleans nothing, and answers all the same."""
    with Server("--replicaof", "127.0.0.1", str(server.port)) as replica, server.client() as raw, replica.client() as copy:
        reference = Reference(raw, "n")
        async with RedisSessionStore.from_url(server.url, namespace="n") as store:
            await park(store, "k1", OTHER)
            await store.create_session(BOB, data(BOB), key="k2")
        raw.set(reference.scope_key(ALICE, CHAT), "k2")  # somebody else's
        raw.set(reference.scope_key(ALICE, THIRD), "gone")
        raw.set(reference.pointer_key(ALICE), "k2")
        raw.sadd(reference.set_key(ALICE), "gone", "k2")
        give_up = time.monotonic() + 20
        while copy.scard(reference.set_key(ALICE)) != 3:
            assert time.monotonic() < give_up, "the replica does not follow"
            await asyncio.sleep(0.02)
        async with RedisSessionStore.from_url(replica.url, namespace="n") as reader:
            assert [await found(reader, scope) for scope in (CHAT, OTHER, THIRD)] == [None, "k1", None]
            assert await listed(reader) == ["k1"]
            assert await by_user(reader, ALICE, "alice") == ("k1", data())
            assert await by_user(reader, BOB, "bob") == ("k2", data(BOB))
            assert {wait.key async for wait in reader.iter_sessions(ctx(None))} == {"k1", "k2"}


# -- lifetimes that are missing


async def test_an_update_of_the_references_loses_the_lifetime_and_touch_brings_it_back(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k1", CHAT, 60)
    reference.update_session("k1", data(node="theirs"))
    assert raw.pttl(reference.session_key("k1")) == -1
    assert await found(store) == "k1"
    assert await store.touch("k1", 30) is True
    lives = {name: entry.ttl for name, entry in dump(raw, reference.namespace).items()}
    assert len(lives) == 4  # session, record, scope, set
    assert all(25_000 < life <= 30_020 for life in lives.values()), lives


@pytest.mark.parametrize("operation", ["update_session", "claim_wait", "find_wait"])
@pytest.mark.parametrize("text", ["another text", "the same text"])
async def test_an_update_of_the_references_loses_no_lifetime_for_good(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, operation: str, text: str
) -> None:
    await park(store, "k1", CHAT, 60)
    reference.update_session("k1", data(node="theirs") if text == "another text" else data())
    match operation:
        case "update_session":
            await store.update_session("k1", data(node="ours"))
        case "claim_wait":
            assert await store.claim_wait(ALICE, "alice", CHAT, lease=5) is not None
        case _:
            assert await store.find_wait(ALICE, "alice", CHAT) is not None
    lives = {name: entry.ttl for name, entry in dump(raw, reference.namespace).items() if not name.startswith("claim:")}
    assert len(lives) == 4  # session, record, scope, set
    assert all(30_000 < life <= 60_020 for life in lives.values()), lives


async def test_a_created_session_gets_its_lifetime_back_too(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await store.create_session(ALICE, data(), key="k1", ttl=60)
    reference.update_session("k1", data(node="theirs"))
    await store.update_session("k1", data(node="ours"))
    assert 30_000 < raw.pttl(reference.session_key("k1")) <= 60_020


async def test_a_wait_that_the_reference_registers_for_good_stays(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k1", CHAT, 60)
    reference.register_wait(CHAT, "k1", data(node="theirs"))
    await store.update_session("k1", data(node="ours"))
    assert await found(store) == "k1"
    assert raw.pttl(reference.session_key("k1")) == -1


async def test_a_purge_leaves_nothing_of_what_the_reference_cleared(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    for number in range(3):
        await park(store, f"k{number}", ReplyScope(f"{number}"))
        reference.clear_wait(ALICE, ReplyScope(f"{number}"))
    assert await store.purge(ALICE) == 0
    assert dump(raw, reference.namespace) == {}


async def test_a_wait_whose_scope_key_ended_early_is_still_there_by_key(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    reference.register_wait(CHAT, "k1", data(), 60_000)
    assert await store.touch("k1", None) is True  # cannot reach the scope key
    raw.delete(reference.scope_key(ALICE, CHAT))  # its time has come
    assert await found(store) is None
    assert await store.get_session("k1") == data()
    await park(store)
    assert await found(store) == "k1"
    check(raw, reference.namespace)


async def clear(store: RedisSessionStore) -> None:
    await store.clear_wait(ALICE, "alice", CHAT)


async def complete(store: RedisSessionStore) -> None:
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.complete()


async def claim_for_long(store: RedisSessionStore) -> None:
    claim = await store.claim_wait(ALICE, "alice", CHAT, lease=60)
    assert claim is not None


MENDING: dict[str, Callable[[RedisSessionStore], Awaitable[object]]] = {
    "register_wait": lambda store: park(store, "k3", THIRD, 30),
    "touch": lambda store: store.touch("k1", 30),
    "remove_session": lambda store: store.remove_session("k1"),
    "clear_wait": clear,
    "claim_wait": claim_for_long,
    "complete": complete,
    "list_waits_for_user": listed,
    "purge": lambda store: store.purge(ctx(None)),
}


@pytest.mark.parametrize("operation", MENDING.values(), ids=MENDING.keys())
@pytest.mark.parametrize("left", ["no lifetime", "too short a lifetime"])
async def test_the_next_operation_on_a_user_mends_the_lifetime_of_the_set(
    store: RedisSessionStore,
    raw: redis.Redis,
    reference: Reference,
    operation: Callable[[RedisSessionStore], Awaitable[object]],
    left: str,
) -> None:
    reference.register_wait(CHAT, "k1", data(), 30_000)
    reference.register_wait(OTHER, "k2", data(), 40_000)
    raw.sadd(reference.set_key(ALICE), "gone")
    if left != "no lifetime":
        raw.pexpire(reference.set_key(ALICE), 5_000)
    await operation(store)
    after = dump(raw, reference.namespace)
    if operation is MENDING["purge"]:
        assert "waits:user:dev:acme:ops:alice" not in after
        return
    users = after["waits:user:dev:acme:ops:alice"]
    longest = max(after[f"session:{member.decode()}"].ttl for member in users.members)
    assert abs(users.ttl - longest) < 20
    assert b"gone" not in users.members


async def test_a_set_that_lost_its_lifetime_is_gone_once_its_waits_are(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    reference.register_wait(CHAT, "k1", data(), 20)
    assert raw.pttl(reference.set_key(ALICE)) == -1
    await asyncio.sleep(0.04)
    assert await listed(store) == []
    assert not raw.exists(reference.set_key(ALICE))


# -- texts that are no session

WHOLE = data().to_json()
CORRUPT = {
    "empty": b"",
    "not JSON": b"\x80\x04\x95pickle",
    "other JSON": b'{"name":"alice"}',
    "null": b"null",
    "cut after the identity": WHOLE[: WHOLE.index(b',"flow_id"')],
    "cut inside the identity": WHOLE[: WHOLE.index(b',"user_id"') + 5],
    "bit flipped": WHOLE.replace(b'"cursor"', b'"cursos"'),
    "invalid UTF-8": WHOLE.replace(b"node.ask", b"node.\xff\xfe"),
}
FRONT_IS_WHOLE = {"cut after the identity", "bit flipped", "invalid UTF-8"}
corrupt = pytest.mark.parametrize("kind", CORRUPT)
recorded = pytest.mark.parametrize("ours", [True, False], ids=["with our record", "without"])


async def spoil(store: RedisSessionStore, reference: Reference, kind: str, *, ours: bool) -> None:
    """Leave a corrupt k1 waiting at CHAT, and a good k2 at OTHER."""
    if ours:
        await park(store)
    else:
        reference.register_wait(CHAT, "k1", data())
    reference.raw.set(reference.session_key("k1"), CORRUPT[kind])
    await park(store, "k2", OTHER)


@corrupt
@recorded
async def test_a_corrupt_session_is_not_read_updated_or_claimed(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, kind: str, *, ours: bool
) -> None:
    await spoil(store, reference, kind, ours=ours)
    before = contents(dump(raw, reference.namespace))
    reads: list[Awaitable[object]] = [
        store.get_session("k1"),
        store.get_versioned("k1"),
        store.update_session("k1", data()),
        store.update_session("k1", data(), if_version=hashlib.sha1(CORRUPT[kind]).hexdigest()),
    ]
    for read in reads:
        with pytest.raises(CorruptSessionError) as caught:
            await read
        assert caught.value.session_key == "k1"
    if ours or kind in FRONT_IS_WHOLE:
        for call in (store.find_wait(ALICE, "alice", CHAT), store.claim_wait(ALICE, "alice", CHAT)):
            with pytest.raises(CorruptSessionError) as caught:
                await call
            assert caught.value.session_key == "k1"
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k1"
        assert contents(dump(raw, reference.namespace)) == before  # no claim, nothing else
    else:  # nobody knows whose it is, so it answers nobody
        assert await found(store) is None
        assert await store.claim_wait(ALICE, "alice", CHAT) is None
    assert not raw.exists(f"{reference.namespace}:claim:k1")


@corrupt
@recorded
async def test_everything_about_others_goes_on(
    store: RedisSessionStore, reference: Reference, kind: str, *, ours: bool
) -> None:
    await spoil(store, reference, kind, ours=ours)
    answering = ["k1", "k2"] if ours or kind in FRONT_IS_WHOLE else ["k2"]
    assert await listed(store) == answering
    assert await found(store, OTHER) == "k2"
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == ["k2"]
    claim = await store.claim_wait(ALICE, "alice", OTHER)
    assert claim is not None
    await claim.park(THIRD, data(node="next"))
    assert await found(store, THIRD) == "k2"
    await store.touch("k2", 30)
    await store.remove_session("k2")
    assert await listed(store) == answering[:-1]


@corrupt
@recorded
async def test_a_corrupt_session_is_touched_removed_cleared_and_purged(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, kind: str, *, ours: bool
) -> None:
    known = ours or kind in FRONT_IS_WHOLE
    await spoil(store, reference, kind, ours=ours)
    assert await store.touch("k1", 30) is True
    assert 25_000 < raw.pttl(reference.session_key("k1")) <= 30_020
    assert await store.touch("k1", 40, ctx=ALICE) is known
    assert await store.touch("k1", 40, ctx=BOB) is False
    await store.remove_session("k1")
    assert not raw.exists(reference.session_key("k1"))
    assert await found(store) is None
    assert await listed(store) == ["k2"]

    await spoil(store, reference, kind, ours=ours)
    await store.clear_wait(ALICE, "alice", CHAT)
    assert raw.exists(reference.session_key("k1")) == (not known)

    if known:
        await spoil(store, reference, kind, ours=ours)
    assert await store.purge(ctx(None)) == (2 if known else 1)
    assert raw.exists(reference.session_key("k1")) == (not known)


@corrupt
@recorded
async def test_another_session_displaces_a_corrupt_one(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, kind: str, *, ours: bool
) -> None:
    await spoil(store, reference, kind, ours=ours)
    assert await park(store, "k3") == ("k1" if ours or kind in FRONT_IS_WHOLE else None)
    assert await found(store) == "k3"
    assert await listed(store) == ["k2", "k3"]
    assert raw.get(reference.session_key("k1")) == CORRUPT[kind]
    with pytest.raises(CorruptSessionError):
        await store.get_session("k1")
    with pytest.raises(CorruptSessionError):
        await store.update_session("k1", data())
    with pytest.raises(ConflictError):
        await store.create_session(ALICE, data(), key="k1")
    await store.remove_session("k1")
    check(raw, reference.namespace)


@corrupt
@recorded
async def test_a_corrupt_session_keeps_its_owner(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, kind: str, *, ours: bool
) -> None:
    await spoil(store, reference, kind, ours=ours)
    refused = TenantMismatchError if ours or kind in FRONT_IS_WHOLE else CorruptSessionError
    with pytest.raises(refused):
        await store.register_wait(BOB, "bob", CHAT, "k1", data(BOB))
    assert raw.get(reference.session_key("k1")) == CORRUPT[kind]
    assert await listed(store, BOB) == []


async def test_a_key_that_we_would_refuse_is_no_harm_to_others(store: RedisSessionStore, reference: Reference) -> None:
    """The reference bounds no session key; a find or a list must not fail for the waits beside it."""
    reference.register_wait(CHAT, "x" * 2000, data())
    await park(store, "k2", OTHER)
    assert "k2" in await listed(store)
    assert "k2" in [wait.key async for wait in store.iter_sessions(ALICE)]
    assert await park(store, "k3", CHAT) in (None, "x" * 2000)
    assert await found(store) == "k3"


async def test_a_key_that_is_no_text_is_no_harm_to_others(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k2", OTHER)
    odd = reference.session_key("").encode() + b"\xff"
    raw.set(odd, data().to_json())
    raw.sadd(reference.set_key(ALICE), b"\xff")
    assert "k2" in await listed(store)
    assert "k2" in [wait.key async for wait in store.iter_sessions(ALICE)]
    assert await store.purge(ALICE) >= 1
    assert await listed(store) == []
    raw.delete(odd)


# -- types that are wrong

LISTS: dict[str, Callable[[Reference], str]] = {
    "the scope": lambda reference: reference.scope_key(ALICE, OTHER),
    "the set": lambda reference: reference.set_key(ALICE),
    "our record": lambda reference: f"{reference.namespace}:own:k1",
    "the claim": lambda reference: f"{reference.namespace}:claim:k1",
    "the session": lambda reference: reference.session_key("k1"),
    "the record of the session that waits there": lambda reference: f"{reference.namespace}:own:k2",
    "the session that waits there": lambda reference: reference.session_key("k2"),
}


@pytest.mark.parametrize("name", LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("before", ["waiting", "absent"])
async def test_a_wrong_type_fails_before_anything_is_written(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, name: Callable[[Reference], str], before: str
) -> None:
    if before == "waiting":
        await park(store, "k1", CHAT, 60)
    await park(store, "k2", OTHER, 60)
    raw.delete(name(reference))
    raw.rpush(name(reference), "not", "ours")
    there = contents(dump(raw, reference.namespace))
    with pytest.raises(InternalError, match="another type"):
        await park(store, "k1", OTHER)
    assert contents(dump(raw, reference.namespace)) == there


async def test_a_park_with_a_wrong_type_in_its_way_changes_nothing(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k1", CHAT, 60)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    raw.rpush(reference.scope_key(ALICE, OTHER), "not ours")
    there = contents(dump(raw, reference.namespace))
    with pytest.raises(InternalError):
        await claim.park(OTHER, data(node="next"))
    assert contents(dump(raw, reference.namespace)) == there
    await claim.park(THIRD, data(node="next"))  # the claim goes on
    assert await found(store, THIRD) == "k1"


@pytest.mark.parametrize("wrong", ["pointer", "record"])
async def test_a_create_with_a_wrong_type_in_its_way_changes_nothing(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, wrong: str
) -> None:
    raw.rpush(reference.pointer_key(ALICE) if wrong == "pointer" else f"{reference.namespace}:own:k1", "not ours")
    there = contents(dump(raw, reference.namespace))
    with pytest.raises(InternalError):
        await store.create_session(ALICE, data(), key="k1")
    assert contents(dump(raw, reference.namespace)) == there


@pytest.mark.parametrize("wrong", ["set", "pointer", "scope"])
async def test_a_session_is_removed_and_touched_whatever_its_index_keys_hold(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, wrong: str
) -> None:
    await park(store)
    name = {
        "set": reference.set_key(ALICE),
        "pointer": reference.pointer_key(ALICE),
        "scope": reference.scope_key(ALICE, CHAT),
    }[wrong]
    raw.delete(name)
    raw.rpush(name, "not ours")
    assert await store.touch("k1", 30) is True
    await store.remove_session("k1")
    assert await store.get_session("k1") is None
    assert raw.lrange(name, 0, -1) == [b"not ours"]


async def test_a_session_key_of_another_type_is_no_harm_to_others(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k2", OTHER)
    raw.rpush(reference.session_key("k1"), "not ours")
    raw.sadd(reference.set_key(ALICE), "k1")
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == ["k2"]
    assert "k2" in await listed(store)
    assert await store.purge(ALICE) == 1
    assert not raw.exists(reference.session_key("k2"))


@pytest.mark.parametrize("others", [0, 2])
async def test_a_wait_whose_session_key_is_of_another_type_now_is_not_listed(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, others: int
) -> None:
    await park(store, "k1")
    for number in range(others):
        await park(store, f"other{number}", ReplyScope(f"{number}"))
    raw.delete(reference.session_key("k1"))
    raw.rpush(reference.session_key("k1"), "not ours")
    assert await listed(store) == [f"other{number}" for number in range(others)]


async def test_the_texts_are_as_corrupt_as_they_say() -> None:
    for text in CORRUPT.values():
        with pytest.raises(ValueError, match="SessionData"):
            SessionData.from_json(text)
