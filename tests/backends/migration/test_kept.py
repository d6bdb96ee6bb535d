"""The copy of a namespace to another Redis.

What comes, what goes, and what stays as it is there.
"""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from migration_places import BOB, LONG, NOBODY, ROUTES, SCOPES, TO_BOTH, Pair, build_world, empty, opened
from redis_invariants import dump
from reference_fleet import Reference

from greentic_session import CorruptSessionError
from greentic_session.backends.migration import Report
from greentic_session.conversation import Message, create_conversation_store
from greentic_session.store import SessionStore
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data


@ROUTES
@pytest.mark.asyncio
async def test_what_the_source_has_no_more_is_removed_and_what_it_never_had_stays(pair: Pair) -> None:
    await build_world(pair.source.store)
    await pair.copy()
    await pair.target.store.register_wait(ctx("eve"), "eve", CHAT, "eve's", data(ctx("eve")), ttl=LONG)
    await pair.source.store.remove_session("bob-1")
    await pair.source.store.clear_wait(ALICE, "alice", CHAT)
    assert (await pair.copy()).removed == 2
    assert await pair.target.store.get_session("eve's") is not None
    await pair.target.store.remove_session("eve's")
    pair.assert_same()
    pair.target.check()
    names = dump(pair.target.raw, pair.target.namespace)
    assert not {name for name in names if name.startswith("copied:") and f"session:{name[7:]}" not in names}


@TO_BOTH
@pytest.mark.asyncio
async def test_a_source_that_was_emptied_removes_nothing(pair: Pair) -> None:
    await build_world(pair.source.store)
    await pair.copy()
    before = pair.target.ends()
    empty(pair.source)
    assert await pair.copy() == Report()
    assert pair.target.ends().keys() == before.keys()


@TO_BOTH
@pytest.mark.asyncio
async def test_sessions_of_another_source_stay(pair: Pair) -> None:
    """Two fleets may be moved to one cluster."""
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "both's", data(), ttl=LONG)
    await pair.source.store.register_wait(ALICE, "alice", SCOPES[1], "one's", data(), ttl=LONG)
    await pair.copy()
    other = Pair(opened(pair.source.url), pair.target)
    try:
        await other.source.store.register_wait(ALICE, "alice", CHAT, "both's", data(ALICE, "node.other"), ttl=LONG)
        await other.source.store.register_wait(BOB, "bob", CHAT, "other's", data(BOB), ttl=LONG)
        assert await other.copy() == Report(copied=1, kept=1)
    finally:
        await other.source.store.aclose()
        empty(other.source)
        other.source.raw.close()
    assert await pair.copy() == Report(unchanged=2)
    assert await pair.target.store.list_waits_for_user(BOB, "bob") == ["other's"]
    pair.target.check()


# -- runners on the target


async def do_nothing(_store: SessionStore) -> None:
    pass


async def update(store: SessionStore) -> None:
    await store.update_session("k", data(ALICE, "node.there"))


async def touch(store: SessionStore) -> None:
    await store.touch("k", ttl=4 * LONG)


async def park_elsewhere(store: SessionStore) -> None:
    await store.register_wait(ALICE, "alice", SCOPES[2], "k", data(), ttl=LONG)


async def displace(store: SessionStore) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "other", data(), ttl=LONG)


async def claim(store: SessionStore) -> None:
    assert await store.claim_wait(ALICE, "alice", CHAT, lease=300) is not None


async def complete(store: SessionStore) -> None:
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.complete()


async def remove(store: SessionStore) -> None:
    await store.remove_session("k")


async def answer(store: SessionStore) -> None:
    """Resume the flow, and let it end; the user begins another one."""
    await complete(store)
    await store.register_wait(ALICE, "alice", CHAT, "begun there", data(ALICE, "node.there"), ttl=LONG)


async def change(store: SessionStore) -> None:
    await store.update_session("k", data(ALICE, "node.here"))


async def prolong(store: SessionStore) -> None:
    await store.touch("k", ttl=2 * LONG)


@pytest.mark.parametrize("here", [do_nothing, change, prolong, remove, park_elsewhere, displace], ids=lambda do: do.__name__)
@pytest.mark.parametrize(
    "there", [update, touch, park_elsewhere, displace, claim, complete, remove, answer], ids=lambda do: do.__name__
)
@pytest.mark.parametrize(
    "pair",
    [("server", "cluster"), pytest.param(("server", "server"), marks=pytest.mark.slow)],
    ids=["server-cluster", "server-server"],
    indirect=True,
)
@pytest.mark.asyncio
async def test_what_runners_on_the_target_did_stays(
    pair: Pair, here: Callable[[SessionStore], Any], there: Callable[[SessionStore], Any]
) -> None:
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=LONG)
    await pair.source.store.register_wait(BOB, "bob", CHAT, "stays", data(BOB), ttl=LONG)
    await pair.copy()
    await there(pair.target.store)
    before = {name: value for name, (value, _) in pair.target.ends().items() if is_state(name)}
    await here(pair.source.store)
    for _ in range(2):
        await pair.copy()
        after = {name: value for name, (value, _) in pair.target.ends().items() if is_state(name)}
        assert before.items() <= after.items()
        # What the source displaced with, or parked anew, may come where nothing stands in its way.
        assert {name for name in after.keys() - before.keys() if name.startswith("session:")} <= {"session:other"}
    pair.target.check()


