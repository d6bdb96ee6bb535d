"""Copies of conversations between databases and Redis, in all directions."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from conversation_databases import connected, make

from greentic_session.conversation import ConversationStore, Message, RedisConversationStore, TokenUsage
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.copying import Copied, copy_conversation
from greentic_session.conversation.rules import partition_of
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said, texts

pytestmark = pytest.mark.asyncio
HERE = partition_of(OPS)
HOUR = 3600.0


class Place(NamedTuple):
    """A storage, seen by its users and by a copy. Stores of it may have a lifetime."""

    open: Callable[..., ConversationStore[Message]]
    store: ConversationStore[Message]

    @property
    def side(self) -> ConversationBackend:
        return self.store.backend


async def in_a_database(path: Path, namespace: str | None = None) -> Place:
    def open_store(**options: Any) -> ConversationStore[Message]:
        return make(path, namespace=namespace, **options)

    return Place(open_store, open_store())


async def in_redis(url: str, namespace: str) -> Place:
    def open_store(**options: Any) -> ConversationStore[Message]:
        return RedisConversationStore.from_url(url, namespace=namespace, **options)

    return Place(open_store, open_store())


@pytest_asyncio.fixture(params=["database-database", "database-redis", "redis-database", "redis-redis"])
async def places(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, namespaces: Callable[[], str]
) -> AsyncIterator[tuple[Place, Place]]:
    """Source and target of a copy."""
    kinds = request.param.split("-")
    source, target = [
        await (in_a_database(tmp_path / f"{number}.db") if kind == "database" else in_redis(redis_url, namespaces()))
        for number, kind in enumerate(kinds)
    ]
    yield source, target
    await source.store.aclose()
    await target.store.aclose()


async def fill(store: ConversationStore[Message], id: str = "c") -> None:
    await store.create(OPS, id=id, model="m", max_turns=3, system_message="s", cwd="/srv", metadata={"a": "b"})
    await store.append(OPS, id, *said("one", "two"))
    await store.update_state(OPS, id, add_usage=TokenUsage(1, 2), add_events=3, custom={"x": [1, None, "ä"]})


async def test_all_of_a_conversation_is_copied_once(places: tuple[Place, Place]) -> None:
    source, target = places
    await fill(source.store)
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.WRITTEN
    assert await target.store.load(OPS, "c") == await source.store.load(OPS, "c")
    assert await source.store.list(OPS) == await target.store.list(OPS)
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.UNCHANGED
    assert await copy_conversation(source.side, target.side, HERE, "nobody") is Copied.ABSENT


async def test_the_later_change_wins(places: tuple[Place, Place]) -> None:
    source, target = places
    await fill(source.store)
    await copy_conversation(source.side, target.side, HERE, "c")
    await source.store.append(OPS, "c", *said("three"))
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.WRITTEN
    assert await texts(target.store) == ["one", "two", "three"]
    await target.store.append(OPS, "c", *said("ours"))
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.KEPT
    assert await texts(target.store) == ["one", "two", "three", "ours"]


async def test_another_conversation_of_the_same_id_is_replaced_by_a_later_one(places: tuple[Place, Place]) -> None:
    source, target = places
    await fill(target.store)
    await fill(source.store)
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.WRITTEN
    assert await target.store.load(OPS, "c") == await source.store.load(OPS, "c")


async def test_the_longer_lifetime_wins(places: tuple[Place, Place]) -> None:
    source, target = places
    async with source.open(ttl=HOUR) as mortal, source.open(ttl=10 * HOUR, sliding=True) as renewing:
        await fill(mortal)
        assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.WRITTEN
        copied = await target.side.peek(HERE, "c")
        assert copied is not None
        assert copied.ttl_ms is not None
        assert 0.9 * HOUR < copied.ttl_ms / 1000 <= HOUR
        assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.UNCHANGED
        await renewing.load(OPS, "c")
        assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.WRITTEN
        copied = await target.side.peek(HERE, "c")
        assert copied is not None
        assert copied.ttl_ms is not None
        assert 9 * HOUR < copied.ttl_ms / 1000 <= 10 * HOUR


async def test_what_cannot_be_read_is_not_copied(tmp_path: Path) -> None:
    source, target = await in_a_database(tmp_path / "a.db"), await in_a_database(tmp_path / "b.db")
    await fill(source.store)
    with connected(tmp_path / "a.db") as connection:
        connection.execute("UPDATE conversation_header SET text = x'7b'")
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.CORRUPT
    with connected(tmp_path / "a.db") as connection:
        connection.execute("UPDATE conversation SET schema_version = 2")
    assert await copy_conversation(source.side, target.side, HERE, "c") is Copied.CORRUPT
    assert await target.store.list(OPS) == []
    await source.store.aclose()
    await target.store.aclose()


async def test_a_walk_names_each_conversation_of_a_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greentic_session.conversation.backends.sqlite.backend._WALK_BATCH", 2)
    here, other = await in_a_database(tmp_path / "a.db"), await in_a_database(tmp_path / "a.db", "other")
    for ctx in PARTITIONS:
        await here.store.create(ctx, id="a/b")
        await other.store.create(ctx, id="c")
    found = [name async for step in here.side.walk() for name in step]
    assert found == [(partition_of(ctx), "a/b") for ctx in PARTITIONS]
    await here.store.aclose()
    await other.store.aclose()
