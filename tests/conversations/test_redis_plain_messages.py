"""Messages that are read by a block of plain commands, without a script."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis_server import Server

from greentic_session.conversation import Message, RedisConversationStore
from greentic_session.errors import NotFoundError
from greentic_session.testing._conversations.samples import OPS, said, texts

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]
RIGHTS = "+@read +@write +eval +evalsha +time +ping +persist"


@pytest.fixture
def redis_url(shared: Server) -> str:
    """A server whose counts and users are these tests' own."""
    return shared.url


@pytest.fixture
def calls(raw: redis.Redis) -> Callable[[], dict[str, int]]:
    """How often each command ran since the last look."""

    def look() -> dict[str, int]:
        stats: Any = raw.info("commandstats")
        raw.config_resetstat()
        return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}

    return look


async def fill(store: Store, *said_: str) -> None:
    await store.create(OPS, id="c")
    await store.append(OPS, "c", *said(*said_))


@pytest.mark.parametrize(("last", "read"), [(1, "c"), (2, "bc"), (5, "abc"), (None, "abc")])
async def test_no_script_runs(store: Store, calls: Callable[[], dict[str, int]], last: int | None, read: str) -> None:
    await fill(store, *"abc")
    calls()
    found = await store.messages(OPS, "c", last=last)
    counted = calls()
    assert counted["exec"] == 1
    assert "evalsha" not in counted
    assert [message.text for message in found] == list(read)
    assert (found.first, found.total) == (3 - len(read), 3)
    assert await store.compact(OPS, "c", 1, said("d"), version=(await store.messages(OPS, "c")).version) == 3
    assert await texts(store, last=last) == ["d", "b", "c"][-len(read) :]


async def test_what_is_not_there(store: Store, calls: Callable[[], dict[str, int]]) -> None:
    for last in (0, 3, None):
        with pytest.raises(NotFoundError):
            await store.messages(OPS, "c", last=last)
    await store.create(OPS, id="c")
    calls()
    for last in (3, None):
        assert await store.messages(OPS, "c", last=last) == []
    assert "evalsha" not in calls()
    await store.append(OPS, "c", *said("a"))
    assert await store.messages(OPS, "c", last=0) == []


async def test_of_a_long_one_the_last_are_read_from_its_end(store: Store, calls: Callable[[], dict[str, int]]) -> None:
    await fill(store, *map(str, range(900)))
    assert await texts(store, last=2) == ["898", "899"]
    calls()
    assert await texts(store, last=2) == ["898", "899"]
    counted = calls()
    assert counted["lindex"] == 2
    assert "lrange" not in counted
    assert len(await texts(store)) == 900
    await store.clear(OPS, "c")
    await store.append(OPS, "c", *said("only"))
    assert await texts(store, last=2) == ["only"]
    calls()
    assert await texts(store, last=2) == ["only"]
    assert calls()["lrange"] == 1


@pytest.mark.parametrize("rights", ["", "+multi", "+exec"])
async def test_without_the_rights_the_script_reads(
    raw: redis.Redis, redis_url: str, namespace: str, calls: Callable[[], dict[str, int]], rights: str
) -> None:
    words = ("reset", "on", ">pass", f"~{namespace}:*", *RIGHTS.split(), *([rights] if rights else []))
    raw.execute_command("ACL", "SETUSER", "limited", *words)  # type: ignore[no-untyped-call]  # redis-py's
    try:
        url = redis_url.replace("redis://", "redis://limited:pass@")
        async with RedisConversationStore.from_url(url, namespace=namespace) as store:
            await fill(store, *"ab")
            calls()
            for _ in range(10):
                assert await texts(store, last=1) == ["b"]
            assert calls()["evalsha"] == 10
    finally:
        raw.execute_command("ACL", "DELUSER", "limited")  # type: ignore[no-untyped-call]  # redis-py's


async def test_a_lifetime_that_begins_anew_takes_the_script(
    raw: redis.Redis, redis_url: str, namespace: str, calls: Callable[[], dict[str, int]]
) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, ttl=1000, sliding=True) as store:
        await fill(store, *"ab")
        (head,) = raw.keys(f"{namespace}:conv:head:*")
        raw.expire(head, 10)
        assert await texts(store, last=1) == ["b"]
        assert raw.ttl(head) > 900
        assert "exec" not in calls()
