"""Index entries that runtimes of the reference leave behind, and what they lead to."""

import asyncio
import time

import pytest
import redis
from redis_invariants import check, dump
from redis_server import Server
from reference_fleet import Reference
from samples.mixed_fleet import BOB, OTHER, THIRD, claimed, found, listed, park

from greentic_session import ConflictError, NotFoundError, RedisSessionStore, TenantMismatchError
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio


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
    """Fault 4, and nothing was removed before.

    All of alice's entries still lead to what is bob's now.
    """
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


@pytest.mark.parametrize("node", ["theirs", "node.ask"], ids=["another text", "the same text"])
@pytest.mark.parametrize("ttl", [None, 60])
async def test_a_displaced_session_that_the_reference_has_moved_waits_where_it_was_moved_to(
    store: RedisSessionStore, reference: Reference, ttl: float | None, node: str
) -> None:
    await park(store, "k1", CHAT, ttl)
    reference.register_wait(OTHER, "k1", data(node=node))
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
    old = await claimed(store)
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
    claim = await claimed(store)
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
    claim = await claimed(store)
    reference.clear_wait(ALICE, CHAT)
    for call in (claim.renew(10), claim.park(OTHER, data())):
        with pytest.raises(ConflictError):
            await call
    with pytest.raises(ConflictError):
        await claim.complete()
    assert await store.get_session("k1") is None


async def test_completing_what_the_reference_parked_removes_it(store: RedisSessionStore, reference: Reference) -> None:
    reference.register_wait(CHAT, "k1", data())
    claim = await claimed(store)
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
