"""Sessions that runtimes of the reference write and we read, and the other way round."""

import asyncio
import hashlib
import itertools

import pytest
import redis
from redis_invariants import check, dump
from reference_fleet import Reference
from samples.mixed_fleet import OTHER, contents, found, listed

from greentic_session import RedisSessionStore, ReplyScope, SessionData, TenantCtx, Wait
from greentic_session.backends.redis.slot import wait_of
from greentic_session.errors import ConflictError, InvalidInputError, NotFoundError, TenantMismatchError
from greentic_session.ids import MAX_ID_CHARACTERS
from greentic_session.models import Impersonation, InvocationDeadline
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio


def sha1_of(snapshot: SessionData) -> str:
    return hashlib.sha1(snapshot.to_json()).hexdigest()


def text_of(raw: redis.Redis, reference: Reference, key: str = "k1") -> bytes:
    text = raw.get(reference.session_key(key))
    assert isinstance(text, bytes)
    return text


# -- what one writes, the other reads

LONG = "x" * MAX_ID_CHARACTERS
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
    assert wait.version == sha1_of(parked)

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


@pytest.mark.parametrize("ttl", [None, 60, 2 * 86_400])
async def test_a_version_tells_of_who_writes_with_the_same_lifetime_and_length(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, ttl: float | None
) -> None:
    who, key = ctx("alice"), reference.session_key("k1")
    await store.create_session(who, data(who, "ask"), key="k1", ttl=ttl)
    version = await store.update_session("k1", data(who, "one"), ctx=who, if_version=sha1_of(data(who, "ask")))
    lifetime = raw.pttl(key)
    assert (lifetime == -1) is (ttl is None)
    raw.set(key, data(who, "two").to_json(), keepttl=True)
    with pytest.raises(ConflictError):
        await store.update_session("k1", data(who, "six"), ctx=who, if_version=version)
    assert reference.get_session("k1") == data(who, "two")
    await store.update_session("k1", data(who, "six"), ctx=who, if_version=sha1_of(data(who, "two")))
    assert reference.get_session("k1") == data(who, "six")
    assert lifetime - 20_000 < raw.pttl(key) <= lifetime


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
    assert version == sha1_of(data(who, "next"))
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
    """What somebody else wrote is sent here to be read.

    And may be another text once we are back.
    """
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
    """The scripts look at 1 KiB first.

    Cut between an old field and the new one, it would name somebody else.
    """

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


async def test_what_the_reference_wrote_beyond_our_bounds_is_read_by_key(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis
) -> None:
    """The Rust crate bounds neither ids nor contexts.

    Callers and what is written are bounded here, not what is read.
    """
    long = "x" * (MAX_ID_CHARACTERS + 1)
    long_ids = TenantCtx.new("dev", long, team=long, user=long)
    long_context = ALICE.with_attributes({"note": "x" * 70_000})
    for key, who in (("ids", long_ids), ("context", long_context)):
        kept = SessionData.new(who, "f", "n", context={"key": key})
        reference.register_wait(OTHER, key, kept, 60_000)
        before = dump(raw, reference.namespace)
        with pytest.raises(InvalidInputError, match=r"1024 characters|limit is 65536"):
            await store.register_wait(who, str(who.effective_user), OTHER, "new", kept)
        assert dump(raw, reference.namespace).keys() == before.keys()
        assert await store.get_session(key) == kept
        left = await store.remaining_ttl(key)
        assert isinstance(left, float)
        assert await store.touch(key, left)
        await store.remove_session(key)
        assert await store.get_session(key) is None
