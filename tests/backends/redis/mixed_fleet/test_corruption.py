"""Texts that are no session and Redis types that are wrong: no harm to other sessions."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
import pytest_asyncio
import redis
from redis_invariants import check, dump
from reference_fleet import Reference
from samples.mixed_fleet import BOB, OTHER, THIRD, claimed, contents, found, listed, park

from greentic_session import (
    ConflictError,
    CorruptSessionError,
    InternalError,
    RedisSessionStore,
    ReplyScope,
    SessionData,
    TenantMismatchError,
)
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio


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


class Spoiled(NamedTuple):
    """A corrupt session k1 that waits at CHAT, beside a good one, k2, at OTHER.

    Attributes:
        text: The text of k1.
        known: Whether the owner of k1 is known, from our record or from the text's beginning.
        ours: Whether k1 has our record.
        again: Makes both anew.
    """

    text: bytes
    known: bool
    ours: bool
    again: Callable[[], Awaitable[None]]


@pytest_asyncio.fixture(params=CORRUPT)
async def spoiled(request: pytest.FixtureRequest, store: RedisSessionStore, reference: Reference, *, ours: bool) -> Spoiled:
    kind = request.param

    async def spoil() -> None:
        if ours:
            await park(store)
        else:
            reference.register_wait(CHAT, "k1", data())
        reference.raw.set(reference.session_key("k1"), CORRUPT[kind])
        await park(store, "k2", OTHER)

    await spoil()
    return Spoiled(CORRUPT[kind], ours or kind in FRONT_IS_WHOLE, ours, spoil)


@pytest.fixture(params=[True, False], ids=["with our record", "without"])
def ours(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


async def test_a_corrupt_session_is_not_read_updated_or_claimed(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, spoiled: Spoiled
) -> None:
    before = contents(dump(raw, reference.namespace))
    reads: list[Awaitable[object]] = [
        store.get_session("k1"),
        store.get_versioned("k1"),
        store.update_session("k1", data()),
        store.update_session("k1", data(), if_version=hashlib.sha1(spoiled.text).hexdigest()),
    ]
    for read in reads:
        with pytest.raises(CorruptSessionError) as caught:
            await read
        assert caught.value.session_key == "k1"
    if spoiled.known:
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


async def test_everything_about_others_goes_on(store: RedisSessionStore, reference: Reference, spoiled: Spoiled) -> None:
    answering = ["k1", "k2"] if spoiled.known else ["k2"]
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


async def test_a_corrupt_session_is_touched_removed_cleared_and_purged(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, spoiled: Spoiled
) -> None:
    assert await store.touch("k1", 30) is True
    assert 25_000 < raw.pttl(reference.session_key("k1")) <= 30_020
    assert await store.touch("k1", 40, ctx=ALICE) is spoiled.known
    assert await store.touch("k1", 40, ctx=BOB) is False
    await store.remove_session("k1")
    assert not raw.exists(reference.session_key("k1"))
    assert await found(store) is None
    assert await listed(store) == ["k2"]

    await spoiled.again()
    await store.clear_wait(ALICE, "alice", CHAT)
    assert raw.exists(reference.session_key("k1")) == (not spoiled.known)

    if spoiled.known:
        await spoiled.again()
    assert await store.purge(ctx(None)) == (2 if spoiled.known else 1)
    assert raw.exists(reference.session_key("k1")) == (not spoiled.known)


async def test_another_session_displaces_a_corrupt_one(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, spoiled: Spoiled
) -> None:
    assert await park(store, "k3") == ("k1" if spoiled.known else None)
    assert await found(store) == "k3"
    assert await listed(store) == ["k2", "k3"]
    assert raw.get(reference.session_key("k1")) == spoiled.text
    with pytest.raises(CorruptSessionError):
        await store.get_session("k1")
    with pytest.raises(CorruptSessionError):
        await store.update_session("k1", data())
    with pytest.raises(ConflictError):
        await store.create_session(ALICE, data(), key="k1")
    await store.remove_session("k1")
    check(raw, reference.namespace)


async def test_a_corrupt_session_keeps_its_owner(
    store: RedisSessionStore, raw: redis.Redis, reference: Reference, spoiled: Spoiled
) -> None:
    refused = TenantMismatchError if spoiled.known else CorruptSessionError
    with pytest.raises(refused):
        await store.register_wait(BOB, "bob", CHAT, "k1", data(BOB))
    assert raw.get(reference.session_key("k1")) == spoiled.text
    assert await listed(store, BOB) == []


async def test_a_key_that_we_would_refuse_is_no_harm_to_others(store: RedisSessionStore, reference: Reference) -> None:
    """The reference bounds no session key; find and list must not fail for the waits beside one."""
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
    claim = await claimed(store)
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
