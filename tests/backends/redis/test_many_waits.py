"""A user with many waits.

How much the server has to do in one script does not depend on how many there are.
"""

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec
import pytest
import pytest_asyncio
import redis
from redis_invariants import check, dump
from redis_server import Server
from reference_fleet import Reference

from greentic_session import InvalidInputError, RedisSessionStore, ReplyScope, TooManyWaitsError
from greentic_session.testing._sessions.samples import ALICE, CHAT, data

pytestmark = pytest.mark.asyncio

MANY = 1500
"""More waits than any script looks at, or lists in one step."""
SET = "test:waits:user:dev:acme:ops:alice"
INDEX = "test:scopes:dev:acme:ops:alice"
MENDING = "test:mending:dev:acme:ops:alice"
A_STEP = 1200
"""More Redis commands than one step of mending takes; fewer than one for each of the waits."""
SOME = 60
"""More Redis commands than an operation takes where there is nothing to be mended."""


@pytest.fixture
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client() as client:
        yield client
        client.flushall()


@pytest_asyncio.fixture
async def store(shared: Server, raw: redis.Redis) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(shared.url, namespace="test", timeout=60.0) as store:
        yield store


def scope(number: int) -> ReplyScope:
    return ReplyScope("telegram:chat-1", f"thread-{number}")


def key(number: int) -> str:
    return f"wait-{number:05}"


async def park(store: RedisSessionStore, numbers: range, ttl: float | None = 600) -> list[str]:
    calls = [store.register_wait(ALICE, "alice", scope(number), key(number), data(), ttl) for number in numbers]
    await asyncio.gather(*calls)
    return [key(number) for number in numbers]


async def expire(raw: redis.Redis, keys: list[str]) -> None:
    """End waits as their lifetime would.

    Text, record and scope key go, and the indices of the user stay.
    """
    now = int(raw.time()[0]) * 1000
    for session_key in keys:
        scope_hash = scope(int(session_key[5:])).scope_hash()
        raw.delete(f"test:session:{session_key}", f"test:own:{session_key}")
        raw.delete(f"test:waits:scope:dev:acme:ops:alice:{scope_hash}")
        raw.zadd(INDEX, {scope_hash: now - 1000})


class Work(NamedTuple):
    """What the server did: how many scripts it ran, and how many commands they called."""

    scripts: int
    commands: int


async def work_of(raw: redis.Redis, call: Callable[[], Awaitable[object]]) -> Work:
    def counted() -> dict[str, int]:
        raw.ping()
        return {name: stats["calls"] for name, stats in raw.info("commandstats").items()}

    before = counted()
    await call()
    after = counted()
    spent = {name: calls - before.get(name, 0) for name, calls in after.items()}
    scripts = spent.pop("cmdstat_evalsha", 0)
    ours = {"cmdstat_ping", "cmdstat_info", "cmdstat_eval", "cmdstat_script|load", "cmdstat_hello", "cmdstat_client|setinfo"}
    return Work(scripts, sum(calls for name, calls in spent.items() if name not in ours))


