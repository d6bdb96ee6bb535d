"""Large partitions in Redis, page by page, and what an operation costs."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from conversation_keys import check, everything, head
from redis_server import Server

from greentic_session.conversation import Message, RedisConversationStore, TokenUsage
from greentic_session.conversation.backends.redis import backend as redis_backend
from greentic_session.errors import NotFoundError
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]


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
    monkeypatch.setattr(redis_backend, "_LIST_PAGE", 10)
    clock: Any = store._clock
    for index in range(45):
        clock.now += 1
        await store.create(OPS, id=f"c{index:02}")
    backend: Any = store.backend
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
    monkeypatch.setattr(redis_backend, "_LIST_PAGE", 10)
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
        assert abs(few[1] - many[1]) <= (20 if few is not costs[0][1] else 500)  # LINDEX five times
        assert abs(few[2] - many[2]) <= 200
    assert "lrange" not in costs[1][0][0]
    assert costs[1][0][0]["rpush"] == costs[1][0][0]["evalsha"] == 20
    assert costs[1][0][2] < 5_000


async def test_a_purge_leaves_other_partitions_alone(store: Store, raw: redis.Redis, namespace: str) -> None:
    for partition in PARTITIONS[1:]:
        for id in ("c", "d*"):
            await store.create(partition, id=id)
            await store.append(partition, id, *said("x"))
    others = everything(raw, namespace)
    for index in range(350):
        await store.create(OPS, id=f"c{index}")
    assert await store.purge(OPS) == 350
    assert everything(raw, namespace) == others