def is_state(name: str) -> bool:
    """Say whether a key tells what sessions and waits there are, and is one user's only."""
    return name.startswith(("session:", "own:", "waits:scope:", "claim:"))


@TO_BOTH
@pytest.mark.asyncio
async def test_a_latest_session_of_the_target_stays_the_latest(pair: Pair) -> None:
    await pair.source.store.create_session(ALICE, data(), key="k", ttl=LONG)
    await pair.copy()
    await pair.target.store.create_session(ALICE, data(), key="begun there", ttl=LONG)
    await pair.source.store.create_session(ALICE, data(), key="k2", ttl=LONG)
    assert (await pair.copy()).copied == 1
    latest = "user:dev:acme:ops:alice"
    assert pair.target.dump()[latest].text == b"begun there"
    assert pair.source.dump()[latest].text == b"k2"
    pair.target.check()
    await pair.assert_still()


@TO_BOTH
@pytest.mark.asyncio
async def test_a_key_that_another_user_got_in_the_source(pair: Pair) -> None:
    await pair.source.store.create_session(BOB, data(BOB), key="stays", ttl=LONG)
    for number, who in enumerate((ALICE, BOB, NOBODY, ctx("alice", team=None), NOBODY)):
        latest = ctx("zoe") if number == 2 else who
        await pair.source.store.create_session(latest, data(who), key="k", ttl=LONG)
        assert (await pair.copy()).kept == 0
        pair.assert_same()
        pair.target.check()
        await pair.source.store.remove_session("k")
    await pair.copy()
    pair.assert_same()


# -- what others wrote in the source


@TO_BOTH
@pytest.mark.asyncio
async def test_sessions_and_waits_of_the_reference_are_copied(pair: Pair) -> None:
    assert isinstance(pair.source.raw, redis.Redis)
    reference = Reference(pair.source.raw, pair.source.namespace)
    store = pair.target.store
    await pair.source.store.register_wait(BOB, "bob", CHAT, "ours", data(BOB), ttl=LONG)
    reference.register_wait(SCOPES[1], "theirs", data(), ttl_ms=60_000)
    reference.register_wait(SCOPES[2], "for ever", data())
    reference.create_session("no wait", data(NOBODY))
    reference.update_session("ours", data(BOB, "node.theirs"))
    assert await pair.copy() == Report(copied=4, waits=3)
    assert await pair.assert_still() == Report(unchanged=4)
    found = await store.find_wait(ALICE, "alice", SCOPES[1])
    assert found is not None
    assert found.key == "theirs"
    assert await store.list_waits_for_user(ALICE, "alice") == ["for ever", "theirs"]
    assert await store.find_wait_by_scope(BOB, "bob", CHAT) == "ours"
    assert pair.target.dump()["session:theirs"].ttl == pytest.approx(60_000, abs=2000)
    assert (await store.get_session("ours")) == data(BOB, "node.theirs")
    # Another one takes the scope, and it is known where that one waits.
    reference.register_wait(SCOPES[1], "later", data(), ttl_ms=60_000)
    await pair.copy()
    assert await store.find_wait_by_scope(ALICE, "alice", SCOPES[1]) == "later"
    assert await store.get_session("theirs") is not None
    assert await store.list_waits_for_user(ALICE, "alice") == ["for ever", "later"]
    await pair.assert_still()
    assert {wait.scope async for wait in store.iter_sessions(ALICE)} == {None}
    await store.register_wait(ALICE, "alice", SCOPES[2], "for ever", data(), ttl=LONG)
    assert SCOPES[2] in {wait.scope async for wait in store.iter_sessions(ALICE)}
    await store.clear_wait(ALICE, "alice", SCOPES[1])
    reference.clear_wait(ALICE, SCOPES[1])
    await pair.copy()
    assert await store.list_waits_for_user(ALICE, "alice") == ["for ever"]


