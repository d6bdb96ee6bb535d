"""Failovers under load.

What was acknowledged is there, every call ends in time, and the store goes on.
"""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from patience import AT_ONCE
from redis_server import Server
from sentinel_servers import NAME, Fleet

from greentic_session import RedisSessionStore, SessionStore
from greentic_session._redis.client import RedisClient
from greentic_session._redis.sentinel_service import _PROMOTION_TIMEOUT_S, _Primary
from greentic_session.backends.redis.single import RedisBackend
from greentic_session.errors import GreenticError, OperationTimeoutError, UnavailableError
from greentic_session.testing._sessions.samples import ALICE, data

pytestmark = pytest.mark.asyncio

TIMEOUT = 1.5
"""Of a call, in seconds."""
LATE = TIMEOUT + AT_ONCE
"""After how many seconds a call has not ended in time, on a busy machine."""


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Servers of the test's own, to be broken."""
    with Fleet() as fleet:
        yield fleet


class Load:
    """Writers that go on whatever happens, and remember what came of it and when.

    Attributes:
        acknowledged: The keys of sessions, each with the moment when its creation had been
            acknowledged.
        errors: What calls ended in else.
        longest: For how many seconds the longest call went on.
    """

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.acknowledged: dict[str, float] = {}
        self.errors: list[GreenticError] = []
        self.longest = 0.0

    async def write(self) -> None:
        while True:
            key, began = uuid.uuid4().hex, time.monotonic()
            try:
                await self.store.create_session(ALICE, data(node=key), key=key)
                self.acknowledged[key] = time.monotonic()
            except GreenticError as error:
                self.errors.append(error)
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(0.002)

    def since(self, moment: float) -> int:
        """Return how many creations were acknowledged since a moment."""
        return sum(when > moment for when in tuple(self.acknowledged.values()))

    def check(self) -> None:
        """Check that every call ended in time, in success or in an error that a caller expects."""
        assert self.longest < LATE
        assert {type(error) for error in self.errors} <= {UnavailableError, OperationTimeoutError}
        assert not [error for error in self.errors if "read-only" in str(error)]


@asynccontextmanager
async def loaded(store: SessionStore, writers: int = 10) -> AsyncIterator[Load]:
    load = Load(store)
    tasks = [asyncio.create_task(load.write()) for _ in range(writers)]
    try:
        await asyncio.sleep(0.3)
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def stored(fleet: Fleet, server: Server, namespace: str) -> set[str]:
    """Return the keys of the sessions that a server has."""
    front = f"{namespace}:session:"
    with fleet.raw(server) as raw:
        return {key.decode().removeprefix(front) for key in raw.scan_iter(f"{front}*", count=5000)}


def everything(fleet: Fleet, server: Server) -> dict[bytes, Any]:
    """Return all that a server stores, byte by byte."""
    with fleet.raw(server) as raw:
        keys: Any = raw.keys("*")
        return {key: raw.dump(key) for key in keys}


