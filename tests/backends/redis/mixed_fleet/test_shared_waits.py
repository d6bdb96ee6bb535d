"""Waits that both sides have a hand in.

What only the reference knows of, and what it does to ours.
"""

from collections.abc import Callable

import pytest
import redis
from msgspec.structs import replace
from redis_invariants import dump
from redis_server import Server
from reference_fleet import Reference

from greentic_session import ReplyScope
from greentic_session.backends.redis import RedisSessionStore
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, data

pytestmark = pytest.mark.asyncio

OTHER = ReplyScope("telegram:chat-2")


@pytest.mark.parametrize("first", ["created", "displaced"])
async def test_a_session_that_the_reference_parks_with_the_same_text_waits(
    store: RedisSessionStore, reference: Reference, first: str
) -> None:
    """Our SHA-1 fits still; that the reference made it a member of the user's set tells."""
    if first == "created":
        await store.create_session(ALICE, data(), key="k")
    else:
        await store.register_wait(ALICE, "alice", OTHER, "k", data())
        await store.register_wait(ALICE, "alice", OTHER, "new", data())
        await store.remove_session("new")
    reference.register_wait(CHAT, "k", data())
    assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
    assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
    assert await store.claim_wait(ALICE, "alice", CHAT) is not None


async def test_a_scope_key_of_an_earlier_life_stays_stale(store: RedisSessionStore, reference: Reference) -> None:
    reference.register_wait(CHAT, "k", data())
    reference.remove_session("k")
    await store.create_session(ALICE, data(), key="k")
    assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None
    assert await store.list_waits_for_user(ALICE, "alice") == []


async def test_a_claim_knows_the_scope_key_that_it_came_by(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis
) -> None:
    """Of a session that only the reference wrote nothing else leads back to it."""
    reference.register_wait(CHAT, "parked", data(), 60_000)
    reference.register_wait(OTHER, "completed", data(), 60_000)
    parked = await store.claim_wait(ALICE, "alice", CHAT, lease=3600)
    completed = await store.claim_wait(ALICE, "alice", OTHER)
    assert parked is not None
    assert completed is not None
    assert raw.pttl(reference.scope_key(ALICE, CHAT)) > 3_500_000
    await parked.renew(7200)
    assert raw.pttl(reference.scope_key(ALICE, CHAT)) > 7_000_000
    await parked.park(ReplyScope("telegram:chat-3"), data(node="next"))
    await completed.complete()
    assert [name for name in dump(raw, reference.namespace) if name.startswith("waits:scope:")] == [
        f"waits:scope:dev:acme:ops:alice:{ReplyScope('telegram:chat-3').scope_hash()}"
    ]


async def test_a_lifetime_beyond_our_longest_does_no_harm(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis
) -> None:
    reference.register_wait(CHAT, "k", data(), 2**60)
    await store.register_wait(ALICE, "alice", OTHER, "l", data(), ttl=60)
    assert await store.register_wait(ALICE, "alice", CHAT, "m", data()) == "k"
    await store.update_session("k", data(node="next"))
    assert await store.list_waits_for_user(ALICE, "alice") == ["l", "m"]
    assert 0 < raw.pttl(f"{reference.namespace}:own:k") <= 2**52


async def test_the_pointer_of_an_older_reference_is_kept_when_the_session_is_parked(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis
) -> None:
    reference.create_session("k", data())
    raw.set(reference.pointer_key(ALICE), "k")
    assert await by_user(store, ALICE, "alice") == ("k", data())
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    await store.register_wait(ALICE, "alice", CHAT, "l", data())
    await store.clear_wait(ALICE, "alice", CHAT)
    assert await by_user(store, ALICE, "alice") == ("k", data())


async def test_a_find_sees_that_the_set_outlives_the_wait(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis
) -> None:
    reference.register_wait(CHAT, "k", data(), 60_000)
    users = reference.set_key(ALICE)
    raw.pexpire(users, 1_000)
    await store.find_wait(ALICE, "alice", CHAT)
    assert raw.pttl(users) > 50_000
    raw.delete(users)
    await store.find_wait(ALICE, "alice", CHAT)
    assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
    assert raw.pttl(users) > 50_000


def they_park_there(raw: redis.Redis, reference: Reference) -> None:
    reference.register_wait(CHAT, "theirs", data())


def they_park_elsewhere(raw: redis.Redis, reference: Reference) -> None:
    reference.register_wait(OTHER, "theirs", data(), 60_000)


def they_update_it(raw: redis.Redis, reference: Reference) -> None:
    reference.update_session("k", data(node="theirs"))


