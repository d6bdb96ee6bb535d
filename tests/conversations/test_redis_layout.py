"""Conversations' keys in Redis, their lifetimes and remains, and the cost of an operation."""

from typing import Any

import pytest
import redis
from conversation_keys import check, everything, head, ids_left
from conversation_operations import prepare
from hypothesis import assume, given
from hypothesis import strategies as st
from time_passing import pass_time

from greentic_session import RedisSessionStore
from greentic_session.conversation import Conversation, Message, RedisConversationStore, TokenUsage
from greentic_session.conversation.backends.redis.keys import Keys
from greentic_session.errors import InvalidInputError
from greentic_session.tenancy import Partition
from greentic_session.testing._conversations.samples import ODD_IDS, OPS, said
from greentic_session.testing._sessions.samples import ALICE, CHAT, data

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]


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
    keys: Any = raw.keys(f"{namespace}:*")
    assert {key.decode() for key in keys} == {
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
partitions: st.SearchStrategy[Partition] = st.tuples(parts, parts, st.none() | parts)


@given(partitions, partitions, ids, ids)
async def test_no_two_partitions_or_ids_share_a_key(partition: Partition, other: Partition, id: str, other_id: str) -> None:
    keys = Keys("n")
    mine = {*keys.index(partition), *keys.conversation(partition, id)}
    assert len(mine) == 4
    if partition != other:
        assert mine.isdisjoint({*keys.index(other), *keys.conversation(other, other_id)})
    else:
        assume(id != other_id)
        assert set(keys.conversation(partition, id)).isdisjoint(
            {*keys.index(partition), *keys.conversation(other, other_id)}
        )
    front = keys.conversation(partition, "")
    assert all(key.startswith(f) for key, f in zip(keys.conversation(partition, id), front, strict=True))


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
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=3600) as store:
        for index in range(50):
            await store.create(OPS, id=f"c{index}")
            await store.append(OPS, f"c{index}", *said("x"))
        pass_time(raw, 3601, namespace)
        assert [key for key in everything(raw, namespace) if raw.exists(key)] == []


async def test_the_index_forgets_what_has_expired(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    async with (
        RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=3600) as brief,
        RedisConversationStore.from_url(redis_url, namespace=namespace) as store,
    ):

        async def some_expire() -> None:
            for index in range(10):
                await brief.create(OPS, id=f"c{index}")
            pass_time(raw, 3601, namespace)
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
        await store.append(OPS, "c", *said("x"))
        # The last one has taken the place of one that had expired, and stays.
        assert {summary.id for summary in await store.list(OPS)} == {"c", "c3"}
        check(raw, namespace)
        await store.delete(OPS, "c3")
        await some_expire()
        await store.delete(OPS, "c")
        assert everything(raw, namespace) == {}


async def test_expired_ones_cannot_pile_up(raw: redis.Redis, redis_url: str, namespace: str) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=3600) as store:
        for index in range(100):
            await store.create(OPS, id=f"c{index}")
        await RedisConversationStore.create(store, OPS, id="last")
        raw.persist(f"{namespace}:conv:recent:dev:acme:ops")
        raw.persist(f"{namespace}:conv:ends:dev:acme:ops")
        pass_time(raw, 3601, namespace)
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
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=100, sliding=True) as store:
        await store.create(OPS, id="a")
        for use in (store.load, store.messages, store.append, store.update_state):
            raw.delete(*raw.keys(f"{namespace}:conv:recent:*"))
            await use(OPS, "a")
            assert len(await store.list(OPS)) == 1
            check(raw, namespace)
