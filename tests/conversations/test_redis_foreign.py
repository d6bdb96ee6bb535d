"""What somebody else has done to conversations in Redis, and numbers beyond the usual."""

import logging
from collections.abc import Awaitable

import pytest
import redis
from conversation_keys import everything, head
from conversation_operations import prepare

from greentic_session.conversation import Conversation, Message, RedisConversationStore, TokenUsage
from greentic_session.conversation.header import Header, Lifetime, Stored
from greentic_session.errors import ConflictError, CorruptSessionError, InternalError
from greentic_session.testing._conversations.samples import OPS, said, texts

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]


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
        failing: list[Awaitable[object]] = [store.append(OPS, "c", *said("x"))]
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
    partition = (OPS.env, OPS.tenant_id, OPS.effective_team)
    backend = store.backend
    for start in (2**53 - 2, 9_999, 10**15 - 1, 0):
        header = Header(birth="b", created_at=start, updated_at=start)
        await backend.put(partition, "c", header, [], Stored.ANYTHING, Lifetime())
        for step in range(1, 12):
            assert await backend.append(partition, "c", [b"1"], -5, Lifetime()) == step
            assert (await backend.load(partition, "c", Lifetime()))[0].updated_at == start + step
        await backend.put(
            partition, "c", header, [], (await backend.load(partition, "c", Lifetime()))[0].revision, Lifetime()
        )
        with pytest.raises(ConflictError):
            await backend.put(partition, "c", header, [], header.revision, Lifetime())
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