def they_make_it_the_latest(raw: redis.Redis, reference: Reference) -> None:
    raw.set(reference.pointer_key(ALICE), "k")


def our_record_is_lost(raw: redis.Redis, reference: Reference) -> None:
    raw.delete(f"{reference.namespace}:own:k")


def they_take_it_out_of_the_set(raw: redis.Redis, reference: Reference) -> None:
    raw.srem(reference.set_key(ALICE), "k")


MEDDLING: list[tuple[Callable[[redis.Redis, Reference], None], list[str]]] = [
    (lambda *_: None, []),
    (they_park_there, ["theirs"]),
    (they_park_elsewhere, ["theirs"]),
    (they_update_it, []),
    (they_make_it_the_latest, []),
    (our_record_is_lost, []),
    (they_take_it_out_of_the_set, []),
]


@pytest.mark.parametrize("more", [0, 1], ids=["the only wait", "one of two"])
@pytest.mark.parametrize(("meddle", "theirs"), MEDDLING)
async def test_what_is_completed_is_gone_whatever_was_done_to_it(
    store: RedisSessionStore,
    reference: Reference,
    raw: redis.Redis,
    namespace: str,
    meddle: Callable[[redis.Redis, Reference], None],
    theirs: list[str],
    more: int,
) -> None:
    """The usual case takes few commands on the server; all others are as thorough as ever."""
    ours = [f"k{number}" for number in range(more)]
    for key in ours:
        await store.register_wait(ALICE, "alice", ReplyScope(key), key, data(), ttl=60)
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=600)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    meddle(raw, reference)
    await claim.complete()
    found = dump(raw, namespace)
    assert not found.keys() & {"session:k", "own:k", "claim:k"}
    assert not [name for name, entry in found.items() if entry.value in (b"k", b"k:")]
    assert await store.list_waits_for_user(ALICE, "alice") == ours + theirs
    users = found.get(f"waits:user:{reference.place(ALICE)}")
    if theirs == ["theirs"] and meddle is they_park_there:
        assert users is not None
        assert users.ttl == -1
    elif ours or theirs:
        assert users is not None
        assert 0 < users.ttl <= 60_000
    else:
        assert users is None
        assert found == {}


@pytest.mark.parametrize("waits", [1, 300])
async def test_completing_takes_the_same_few_commands_however_many_waits_there_are(server: Server, waits: int) -> None:
    async with RedisSessionStore.from_url(server.url) as store:
        for number in range(waits):
            await store.register_wait(ALICE, "alice", ReplyScope(f"chat-{number}"), f"k{number}", data(), ttl=60)
        claim = await store.claim_wait(ALICE, "alice", ReplyScope("chat-0"))
        assert claim is not None
        with server.client() as raw:
            raw.config_resetstat()
            await claim.complete()
            stats = raw.info("commandstats")
        assert sum(one["calls"] for name, one in stats.items() if "config" not in name) <= 17


async def test_what_else_the_context_tells_makes_no_write_longer(server: Server) -> None:
    """An owner's contexts differ from call to call in their traces; the fast path takes all."""
    traced = replace(ALICE, trace_id="t-1", attributes={"attempt": "1", "user_id": "2"}, idempotency_key='"user_id":"')
    async with RedisSessionStore.from_url(server.url) as store:
        counts = []
        for who in (ALICE, ALICE, traced, ALICE):
            for write in (
                store.register_wait(ALICE, "alice", CHAT, "k", data(who)),
                store.update_session("k", data(who)),
            ):
                with server.client() as raw:
                    raw.config_resetstat()
                    await write
                    counts.append(
                        sum(one["calls"] for name, one in raw.info("commandstats").items() if "config" not in name)
                    )
        assert await store.get_session("k") == data()
    # The first ones had their scripts loaded.
    assert counts[2:] == counts[2:4] * 3


async def test_a_walk_over_long_snapshots_goes_in_small_steps(store: RedisSessionStore) -> None:
    for index in range(30):
        await store.create_session(ALICE, data(snapshot=f"{index}" * 100_000), key=f"k{index}")
    walked = {wait.key: wait.data async for wait in store.iter_sessions(ALICE)}
    assert walked == {f"k{index}": data(snapshot=f"{index}" * 100_000) for index in range(30)}


async def test_entries_of_the_references_team_dash_are_left_to_it(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis
) -> None:
    """The reference writes "no team" and the team "-" alike; ours neither find nor remove such."""
    dash, without = ALICE.with_team("-"), ALICE.with_team(None)
    reference.register_wait(CHAT, "k", data(dash))
    assert await store.find_wait(without, "alice", CHAT) is None
    assert raw.get(reference.scope_key(dash, CHAT)) == b"k"
