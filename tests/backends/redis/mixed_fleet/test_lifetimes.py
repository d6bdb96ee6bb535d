"""Lifetimes that runtimes of the reference lose, and who mends them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
import redis
from redis_invariants import check, dump
from reference_fleet import Reference
from samples.mixed_fleet import OTHER, THIRD, claimed, found, listed, park

from greentic_session import RedisSessionStore, ReplyScope
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio


# -- lifetimes that are missing


def check_lives(raw: redis.Redis, reference: Reference, *, keys: int, low: int = 30_000, high: int = 60_020) -> None:
    """Check that there are so many keys beside claims, and that each lives as long, in ms."""
    lives = {name: entry.ttl for name, entry in dump(raw, reference.namespace).items() if not name.startswith("claim:")}
    assert len(lives) == keys
    assert all(low < life <= high for life in lives.values()), lives


@pytest_asyncio.fixture(params=["another text", "the same text"])
async def updated(request: pytest.FixtureRequest, store: RedisSessionStore, reference: Reference) -> None:
    """Leave a wait of 60 s whose lifetime is lost: the reference has updated it."""
    await park(store, "k1", CHAT, 60)
    reference.update_session("k1", data(node="theirs") if request.param == "another text" else data())


@pytest.mark.usefixtures("updated")
async def test_an_update_of_the_references_loses_the_lifetime_and_touch_brings_it_back(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    assert raw.pttl(reference.session_key("k1")) == -1
    assert await found(store) == "k1"
    assert await store.touch("k1", 30) is True
    check_lives(raw, reference, keys=4, low=25_000, high=30_020)  # session, record, scope, set


@pytest.mark.usefixtures("updated")
@pytest.mark.parametrize("operation", ["update_session", "claim_wait", "find_wait"])
async def test_an_update_of_the_references_loses_no_lifetime_for_good(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, operation: str
) -> None:
    match operation:
        case "update_session":
            await store.update_session("k1", data(node="ours"))
        case "claim_wait":
            assert await store.claim_wait(ALICE, "alice", CHAT, lease=5) is not None
        case _:
            assert await store.find_wait(ALICE, "alice", CHAT) is not None
    check_lives(raw, reference, keys=4)  # session, record, scope, set


@pytest.mark.usefixtures("updated")
async def test_a_second_wait_gives_the_first_its_lifetime_back(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference
) -> None:
    await park(store, "k2", OTHER, 60)
    check_lives(raw, reference, keys=8)  # session, record and scope of each, set, index


@pytest.mark.parametrize("operation", ["claim_wait", "find_wait"])
async def test_a_look_gives_it_back_where_another_wait_has_none(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, operation: str
) -> None:
    await park(store, "k1", CHAT, 60)
    await park(store, "k2", OTHER)
    reference.update_session("k1", data(node="theirs"))
    if operation == "claim_wait":
        assert await store.claim_wait(ALICE, "alice", CHAT, lease=5) is not None
    else:
        assert await store.find_wait(ALICE, "alice", CHAT) is not None
    assert 30_000 < raw.pttl(reference.session_key("k1")) <= 60_020


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
    claim = await claimed(store)
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