@TO_BOTH
@pytest.mark.asyncio
async def test_a_session_to_which_two_scope_keys_of_the_reference_lead(pair: Pair) -> None:
    assert isinstance(pair.source.raw, redis.Redis)
    reference = Reference(pair.source.raw, pair.source.namespace)
    reference.register_wait(SCOPES[1], "k", data(), ttl_ms=60_000)
    reference.register_wait(SCOPES[2], "k", data(), ttl_ms=60_000)
    await pair.copy()
    for store in (pair.source.store, pair.target.store):
        assert [await store.find_wait_by_scope(ALICE, "alice", scope) for scope in SCOPES[1:3]] == ["k", "k"]
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
    assert await pair.assert_still() == Report(unchanged=1)


@ROUTES
@pytest.mark.asyncio
async def test_corrupt_texts_are_copied_where_our_record_tells_whose_they_are(pair: Pair) -> None:
    store, raw, namespace = pair.source.store, pair.source.raw, pair.source.namespace
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=LONG)
    at = f"{namespace}:{{dev:acme:ops:alice}}" if isinstance(raw, redis.RedisCluster) else namespace
    raw.set(f"{at}:session:k", b"\xff{", keepttl=True)
    raw.set(f"{at}:session:nobody's", "{")
    raw.set(f"{at}:session:".encode() + b"\xff", data().to_json())
    raw.hset(f"{at}:session:hash", "a", "b")
    assert await pair.copy() == Report(copied=1, waits=1, corrupt=2)
    for one in (store, pair.target.store):
        with pytest.raises(CorruptSessionError):
            await one.find_wait(ALICE, "alice", CHAT)
    assert (await pair.assert_still()).unchanged == 1


# -- conversations


@ROUTES
@pytest.mark.asyncio
async def test_conversations_are_copied(pair: Pair) -> None:
    async with (
        create_conversation_store(pair.source.url, namespace=pair.source.namespace, ttl=LONG) as mortal,
        create_conversation_store(pair.source.url, namespace=pair.source.namespace) as lasting,
        create_conversation_store(pair.target.url, namespace=pair.target.namespace) as there,
    ):
        for number in range(3):
            for store in (mortal, lasting):
                id = f"{number}: {'mortal' if store is mortal else 'lasting'} é"
                await store.create(ALICE, id=id, metadata={"a": "b"}, system_message="Be kind.")
                await store.append(ALICE, id, Message.user(f"hello {number}"))
        await lasting.create(BOB, id="empty")
        assert await pair.copy() == Report(conversations=7)
        assert await pair.assert_still() == Report(conversations_unchanged=7)
        assert pair.target.dump().keys() == pair.source.dump().keys()
        assert await there.list(ALICE) == await lasting.list(ALICE)
        # Changed here; changed there; there, and then here; not changed, but living longer here.
        await lasting.append(ALICE, "0: lasting é", Message.assistant("here"))
        for number in (1, 2):
            await there.append(ALICE, f"{number}: lasting é", Message.assistant("there"))
        await lasting.append(ALICE, "2: lasting é", Message.assistant("later"))
        for key in pair.source.raw.scan_iter(f"{pair.source.namespace}:*:0: mortal*"):
            pair.source.raw.persist(key)
        for key in pair.source.raw.scan_iter(f"{pair.source.namespace}:*:1: mortal*"):
            pair.source.raw.expire(key, 7200)
        assert await pair.copy() == Report(conversations=4, conversations_kept=1, conversations_unchanged=2)
        said = [(await there.messages(ALICE, f"{number}: lasting é"))[-1].text for number in range(3)]
        assert said == ["here", "there", "later"]
        heads = {name: entry.ttl for name, entry in pair.target.dump().items() if "conv:head:" in name}
        lives = {name.rpartition(":")[0][-1]: ttl for name, ttl in heads.items() if "mortal" in name}
        assert (lives["0"], lives["1"] > 7_000_000, 0 < lives["2"] <= 3_600_000) == (-1, True, True)
        report = await pair.copy()
        assert report == Report(conversations_unchanged=6, conversations_kept=1)
        await there.delete(ALICE, "2: lasting é")
        assert await pair.copy() == Report(conversations=1, conversations_unchanged=5, conversations_kept=1)


@TO_BOTH
@pytest.mark.asyncio
async def test_conversations_that_cannot_be_read_are_counted(pair: Pair) -> None:
    raw, front = pair.source.raw, f"{pair.source.namespace}:conv:head:dev:acme"
    raw.hset(f"{front}:ops:corrupt", "updated_at", "soon")
    raw.hset(f"{front}:ops:newer", mapping={"schema_version": 99, "updated_at": 1, "created_at": 1, "birth": "b"})
    raw.hset(f"{front}:no id", "updated_at", 1)
    raw.hset(f"{front}:ops:".encode() + b"\xff", "updated_at", 1)
    assert await pair.copy() == Report(conversations_corrupt=4)
    assert pair.target.dump() == {}