async def goes_on(load: Load) -> None:
    """Return when writes are acknowledged again."""
    start = time.monotonic()
    await until(lambda: load.since(start) > 20)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the fleet is like this; it is asked beside the loop."""
    await asyncio.to_thread(Fleet.until, condition)


async def leads_to(link: RedisClient, server: Server) -> None:
    """Return when a link has a connection to this server, and no other."""
    async with asyncio.timeout(3 * TIMEOUT):
        while [lane.node for lane in link._connections.current] != [f"127.0.0.1:{server.port}"]:
            await link.call(("PING",), repeatable=True)
            await asyncio.sleep(0.02)


def links(store: RedisSessionStore) -> tuple[RedisClient, RedisClient]:
    """Return what a store writes by, and what it reads by."""
    backend = store._backend
    assert isinstance(backend, RedisBackend)
    assert isinstance(backend._reading, RedisClient)
    return backend._client, backend._reading


def promoted(fleet: Fleet, old: Server) -> list[Server]:
    """Return what has become a primary beside the old one, as soon as it has."""
    found: list[Server] = []

    def is_there() -> bool:
        found[:] = [server for server in fleet.servers if server is not old and fleet.role(server)[0] == b"master"]
        return bool(found)

    Fleet.until(is_there)
    return found


def agree(fleet: Fleet, old: Server) -> bool:
    try:
        return fleet.primary is not old
    except AssertionError:
        return False


async def test_a_switch_that_was_asked_for(fleet: Fleet) -> None:
    namespace, old = "clean", fleet.primary
    async with RedisSessionStore.from_url(fleet.url, namespace=namespace, timeout=TIMEOUT) as store, loaded(store) as load:
        before = set(load.acknowledged)
        await asyncio.to_thread(fleet.fail_over)
        await until(lambda: agree(fleet, old))
        await goes_on(load)
        switched = time.monotonic()
        scripts = fleet.calls(old, "evalsha")
        await asyncio.sleep(0.5)
        # The old primary would still take writes, but it gets none.
        assert fleet.role(old)[0] == b"master"
        assert fleet.calls(old, "evalsha") == scripts
        assert load.since(switched) > 10
        await store.health()
    load.check()
    assert len(before) > 20
    there = stored(fleet, fleet.primary, namespace)
    assert before - there == set()
    lost = load.acknowledged.keys() - there
    assert len(lost) < len(load.acknowledged) / 50  # what the old primary had not yet sent to the new one


async def test_a_switch_that_nobody_told_of_is_noticed(fleet: Fleet) -> None:
    async with RedisSessionStore.from_url(fleet.url, namespace="n", timeout=TIMEOUT) as store, loaded(store, 2) as load:
        old = fleet.primary
        finder = links(store)[0]._finder
        assert isinstance(finder, _Primary)
        for sentinel in finder._service._sentinels:
            assert sentinel._wire is not None
            sentinel._wire._tell = lambda *_: None  # these subscriptions are of no use
        await asyncio.to_thread(fleet.fail_over)
        await until(lambda: agree(fleet, old))
        await leads_to(links(store)[0], fleet.primary)
        await goes_on(load)
    load.check()


@pytest.mark.slow
async def test_a_switch_that_only_its_leader_knows_is_kept_to(fleet: Fleet) -> None:
    """The leader has told of it and says nothing more.

    The others name the old primary, and what that took would be lost.
    """
    timeout, old = 0.6, fleet.primary
    async with RedisSessionStore.from_url(fleet.url, namespace="n", timeout=timeout) as store, loaded(store) as load:
        await asyncio.to_thread(fleet.fail_over)  # sentinel 0 leads this
        (new,) = await asyncio.to_thread(promoted, fleet, old)
        fleet.pause_sentinel(0)
        try:
            await leads_to(links(store)[0], new)
            scripts, calm = fleet.calls(old, "evalsha"), len(load.errors)
            # The sentinels are asked in this time, and the promise is forgotten.
            await asyncio.sleep(_PROMOTION_TIMEOUT_S + 2 * timeout)
            assert b"%d" % old.port in fleet.ask(1, "GET-MASTER-ADDR-BY-NAME", NAME)
            assert len(load.errors) == calm
            assert fleet.calls(old, "evalsha") == scripts
        finally:
            fleet.resume_sentinel(0)
    load.check()


async def test_what_is_told_and_is_not_so_is_soon_forgotten(fleet: Fleet) -> None:
    async with RedisSessionStore.from_url(fleet.url, namespace="n", timeout=TIMEOUT) as store, loaded(store, 2) as load:
        finder = links(store)[0]._finder
        assert isinstance(finder, _Primary)
        primary = fleet.primary
        finder._service._switched(("127.0.0.1", fleet.replicas[0].port), done=True)
        await goes_on(load)
        assert [lane.node for lane in links(store)[0]._connections.current] == [f"127.0.0.1:{primary.port}"]
    load.check()


async def test_a_primary_that_dies(fleet: Fleet) -> None:
    namespace, old = "killed", fleet.primary
    async with RedisSessionStore.from_url(fleet.url, namespace=namespace, timeout=TIMEOUT) as store, loaded(store) as load:
        before = set(load.acknowledged)
        await asyncio.sleep(0.2)  # until its replicas have them
        old.kill()
        await asyncio.sleep(0.05)
        with pytest.raises(UnavailableError):
            await store.get_session("k")
        await goes_on(load)
        await until(lambda: agree(fleet, old))  # the store need not wait for that
    load.check()
    assert load.errors
    assert before - stored(fleet, fleet.primary, namespace) == set()


async def test_reads_follow_the_replicas(fleet: Fleet) -> None:
    async with RedisSessionStore.from_url(fleet.url, namespace="n", timeout=TIMEOUT, stale_reads=True) as store:
        await store.create_session(ALICE, data(), key="k")
        fleet.catch_up(fleet.primary)
        old = fleet.primary
        await asyncio.to_thread(fleet.fail_over)
        reads = 0
        while not await asyncio.to_thread(agree, fleet, old):
            assert await store.get_session("k") == data()  # replicas serve all the time
            reads += 1
        (reader,) = [server for server in fleet.replicas if server is not old]
        await leads_to(links(store)[1], reader)
        assert await store.get_session("k") == data()
        assert reads > 3


@pytest.mark.slow
async def test_an_old_primary_that_comes_back_is_never_written(fleet: Fleet) -> None:
    namespace, old = "back", fleet.primary
    async with RedisSessionStore.from_url(fleet.url, namespace=namespace, timeout=TIMEOUT) as store, loaded(store) as load:
        old.kill()
        await goes_on(load)
        calm = len(load.errors)
        await asyncio.to_thread(old.start)  # it takes itself for the primary, until the sentinels tell it
        await until(fleet.is_settled)
        assert fleet.role(old)[0] == b"slave"
        assert len(load.errors) == calm  # nobody noticed
        await goes_on(load)
        assert fleet.calls(old, "evalsha") + fleet.calls(old, "eval") == 0
    load.check()
    fleet.catch_up(fleet.primary)
    contents = [everything(fleet, server) for server in fleet.servers]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) > 100


@pytest.mark.slow
async def test_a_primary_that_is_silent_and_comes_back(fleet: Fleet) -> None:
    namespace, old = "silent", fleet.primary
    async with RedisSessionStore.from_url(fleet.url, namespace=namespace, timeout=TIMEOUT) as store, loaded(store) as load:
        before = set(load.acknowledged)
        await asyncio.sleep(0.2)
        old.signal(signal.SIGSTOP)
        try:
            await goes_on(load)
        finally:
            old.signal(signal.SIGCONT)
        calm = len(load.errors)
        await until(fleet.is_settled)
        assert len(load.errors) == calm
        await goes_on(load)
    load.check()
    assert before - stored(fleet, fleet.primary, namespace) == set()
    fleet.catch_up(fleet.primary)
    assert everything(fleet, old) == everything(fleet, fleet.primary)


@pytest.mark.slow
async def test_switch_after_switch(fleet: Fleet) -> None:
    namespace = "again"
    url = fleet.url
    async with RedisSessionStore.from_url(url, namespace=namespace, timeout=TIMEOUT, stale_reads=True) as store:
        async with loaded(store, 20) as load:
            safe: set[str] = set()
            for _ in range(3):
                old = fleet.primary
                safe = set(load.acknowledged)
                await asyncio.to_thread(fleet.fail_over)
                await until(partial(agree, fleet, old))
                await goes_on(load)
                await until(fleet.is_settled)
        load.check()
        there = stored(fleet, fleet.primary, namespace)
        lost = load.acknowledged.keys() - there
        assert len(lost) < len(load.acknowledged) / 100
        assert len(safe - there) < len(load.acknowledged) / 100
