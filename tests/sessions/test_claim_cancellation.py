"""Claims whose callers go.

Cancelled anywhere, late, or cut off. The wait is free at once, not after the lease.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from cancelling import CancelledAt
from cluster_servers import Cluster
from races.workers import plain_client
from redis_server import Server
from tcp_proxy import TcpProxy

from greentic_session import InMemorySessionStore, RedisSessionStore, SessionStore
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.errors import ClaimedError, OperationTimeoutError, UnavailableError
from greentic_session.testing._sessions.claims import claim_soon
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, data

pytestmark = pytest.mark.asyncio

LEASE = 600.0
"""A lease that no test outlives, in seconds."""


@pytest.fixture
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client() as raw:
        raw.flushall()
        yield raw


@pytest.fixture(params=["memory", "redis", "cluster", "encrypted"])
def make(request: pytest.FixtureRequest) -> Callable[[], SessionStore]:
    """Makes a store of each kind; those on Redis are empty and forget everything after the test."""
    if request.param == "memory":
        memory = InMemorySessionStore()
        return lambda: memory
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        with plain_client(cluster.url) as client:
            client.flushall()
        return lambda: RedisSessionStore.from_url(cluster.url)
    url: str = request.getfixturevalue("shared").url
    request.getfixturevalue("raw")
    if request.param == "redis":
        return lambda: RedisSessionStore.from_url(url)
    ring = Keyring(EncryptionKey("k1", bytes(32)))
    return lambda: EncryptedSessionStore(RedisSessionStore.from_url(url), ring)


async def run(attempt: CancelledAt) -> object:
    return await attempt


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "arrived"])
async def test_between_every_step(make: Callable[[], SessionStore], *, late: bool) -> None:
    async with make() as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)
        point = 0
        cancelled = True
        while cancelled:
            point += 1
            attempt = CancelledAt(store.claim_wait(ALICE, "alice", CHAT, lease=LEASE), point, late=late)
            [end] = await asyncio.gather(asyncio.create_task(run(attempt)), return_exceptions=True)
            cancelled = attempt.cancelled
            assert isinstance(end, asyncio.CancelledError) is cancelled, end
            if cancelled:
                await (await claim_soon(store)).release()


async def race(make: Callable[[], SessionStore], rounds: int) -> None:
    """Let runners claim a wait, cancel some at any moment, and claim it for good, repeatedly."""
    chance = random.Random(11)
    async with make() as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)

        async def attempt() -> None:
            try:
                claim = await store.claim_wait(ALICE, "alice", CHAT, lease=LEASE)
            except ClaimedError:
                return
            assert claim is not None
            async with claim:
                await asyncio.sleep(0)

        for _ in range(rounds):
            tasks = [asyncio.create_task(attempt()) for _ in range(4)]
            for task in tasks:
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                if chance.random() < 0.7:
                    task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                assert end is None or isinstance(end, asyncio.CancelledError), end
            await (await claim_soon(store)).release()


async def test_cancellations_at_any_moment(make: Callable[[], SessionStore]) -> None:
    await race(make, 100)


@pytest.mark.slow
async def test_many_rounds_of_cancellations(make: Callable[[], SessionStore]) -> None:
    await race(make, 5_000)


async def test_whoever_cancels_all_tasks_cancels_no_giving_back(make: Callable[[], SessionStore]) -> None:
    async with make() as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)
        held = asyncio.Event()

        async def hold() -> None:
            claim = await store.claim_wait(ALICE, "alice", CHAT, lease=LEASE)
            assert claim is not None
            async with claim:
                held.set()
                await asyncio.Event().wait()

        for sweeps in range(1, 5):
            held.clear()
            task = asyncio.create_task(hold())
            await held.wait()
            for _ in range(sweeps):
                for each in asyncio.all_tasks() - {asyncio.current_task()}:
                    each.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            await (await claim_soon(store)).release()


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "arrived"])
async def test_who_is_cancelled_on_a_cluster_leaves_no_reservation(cluster: Cluster, *, late: bool) -> None:
    async with RedisSessionStore.from_url(cluster.url) as store:
        for name in ("create", "register"):
            point = 0
            cancelled = True
            while cancelled:
                point += 1
                key = f"{name}-{point}-{late}"
                creating = store.create_session(ALICE, data(), key=key)
                registering = store.register_wait(ALICE, "alice", CHAT, key, data())
                call, other = (creating, registering) if name == "create" else (registering, creating)
                other.close()
                attempt = CancelledAt(call, point, late=late)
                await asyncio.gather(asyncio.create_task(run(attempt)), return_exceptions=True)
                cancelled = attempt.cancelled
                with plain_client(cluster.url) as raw:
                    give_up = time.monotonic() + 5
                    while raw.exists(f"greentic:session:owner:{key}") and await store.get_session(key) is None:
                        assert time.monotonic() < give_up, "a reservation is left"
                        await asyncio.sleep(0.001)


async def test_a_late_claim_takes_effect_and_is_given_back(shared: Server, raw: redis.Redis) -> None:
    async with RedisSessionStore.from_url(shared.url, timeout=0.1) as store, RedisSessionStore.from_url(shared.url) as other:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)
        await (await claim_soon(store)).release()  # the server knows the scripts
        raw.client_pause(60_000, all=False)  # scripts wait; what waits is run in its order, later
        with pytest.raises(OperationTimeoutError):
            await store.claim_wait(ALICE, "alice", CHAT, lease=LEASE)
        raw.client_unpause()
        await (await claim_soon(other)).release()


async def test_a_claim_that_was_cut_off_is_given_back(shared: Server, proxy: TcpProxy, raw: redis.Redis) -> None:
    async with RedisSessionStore.from_url(proxy.url) as store, RedisSessionStore.from_url(shared.url) as other:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)
        await (await claim_soon(store)).release()
        proxy.cut(after=0)
        with pytest.raises(UnavailableError):
            await store.claim_wait(ALICE, "alice", CHAT, lease=LEASE)
        await (await claim_soon(other)).release()


async def test_a_cancelled_claim_is_given_back_by_a_store_that_is_closed_at_once(server: Server, raw: redis.Redis) -> None:
    async with RedisSessionStore.from_url(server.url) as other:
        store = RedisSessionStore.from_url(server.url)
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)
        await (await claim_soon(store)).release()
        claiming = asyncio.create_task(store.claim_wait(ALICE, "alice", CHAT, lease=LEASE))
        await asyncio.sleep(0)  # it is sent
        claiming.cancel()
        await store.aclose()  # begins before the cancelled task runs
        with pytest.raises(asyncio.CancelledError):
            await claiming
        await (await claim_soon(other)).release()
