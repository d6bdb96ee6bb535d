"""Cancelling any operation of the Redis store, anywhere.

No answer goes to another call, and no connection is left over.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import redis
from cancelling import CancelledAt
from patience import PATIENT, impatient
from redis_operations import OPERATIONS, OTHER, Operation, prepare
from redis_server import Server
from tcp_proxy import TcpProxy

from greentic_session import RedisSessionStore
from greentic_session.errors import OperationTimeoutError
from greentic_session.models import ReplyScope
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, ctx, data

pytestmark = pytest.mark.asyncio

NAME = "cancelled"
"""The name of the store's connections."""
PROBES = 4


@pytest.fixture(scope="module")
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client(db=1) as raw:
        yield raw


def connections(raw: redis.Redis) -> int:
    return sum(client["name"] == NAME for client in raw.client_list())


async def settle(raw: redis.Redis, most: int) -> None:
    """Wait until the server has seen closed connections end; fail if more than `count` stay."""
    give_up = time.monotonic() + 60
    while connections(raw) > most:
        assert time.monotonic() < give_up, f"{connections(raw)} connections are left"
        await asyncio.sleep(0.002)


@pytest.fixture
def url(shared: Server, raw: redis.Redis) -> str:
    """A database that is empty."""
    raw.flushdb()
    return f"{shared.url}/1?client_name={NAME}"


NEIGHBOUR = ctx("nora", tenant="neighbour")
"""Whose sessions no operation touches."""


async def place_probes(store: RedisSessionStore) -> None:
    for number in range(PROBES):
        await store.create_session(NEIGHBOUR, data(NEIGHBOUR, f"node-{number}"), key=f"probe-{number}")


async def probe(store: RedisSessionStore, number: int) -> None:
    """Check that a call gets its own answer."""
    assert await store.get_session(f"probe-{number}") == data(NEIGHBOUR, f"node-{number}")


async def run(attempt: CancelledAt) -> object:
    return await attempt