def operations(store: RedisSessionStore, number: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return every operation that knows of a user's waits, on waits of its own.

    `number` and those after it.
    """

    async def complete() -> None:
        claim = await store.claim_wait(ALICE, "alice", scope(number))
        assert claim is not None
        await claim.complete()

    async def move() -> None:
        claim = await store.claim_wait(ALICE, "alice", scope(number + 1))
        assert claim is not None
        await claim.park(scope(MANY + 50), data(), 600)

    async def find_by_user() -> None:
        with warnings.catch_warnings(), suppress(InvalidInputError):
            warnings.simplefilter("ignore")
            await store.find_by_user(ALICE, "alice")

    return {
        "find": lambda: store.find_wait(ALICE, "alice", scope(number)),
        "find by user": find_by_user,
        "register": lambda: park(store, range(MANY + number, MANY + number + 1)),
        "register again": lambda: park(store, range(number, number + 1), 700),
        "touch": lambda: store.touch(key(number), 500),
        "create": lambda: store.create_session(ALICE, data(), key="another"),
        "complete": complete,
        "move": move,
        "clear": lambda: store.clear_wait(ALICE, "alice", scope(number + 2)),
        "remove": lambda: store.remove_session(key(number + 3)),
    }


async def test_no_operation_costs_more_because_a_user_has_many_waits(store: RedisSessionStore, raw: redis.Redis) -> None:
    await park(store, range(MANY))
    for name, call in operations(store, 10).items():
        work = await work_of(raw, call)
        assert work.commands <= SOME * max(work.scripts, 1), name
    check(raw, "test")


@pytest.mark.parametrize("spoilt", ["one has expired", "many have expired", "one is of the reference's", "no index"])
async def test_mending_goes_in_steps_and_comes_to_an_end(store: RedisSessionStore, raw: redis.Redis, spoilt: str) -> None:
    await park(store, range(MANY))
    gone, apart = set[str](), set[str]()
    match spoilt:
        case "one has expired":
            gone = {key(500)}
        case "many have expired":
            gone = {key(number) for number in range(400, 1300)}
        case "one is of the reference's":
            Reference(raw, "test").register_wait(ReplyScope("its"), "its", data(), 900_000)
            apart = {"its"}
        case _:
            raw.delete(INDEX)
    await expire(raw, sorted(gone))
    for name, call in operations(store, 10).items():
        work = await work_of(raw, call)
        assert work.commands <= A_STEP * max(work.scripts, 1), name
    steps = little = 0
    while little < 2:  # the last step through the set may find few members, but the next one finds many
        commands = (await work_of(raw, lambda: park(store, range(20, 21), 650))).commands
        assert commands <= A_STEP
        little = little + 1 if commands <= SOME else 0
        steps += 1
        assert steps < 100
    assert steps > 4
    members = {member.decode() for member in raw.smembers(SET)}  # type: ignore[union-attr]  # redis-py's types
    assert not members & gone
    assert raw.zcard(INDEX) + len(apart) == len(members)
    assert set(await store.list_waits_for_user(ALICE, "alice")) == members
    async for _ in store.backend.purging(ALICE, None):
        pass
    assert dump(raw, "test") == {}


async def test_a_pass_gives_the_set_the_lifetime_of_its_longest_wait(store: RedisSessionStore, raw: redis.Redis) -> None:
    await park(store, range(300))
    raw.persist(SET)  # as the reference may leave it
    raw.zrem(INDEX, scope(5).scope_hash())
    for _ in range(20):
        await store.touch(key(20), 300)
    assert 500_000 < raw.pttl(SET) <= 600_100
    raw.delete(MENDING)  # it ends by itself
    check(raw, "test")


async def test_a_set_never_ends_before_a_wait_of_it_while_it_is_mended(store: RedisSessionStore, raw: redis.Redis) -> None:
    await park(store, range(300))
    await expire(raw, [key(7)])
    await park(store, range(300, 301), 5000)  # in the middle of a pass
    assert raw.exists(MENDING)
    assert raw.pttl(SET) > 4_900_000
    await park(store, range(301, 302), None)
    assert raw.pttl(SET) == -1


@pytest.mark.parametrize("spoilt", ["nothing", "expired", "of the reference's"])
async def test_up_to_a_thousand_waits_are_listed_in_one_round_trip(
    store: RedisSessionStore, raw: redis.Redis, spoilt: str
) -> None:
    expected = await park(store, range(1000 if spoilt != "of the reference's" else 999))
    if spoilt == "expired":
        await expire(raw, expected[100:150])
        del expected[100:150]
    elif spoilt == "of the reference's":
        Reference(raw, "test").register_wait(ReplyScope("its"), "its", data(), 900_000)
        expected = sorted([*expected, "its"])
    found: list[str] = []

    async def list_waits() -> None:
        found.extend(await store.list_waits_for_user(ALICE, "alice"))

    assert (await work_of(raw, list_waits)).scripts == 1
    assert found == expected


async def test_more_waits_are_listed_in_steps(store: RedisSessionStore, raw: redis.Redis) -> None:
    expected = await park(store, range(MANY))
    await expire(raw, expected[700:750])
    del expected[700:750]
    found: list[str] = []

    async def list_waits() -> None:
        found.extend(await store.list_waits_for_user(ALICE, "alice"))

    work = await work_of(raw, list_waits)
    assert found == expected
    assert 3 < work.scripts < 20
    assert work.commands <= A_STEP * work.scripts


async def test_what_waits_throughout_is_listed_once_while_others_come_and_go(store: RedisSessionStore) -> None:
    steady = await park(store, range(MANY))
    done = False

    async def come_and_go() -> None:
        number = MANY
        while not done:
            await park(store, range(number, number + 20))
            await asyncio.gather(*(store.clear_wait(ALICE, "alice", scope(n)) for n in range(number, number + 20)))
            await asyncio.gather(*(store.touch(key(n), 700) for n in range(0, MANY, 100)))
            number += 20

    others = asyncio.create_task(come_and_go())
    for _ in range(5):
        found = await store.list_waits_for_user(ALICE, "alice")
        assert [one for one in found if one < key(MANY)] == steady
        assert len(set(found)) == len(found)
    done = True
    await others


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_find_by_user_looks_past_what_has_ended(store: RedisSessionStore, raw: redis.Redis, left: int) -> None:
    await store.create_session(ALICE, data(node="latest"), key="latest", ttl=600)
    waits = await park(store, range(600))
    await expire(raw, waits[left:])

    async def ask() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return await store.find_by_user(ALICE, "alice")

    if left == 2:
        with pytest.raises(InvalidInputError):
            await ask()
        return
    found = await ask()
    assert isinstance(found, tuple)
    assert found[0] == (waits[0] if left else "latest")


@pytest.mark.parametrize("waits", [50, 300])
async def test_only_live_waits_count_against_the_number_that_a_user_may_have(
    shared: Server, raw: redis.Redis, waits: int
) -> None:
    async with RedisSessionStore.from_url(shared.url, namespace="test", max_waits_per_user=waits) as store:
        parked = await park(store, range(waits))
        before = dump(raw, "test")
        with pytest.raises(TooManyWaitsError):
            await store.register_wait(ALICE, "alice", CHAT, "k", data(), 600)
        assert dump(raw, "test").keys() == before.keys()
        await expire(raw, parked[3:5])
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), 600)
        Reference(raw, "test").register_wait(ReplyScope("its"), "its", data(), 900_000)
        with pytest.raises(TooManyWaitsError):
            await store.register_wait(ALICE, "alice", ReplyScope("another"), "k2", data(), 600)
        assert await store.get_session("k2") is None


@pytest.mark.parametrize("spoilt", [False, True])
async def test_a_purge_is_linear(store: RedisSessionStore, raw: redis.Redis, spoilt: bool) -> None:  # noqa: FBT001  # a case
    waits = await park(store, range(MANY))
    if spoilt:
        raw.delete(INDEX)
        await expire(raw, waits[::10])

    async def purge() -> None:
        assert await store.purge(ALICE) == MANY - (len(waits[::10]) if spoilt else 0)

    work = await work_of(raw, purge)
    assert work.commands < 40 * MANY
    assert work.commands <= (A_STEP + 100 * 25) * work.scripts  # a step of a hundred, and of mending
    assert not await store.list_waits_for_user(ALICE, "alice")


async def test_a_purge_in_steps_leaves_nothing(store: RedisSessionStore, raw: redis.Redis) -> None:
    waits = await park(store, range(MANY))
    await expire(raw, waits[::3])
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 600)
    assert raw.exists(MENDING)
    async for _ in store.backend.purging(ALICE, None):
        pass
    assert dump(raw, "test") == {}


async def test_a_purge_of_long_sessions_takes_few_in_a_step(store: RedisSessionStore, raw: redis.Redis) -> None:
    for number in range(12):
        long = msgspec.structs.replace(data(), context_json='"' + "x" * 300_000 + '"')
        await store.register_wait(ALICE, "alice", scope(number), key(number), long, 600)
    work = await work_of(raw, lambda: store.purge(ALICE))
    assert work.scripts >= 12
    assert dump(raw, "test") == {}
