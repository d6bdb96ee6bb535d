"""What conversations are in Redis: the keys, their lifetimes, what is left of them, and what an operation costs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import redis
from conversation_keys import check, everything, ids_left
from conversation_operations import prepare
from hypothesis import assume, given
from hypothesis import strategies as st
from redis_server import Server

from greentic_session import RedisSessionStore
from greentic_session._contract.conversation_samples import ODD_IDS, OPS, ROOMS, StandingClock, backend_of, said, texts
from greentic_session._contract.samples import ALICE, CHAT, data
from greentic_session.conversation import Conversation, Message, RedisConversationStore, TokenUsage
from greentic_session.conversation.backends.redis import backend as redis_backend
from greentic_session.conversation.backends.redis.keys import Keys
from greentic_session.conversation.header import Header, Lifetime, Stored
from greentic_session.conversation.rules import Room
from greentic_session.errors import ConflictError, CorruptSessionError, InternalError, InvalidInputError, NotFoundError

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]


@pytest_asyncio.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, clock=StandingClock()) as store:
        yield store


def head(namespace: str, id: str = "c") -> str:
    return f"{namespace}:conv:head:dev:acme:ops:{id}"


# -- keys


async def test_what_is_stored(store: Store, raw: redis.Redis, namespace: str) -> None:
    conversation = Conversation[Message].new("a:b")
    conversation.messages = said("hi")
    conversation.metadata, conversation.state.custom = {"": "x", "a:b": "ä"}, {"k": [1, None]}
    conversation.state.token_usage = TokenUsage(1, 2, reasoning_tokens=3, extra={"n": 1})
    conversation.system_message, conversation.model, conversation.max_turns = "be brief", "m", 4
    conversation.extra, conversation.state.extra = {"later": True}, {"mood": "good"}
    await store.save(OPS.with_team(None), conversation)
    place = "dev:acme:-"
    assert {key.decode() for key in raw.keys(f"{namespace}:*")} == {
        f"{namespace}:conv:{kind}" for kind in (f"recent:{place}", f"head:{place}:a:b", f"messages:{place}:a:b")
    }
    fields: Any = raw.hgetall(f"{namespace}:conv:head:{place}:a:b")
    updated_at = int(fields[b"updated_at"])
    assert len(fields.pop(b"birth")) == 16
    assert fields.pop(b"created_at").isdigit()
    assert fields == {
        b"schema_version": b"1",
        b"updated_at": str(updated_at).encode(),
        b"model": b"m",
        b"max_turns": b"4",
        b"system_message": b"be brief",
        b"cwd": b"",
        b"event_count": b"0",
        b"usage:input_tokens": b"1",
        b"usage:output_tokens": b"2",
        b"usage:reasoning_tokens": b"3",
        b"metadata:": b"x",
        b"metadata:a:b": "ä".encode(),
        b"custom:k": b"[1,null]",
        b"extra": b'{"extra":{"later":true},"state":{"mood":"good"},"usage":{"n":1}}',
    }
    assert raw.lrange(f"{namespace}:conv:messages:{place}:a:b", 0, -1) == [
        b'{"role":"user","content":[{"type":"text","text":"hi"}]}'
    ]
    assert raw.zrange(f"{namespace}:conv:recent:{place}", 0, -1, withscores=True) == [(b"a:b", -updated_at)]


ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | st.sampled_from(
    [*ODD_IDS, "ops:c", "-:c", "head:dev:acme:ops:c"]
)
parts = st.sampled_from(["dev", "acme", "ops", "head", "conv", "..", "a.b", "_", "--"])
rooms: st.SearchStrategy[Room] = st.tuples(parts, parts, st.none() | parts)


@given(rooms, rooms, ids, ids)
async def test_no_two_rooms_or_ids_share_a_key(room: Room, other: Room, id: str, other_id: str) -> None:
    keys = Keys("n")
    mine = {*keys.index(room), *keys.conversation(room, id)}
    assert len(mine) == 4
    if room != other:
        assert mine.isdisjoint({*keys.index(other), *keys.conversation(other, other_id)})
    else:
        assume(id != other_id)
        assert set(keys.conversation(room, id)).isdisjoint({*keys.index(room), *keys.conversation(other, other_id)})
    front = keys.conversation(room, "")
    assert all(key.startswith(f) for key, f in zip(keys.conversation(room, id), front, strict=True))


async def test_sessions_and_conversations_share_a_namespace(
    store: Store, raw: redis.Redis, redis_url: str, namespace: str
) -> None:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as sessions:
        for key in ("conv:recent:dev:acme:ops", "c"):
            await sessions.register_wait(ALICE, "alice", CHAT, key, data())
        theirs = everything(raw, namespace)
        await prepare(store)
        assert len(await store.list(OPS)) == 1
        assert await store.purge(OPS) == 1
        assert everything(raw, namespace) == theirs


@pytest.mark.parametrize("wrong", ["", "\ud800"])
async def test_a_namespace_that_cannot_be_one(redis_url: str, wrong: str) -> None:
    with pytest.raises(InvalidInputError, match="namespace"):
        RedisConversationStore.from_url(redis_url, namespace=wrong)


async def test_a_purge_leaves_other_rooms_alone(store: Store, raw: redis.Redis, namespace: str) -> None:
    for room in ROOMS[1:]:
        for id in ("c", "d*"):
            await store.create(room, id=id)
            await store.append(room, id, *said("x"))
    others = everything(raw, namespace)
    for index in range(350):
        await store.create(OPS, id=f"c{index}")
    assert await store.purge(OPS) == 350
    assert everything(raw, namespace) == others


# -- lifetimes


async def test_all_that_belongs_together_lives_together(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    def store(ttl: float | None, *, sliding: bool = False) -> Store:
        return RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=ttl, sliding=sliding)

    index, recent = (f"{namespace}:conv:{kind}:dev:acme:ops" for kind in ("ends", "recent"))
    async with store(100) as brief, store(1000, sliding=True) as sliding, store(None) as eternal:
        await brief.create(OPS, id="brief")
        assert raw.pttl(recent) <= 100_000
        await brief.append(OPS, "brief", *said("x"))
        check(raw, namespace)
        await sliding.create(OPS, id="sliding")
        assert 900_000 < raw.pttl(recent) <= 1000_000
        for use in (
            sliding.append(OPS, "brief"),
            sliding.messages(OPS, "brief"),
            sliding.load(OPS, "brief"),
            sliding.update_state(OPS, "brief"),
            sliding.save(OPS, await brief.load(OPS, "brief"), force=True),
        ):
            await use
            check(raw, namespace)
            assert raw.pttl(head(namespace, "brief")) > 900_000
            raw.pexpire(head(namespace, "brief"), 50_000)
            await brief.save(OPS, await brief.load(OPS, "brief"))  # all goes on with what is left
            check(raw, namespace)
            assert 40_000 < raw.pttl(head(namespace, "brief")) <= 50_010
        await eternal.create(OPS, id="eternal")
        assert raw.pttl(recent) == -1
        assert raw.zcard(index) == 2
        check(raw, namespace)
        await eternal.save(OPS, await eternal.load(OPS, "brief"))
        check(raw, namespace)
        assert 40_000 < raw.pttl(head(namespace, "brief")) <= 50_010
        await eternal.delete(OPS, "eternal")
        assert raw.pttl(recent) > 900_000
        check(raw, namespace)
        await brief.delete(OPS, "sliding")
        assert raw.pttl(recent) <= 50_010
        check(raw, namespace)
    assert everything(raw, f"{namespace}:conv:messages") != {}


async def test_nothing_is_left_of_what_nobody_touches(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=0.1) as store:
        for index in range(50):
            await store.create(OPS, id=f"c{index}")
            await store.append(OPS, f"c{index}", *said("x"))
        await asyncio.sleep(0.15)
        assert [key for key in everything(raw, namespace) if raw.exists(key)] == []


async def test_the_index_forgets_what_has_expired(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    async with (
        RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=0.05) as brief,
        RedisConversationStore.from_url(redis_url, namespace=namespace) as store,
    ):

        async def some_expire() -> None:
            for index in range(10):
                await brief.create(OPS, id=f"c{index}")
            await asyncio.sleep(0.08)
            assert len(set(ids_left(raw, namespace))) == 11

        held = await store.create(OPS, id="c")
        for operation in (
            lambda: store.append(OPS, "c", *said("x")),
            lambda: store.append(OPS, "c"),
            lambda: store.update_state(OPS, "c"),
            lambda: store.save(OPS, held, force=True),
            lambda: store.list(OPS, limit=20),
            lambda: store.create(OPS, id="c3"),
        ):
            await some_expire()
            await operation()
            assert set(ids_left(raw, namespace)) <= {b"c", b"c3"}
            assert {summary.id for summary in await store.list(OPS)} <= {"c", "c3"}
        await store.delete(OPS, "c3")
        await some_expire()
        await store.delete(OPS, "c")
        assert everything(raw, namespace) == {}


async def test_expired_ones_cannot_pile_up(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=0.05) as store:
        for index in range(100):
            await store.create(OPS, id=f"c{index}")
        await RedisConversationStore.create(store, OPS, id="last")
        raw.persist(f"{namespace}:conv:recent:dev:acme:ops")
        raw.persist(f"{namespace}:conv:ends:dev:acme:ops")
        await asyncio.sleep(0.08)
        for index in range(7):
            await store.create(OPS, id=f"d{index}")
        assert len(set(ids_left(raw, namespace))) == 7


async def test_an_index_that_somebody_has_removed_grows_again(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    for ttl in (None, 100):
        async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=ttl) as store:
            for id in ("a", "b"):
                await store.create(OPS, id=id)
            raw.delete(*raw.keys(f"{namespace}:conv:recent:*"), *raw.keys(f"{namespace}:conv:ends:*"), "x")
            assert await store.list(OPS) == []
            assert await store.list(OPS, after="a") == []
            await store.append(OPS, "a", *said("x"))
            await store.update_state(OPS, "b")
            assert {summary.id for summary in await store.list(OPS)} == {"a", "b"}
            check(raw, namespace)
            await store.purge(OPS)


# -- what cannot be read, and what is beyond the usual

BROKEN: list[dict[str, bytes | None]] = [
    {"schema_version": None},
    {"schema_version": b"one"},
    {"schema_version": b"-1"},
    {"updated_at": b""},
    {"updated_at": b"1e3"},
    {"updated_at": b"9" * 18},
    {"created_at": None},
    {"created_at": b"01"},
    {"max_turns": b"x"},
    {"event_count": b"-0"},
]
BROKEN_INSIDE: list[dict[str, bytes | None]] = [
    {"model": b"\xff"},
    {"cwd": None},
    {"event_count": b"9" * 19},
    {"metadata:tag": b"\xff"},
    {"extra": b"{"},
    {"usage:input_tokens": b"many"},
    {"custom:x": b"{"},
]


def spoil(raw: redis.Redis, namespace: str, fields: dict[str, bytes | None]) -> None:
    for name, value in fields.items():
        if value is None:
            raw.hdel(head(namespace), name)
        else:
            raw.hset(head(namespace), name, value)


@pytest.mark.parametrize("fields", BROKEN, ids=repr)
async def test_a_header_that_cannot_be_read(
    store: Store, raw: redis.Redis, namespace: str, caplog: pytest.LogCaptureFixture, fields: dict[str, bytes | None]
) -> None:
    held = await prepare(store)
    await store.create(OPS, id="d")
    spoil(raw, namespace, fields)
    before = everything(raw, namespace)
    for call in (
        store.load(OPS, "c"),
        store.messages(OPS, "c"),
        store.append(OPS, "c"),
        store.append(OPS, "c", *said("x")),
        store.update_state(OPS, "c"),
        store.save(OPS, held),
        store.create(OPS, id="c"),
    ):
        with pytest.raises(CorruptSessionError) as caught:
            await call
        assert caught.value.conversation_id == "c"
    with caplog.at_level(logging.WARNING, "greentic_session"):
        assert [summary.id for summary in await store.list(OPS)] == ["d"]
    assert len(caplog.records) == 1
    assert everything(raw, namespace) == before
    await store.save(OPS, held, force=True)
    assert await store.load(OPS, "c") == held
    spoil(raw, namespace, fields)
    await store.delete(OPS, "c")
    assert not raw.exists(head(namespace))


@pytest.mark.parametrize("fields", BROKEN_INSIDE, ids=repr)
async def test_a_header_of_which_a_part_cannot_be_read(
    store: Store, raw: redis.Redis, namespace: str, fields: dict[str, bytes | None]
) -> None:
    await prepare(store)
    spoil(raw, namespace, fields)
    with pytest.raises(CorruptSessionError):
        await store.load(OPS, "c")
    assert await texts(store) == ["a", "b", "c"]  # what does not need it goes on
    if "usage:input_tokens" in fields:
        before = everything(raw, namespace)
        with pytest.raises(CorruptSessionError):
            await store.update_state(OPS, "c", cwd="/x", add_usage=TokenUsage(0, 1))
        assert everything(raw, namespace) == before


async def test_a_field_of_somebody_elses_is_passed_over(store: Store, raw: redis.Redis, namespace: str) -> None:
    held = await prepare(store)
    raw.hset(head(namespace), mapping={"colour": b"\xff", "usage:pages": "7"})
    assert await store.load(OPS, "c") == held


INDEX = ["recent:dev:acme:ops", "ends:dev:acme:ops"]
OWN = ["head:dev:acme:ops:c", "messages:dev:acme:ops:c"]


@pytest.mark.parametrize("sliding", [False, True], ids=["", "sliding"])
@pytest.mark.parametrize("place", [*INDEX, *OWN])
async def test_a_key_of_a_wrong_type(raw: redis.Redis, redis_url: str, namespace: str, place: str, *, sliding: bool) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=100, sliding=sliding) as store:
        held = await prepare(store)
        other = await store.create(OPS, id="other")
        key = f"{namespace}:conv:{place}"
        raw.delete(key)
        raw.set(key, "somebody else's", ex=100)
        before = everything(raw, namespace)
        failing = [store.append(OPS, "c", *said("x"))]
        if place in OWN or sliding:
            failing += [store.load(OPS, "c"), store.messages(OPS, "c")]
        if place != OWN[1]:
            failing += [store.update_state(OPS, "c"), store.save(OPS, held)]
        if place in INDEX:
            failing += [store.delete(OPS, "c"), store.purge(OPS), store.create(OPS), store.save(OPS, held, force=True)]
        if place == INDEX[0]:
            failing += [store.list(OPS)]
        for call in failing:
            with pytest.raises(InternalError, match="another type") as caught:
                await call
            assert type(caught.value) is InternalError
        assert everything(raw, namespace) == before, "something is half written"
        if place in OWN:
            assert [summary.id for summary in await store.list(OPS)] == ["other"]
            assert await store.load(OPS, "other") == other
            await store.save(OPS, held, force=True)
            assert await texts(store) == ["a", "b", "c"]
            raw.delete(key)
            raw.set(key, "somebody else's")
            assert await store.purge(OPS) == 2
            assert everything(raw, namespace) == {}


async def test_the_end_of_time(store: Store) -> None:
    """Beyond 2^53 microseconds a double is not exact any more; a revision still is."""
    room = (OPS.env, OPS.tenant_id, OPS.effective_team)
    backend = backend_of(store)
    for start in (2**53 - 2, 9_999, 10**15 - 1, 0):
        header = Header(birth="b", created_at=start, updated_at=start)
        await backend.put(room, "c", header, [], Stored.ANYTHING, Lifetime())
        for step in range(1, 12):
            assert await backend.append(room, "c", [b"1"], -5, Lifetime()) == step
            assert (await backend.load(room, "c", Lifetime()))[0].updated_at == start + step
        await backend.put(room, "c", header, [], (await backend.load(room, "c", Lifetime()))[0].revision, Lifetime())
        with pytest.raises(ConflictError):
            await backend.put(room, "c", header, [], header.revision, Lifetime())
        await store.purge(OPS)


async def test_large_headers_and_many_messages(store: Store) -> None:
    many = {f"k{index}": str(index) for index in range(3000)}
    conversation = Conversation[Message].new("c")
    conversation.metadata = dict(many)
    conversation.messages = said(*many)
    await store.save(OPS, conversation)
    await store.update_state(OPS, "c", custom=many)
    loaded = await store.load(OPS, "c")
    assert (loaded.metadata, loaded.state.custom, loaded.messages) == (many, many, said(*many))


# -- pages of a large room


async def test_a_page_begins_at_any_place_among_many_of_one_moment(store: Store) -> None:
    for index in range(300):
        await store.create(OPS, id=f"c{index * 7 % 300:03}")
    whole = await store.list(OPS)
    assert [summary.id for summary in whole] == [f"c{index:03}" for index in range(300)]
    for index, summary in enumerate(whole):
        assert await store.list(OPS, after=summary, limit=3) == whole[index + 1 : index + 4]
        await store.delete(OPS, summary.id)
        assert await store.list(OPS, after=summary, limit=3) == whole[index + 1 : index + 4]
        if index < 298:
            assert await store.list(OPS, after=whole[index + 1].id, limit=3) == whole[index + 2 : index + 5]
            assert await store.list(OPS, after=whole[index + 1].id, limit=0) == []
        with pytest.raises(NotFoundError):
            await store.list(OPS, after=summary.id, limit=0)


async def test_a_list_of_several_pages_misses_nothing_that_moves(
    store: Store, monkeypatch: pytest.MonkeyPatch, raw: redis.Redis, namespace: str
) -> None:
    monkeypatch.setattr(redis_backend, "_PAGE", 10)
    clock: Any = store._clock
    for index in range(45):
        clock.now += 1
        await store.create(OPS, id=f"c{index:02}")
    backend: Any = backend_of(store)
    turn, original = 0, backend._page

    async def page(*arguments: Any) -> Any:
        nonlocal turn
        found = await original(*arguments)
        turn += 1
        if turn in (1, 3):  # something that no page had yet, something that one had, and something new
            clock.now += 1
            await store.append(OPS, "c02", *said("x"))
            await store.append(OPS, "c40", *said("x"))
            await store.create(OPS, id=f"new{turn}")
        return found

    monkeypatch.setattr(backend, "_page", page)
    listed = await store.list(OPS)
    assert turn == 6
    monkeypatch.undo()
    assert listed == await store.list(OPS)
    assert len(listed) == 47
    monkeypatch.setattr(redis_backend, "_PAGE", 10)
    assert await store.list(OPS) == listed
    assert await store.list(OPS, limit=33) == listed[:33]
    assert await store.list(OPS, after=listed[20]) == listed[21:]
    for summary in listed[:20]:
        raw.delete(head(namespace, summary.id))
    assert await store.list(OPS, limit=3) == listed[20:23]
    raw.delete(*raw.keys(f"{namespace}:conv:head:*"))
    assert await store.list(OPS) == []


async def test_a_purge_in_several_steps(store: Store, raw: redis.Redis, namespace: str) -> None:
    """While others write: all that was there before goes, and it ends."""
    for index in range(1000):
        await store.create(OPS, id=f"c{index}")
    done = asyncio.Event()

    async def write() -> int:
        count = 0
        while not done.is_set():
            count += 1
            await store.create(OPS, id=f"new{count}")
        return count

    writing = asyncio.create_task(write())
    assert await store.purge(OPS) >= 1000
    done.set()
    created = await writing
    left = {summary.id for summary in await store.list(OPS)}
    assert left <= {f"new{index + 1}" for index in range(created)}
    check(raw, namespace)


# -- what it costs


@pytest.fixture(scope="module")
def quiet() -> Any:
    with Server() as server:
        yield server


async def cost(server: Server, work: Callable[[], Any]) -> tuple[dict[str, int], int, int]:
    """Return how often each command was called, and how many bytes came in and went out."""
    with server.client() as raw:
        raw.config_resetstat()
        await work()
        stats: Any = raw.info("all")
    calls = {name[8:]: entry["calls"] for name, entry in stats.items() if name.startswith("cmdstat_")}
    for name in ("info", "config", "config|resetstat"):
        calls.pop(name, None)
    return calls, stats["total_net_input_bytes"], stats["total_net_output_bytes"]


async def test_what_an_operation_costs_does_not_depend_on_the_length(quiet: Server) -> None:
    costs = []
    with quiet.client() as raw:
        for count in (10, 20_000):
            raw.flushall()
            async with RedisConversationStore.from_url(quiet.url, ttl=1000) as store:
                await store.create(OPS, id="c")
                for _ in range(0, count, 1000):
                    await store.append(OPS, "c", *said(*["x" * 100] * min(count, 1000)))

                async def append(store: Store = store) -> None:
                    for _ in range(20):
                        await store.append(OPS, "c", *said("y"))

                async def read(store: Store = store) -> None:
                    assert len(await store.messages(OPS, "c", last=5)) == 5

                async def listed(store: Store = store) -> None:
                    assert len(await store.list(OPS)) == 1

                async def update(store: Store = store) -> None:
                    await store.update_state(OPS, "c", add_usage=TokenUsage(1), metadata={"k": "v"})

                for work in (append, read, listed, update):
                    await work()  # the script is loaded
                costs.append([await cost(quiet, work) for work in (append, read, listed, update)])
    for few, many in zip(*costs, strict=True):
        few[0].update({"lrange/lindex": few[0].pop("lrange", 0) and 1})
        many[0].update({"lrange/lindex": (many[0].pop("lindex", 0) or many[0].pop("lrange", 0)) and 1})
        assert few[0] == many[0]
        assert abs(few[1] - many[1]) <= 20
        assert abs(few[2] - many[2]) <= 200
    assert "lrange" not in costs[1][0][0]
    assert costs[1][0][0]["rpush"] == costs[1][0][0]["evalsha"] == 20
    assert costs[1][0][2] < 5_000