def named(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "arrived"])
@pytest.mark.parametrize("warm", [False, True], ids=["connecting", "connected"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
async def test_every_await_point_of_every_operation(
    url: str, raw: redis.Redis, operation: Operation, *, warm: bool, late: bool
) -> None:
    async with RedisSessionStore.from_url(url, max_connections=2) as store:
        await place_probes(store)
        point = 0
        cancelled = True
        while cancelled:
            point += 1
            await store.purge(ALICE)
            await prepare(store)
            call = await operation.ready(store)
            if not warm:
                raw.script_flush()
                raw.client_kill_filter(_type="normal", skipme=True)
                await asyncio.sleep(0.005)  # the ends of the connections arrive
            attempt = CancelledAt(call(), point, late=late)
            [end] = await asyncio.gather(asyncio.create_task(run(attempt)), return_exceptions=True)
            cancelled = attempt.cancelled
            if cancelled:
                assert isinstance(end, asyncio.CancelledError), f"the cancellation at point {point} was lost: {end!r}"
            else:
                assert not isinstance(end, BaseException)
            await asyncio.gather(*(probe(store, number) for number in range(PROBES)))
            await settle(raw, most=2)
        assert point > (1 if warm else 2)  # there was something to cancel
    await settle(raw, most=0)


async def answers(store: RedisSessionStore, kind: int, number: int) -> None:
    """Make one of several calls, and check that its answer is its own."""
    who = NEIGHBOUR.with_user(f"user-{number}")
    match kind:
        case 0:
            await probe(store, number)
        case 1:
            found = await store.find_wait(who, f"user-{number}", CHAT)
            assert found is not None
            assert (found.key, found.data) == (f"wait-{number}", data(who, f"node-{number}"))
        case 2:
            assert await store.find_wait_by_scope(who, f"user-{number}", CHAT) == f"wait-{number}"
        case 3:
            assert await store.list_waits_for_user(who, f"user-{number}") == [f"wait-{number}"]
        case 4:
            version = await store.update_session(f"wait-{number}", data(who, f"node-{number}"))
            wait = await store.get_versioned(f"wait-{number}")
            assert wait is not None
            assert wait.version == version
        case 5:
            assert await store.touch(f"absent-{number}", MINUTE) is False
        case _:
            assert await store.get_session(f"absent-{number}") is None


@pytest.mark.parametrize("cancellations", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_many_cancellations_among_concurrent_calls(url: str, raw: redis.Redis, cancellations: int) -> None:
    chance = random.Random(7)
    async with RedisSessionStore.from_url(url, max_connections=6) as store:
        await place_probes(store)
        for number in range(PROBES):
            who = NEIGHBOUR.with_user(f"user-{number}")
            await store.register_wait(who, f"user-{number}", CHAT, f"wait-{number}", data(who, f"node-{number}"))
        done = 0
        while done < cancellations:
            attempts = []
            for _ in range(60):
                # A third of the calls is let alone; the rest is cancelled waiting for a place,
                # connecting, sending, reading.
                point = chance.choice([0, chance.randint(1, 5), chance.randint(1, 5)])
                work = answers(store, chance.randrange(7), chance.randrange(PROBES))
                attempts.append(CancelledAt(work, point, late=chance.random() < 0.5))
            ends = await asyncio.gather(*(asyncio.create_task(run(attempt)) for attempt in attempts), return_exceptions=True)
            for attempt, end in zip(attempts, ends, strict=True):
                if not attempt.cancelled:
                    assert end is None, end
                else:
                    assert isinstance(end, asyncio.CancelledError), f"a cancellation was lost: {end!r}"
                    done += 1
            assert connections(raw) <= 6 + sum(attempt.cancelled for attempt in attempts)  # some are closing
        await settle(raw, most=6)
        await asyncio.gather(*(answers(store, kind, number) for kind in range(7) for number in range(PROBES)))
    await settle(raw, most=0)


# -- where a call holds more than a place


def open_sockets(port: int) -> int:
    """Return how many sockets of this machine are connected, as a client, to a loopback port."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("no /proc/net/tcp to look at")
    rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    return sum(remote.endswith(f":{port:04X}") and state == "01" for _, _, remote, state, *_ in rows)


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_half_sent_write_is_given_up(proxy: TcpProxy, raw: redis.Redis, how: str) -> None:
    large = data(snapshot=f'"{"x" * 12_000_000}"')  # no socket buffers that much
    raw.flushdb()
    async with RedisSessionStore.from_url(f"{proxy.url}/1", **PATIENT) as store:
        await store.health()
        proxy.stall()
        with impatient(store) if how == "timed out" else nullcontext():
            task = asyncio.create_task(store.create_session(ALICE, large, key="large"))
            await asyncio.sleep(0)  # it begins
        if how == "timed out":
            with pytest.raises(OperationTimeoutError):
                await task
        else:
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.02)
        left = open_sockets(proxy.port)
        proxy.resume()
        await asyncio.sleep(0.3)  # what is sent in the background would arrive
        assert raw.dbsize() == 0, "it went on in the background"
        assert left == 0, "its connection was left open"


async def test_a_walk_that_is_left_early(url: str, raw: redis.Redis) -> None:
    async with RedisSessionStore.from_url(url, max_connections=1) as store:
        await place_probes(store)
        for _ in range(5):
            walk = store.iter_sessions(NEIGHBOUR.with_user(None))
            async for _wait in walk:
                break
            await walk.aclose()
            await probe(store, 1)
        assert connections(raw) == 1


async def test_a_cancelled_holder_gives_its_claim_back(url: str) -> None:
    async with RedisSessionStore.from_url(url) as store:
        await prepare(store)
        held = asyncio.Event()

        async def hold() -> None:
            claim = await store.claim_wait(ALICE, "alice", CHAT)
            assert claim is not None
            async with claim:
                held.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await held.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.park(OTHER, data())
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) == "k"


async def test_a_cancelled_write_happens_whole_or_not_at_all(url: str) -> None:
    async with RedisSessionStore.from_url(url) as store:
        for point in range(1, 6):
            for late in (False, True):
                scope = ReplyScope(f"chat-{point}-{late}")
                call = store.register_wait(ALICE, "alice", scope, f"k-{point}-{late}", data(), MINUTE)
                await asyncio.gather(asyncio.create_task(run(CancelledAt(call, point, late=late))), return_exceptions=True)
        listed = await store.list_waits_for_user(ALICE, "alice")
        stored = sorted([wait.key async for wait in store.iter_sessions(ALICE)])
        assert listed == stored
        for key in listed:
            found = await store.find_wait(ALICE, "alice", ReplyScope(key.replace("k-", "chat-")))
            assert found is not None
            assert found.key == key
