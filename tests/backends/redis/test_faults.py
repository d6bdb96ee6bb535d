"""What the Redis store does when Redis, or what lies between, breaks.

The error that the contract names, then recovery.
"""

import asyncio
import inspect
import signal
import socket
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
import redis
from patience import AT_ONCE, PATIENCE, PATIENT, SHORT, client_of, impatient, until
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as DriverConnectionError
from redis_operations import OPERATIONS, OTHER, READS, WRITES, Operation, prepare
from redis_server import Server, free_port, kill_under_load
from tcp_proxy import TcpProxy

from greentic_session import RedisSessionStore, SessionStore
from greentic_session.errors import (
    GreenticError,
    InternalError,
    OperationTimeoutError,
    UnauthenticatedError,
    UnavailableError,
)
from greentic_session.models import ReplyScope
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, data

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def proxy(shared: Server) -> AsyncIterator[TcpProxy]:
    with shared.client() as raw:
        raw.flushall()  # a walk is as many commands as the test counts on only while there are few keys
    async with TcpProxy(shared.port) as proxy:
        yield proxy


def fresh(url: str, **options: Any) -> RedisSessionStore:
    return RedisSessionStore.from_url(url, namespace=f"test-{uuid.uuid4().hex}", **{**PATIENT, **options})


@pytest_asyncio.fixture
async def store(proxy: TcpProxy) -> AsyncIterator[RedisSessionStore]:
    async with fresh(proxy.url) as store:
        yield store


async def failure(call: Awaitable[object], kind: type[GreenticError], message: str) -> GreenticError:
    """Return the error that a call ends in.

    Of exactly this kind, with the driver's error as its cause.
    """
    with pytest.raises(GreenticError, match=message) as caught:
        await call
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
    return caught.value


def everything(server: Server, prefix: str = "") -> dict[bytes, Any]:
    """Return all that a server stores, byte by byte."""
    with server.client() as raw:
        keys: Any = raw.keys(f"{prefix}*")
        return {key: raw.dump(key) for key in keys}


async def works(store: SessionStore) -> None:
    """Check that a store reads and writes."""
    key = str(uuid.uuid4())
    await store.create_session(ALICE, data(node=key), key=key, ttl=MINUTE)
    assert await store.get_session(key) == data(node=key)


def named(operation: Operation) -> str:
    return operation.name


# -- the connection: refused, reset, cut in the middle of a reply, silent


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
async def test_a_refused_connection(proxy: TcpProxy, store: RedisSessionStore, operation: Operation) -> None:
    await prepare(store)
    call = await operation.ready(store)
    proxy.refuse()
    await failure(call(), UnavailableError, "connection to Redis failed")
    await proxy.allow()
    await works(store)


CUTS = pytest.mark.parametrize(
    ("after", "reset"), [(0, False), (0, True), (2, False), (2, True)], ids=["end", "reset", "cut", "cut+reset"]
)


@CUTS
@pytest.mark.parametrize("operation", READS, ids=named)
async def test_a_read_is_repeated_once_when_its_connection_dies(
    proxy: TcpProxy, store: RedisSessionStore, operation: Operation, *, after: int, reset: bool
) -> None:
    await prepare(store)
    expected = await (await operation.ready(store))()  # its script is loaded now
    call = await operation.ready(store)
    proxy.commands.clear()
    proxy.cut(after=after, skip=operation.calls - 1, reset=reset)
    assert await call() == expected
    assert len(proxy.commands) == operation.calls + 1
    assert proxy.commands[-2] == proxy.commands[-1]


async def test_a_read_is_not_repeated_twice(proxy: TcpProxy, store: RedisSessionStore) -> None:
    await prepare(store)
    proxy.cut(after=2, times=2)
    connections = proxy.accepted
    await failure(store.get_session("k"), UnavailableError, "connection to Redis failed")
    assert proxy.accepted - connections == 1
    await works(store)


@CUTS
@pytest.mark.parametrize("operation", WRITES, ids=named)
async def test_a_write_is_never_repeated(
    proxy: TcpProxy, store: RedisSessionStore, shared: Server, operation: Operation, *, after: int, reset: bool
) -> None:
    async with fresh(shared.url) as other:  # the script is loaded
        await prepare(other)
        await (await operation.ready(other))()
    await prepare(store)
    call = await operation.ready(store)
    proxy.commands.clear()
    proxy.cut(after=after, skip=operation.calls - 1, reset=reset)
    await failure(call(), UnavailableError, "connection to Redis failed")
    assert len(proxy.commands) == operation.calls
    await works(store)


async def test_the_retries_of_a_callers_client_are_not_taken_over(proxy: TcpProxy) -> None:
    client = Redis.from_url(
        proxy.url, retry=Retry(NoBackoff(), 10), retry_on_timeout=True, retry_on_error=[DriverConnectionError]
    )
    async with RedisSessionStore(client, namespace=f"test-{uuid.uuid4().hex}", timeout=PATIENCE) as mine:
        await prepare(mine)
        proxy.commands.clear()
        proxy.cut(after=2)
        await failure(prepare(mine), UnavailableError, "connection to Redis failed")
        assert proxy.commands == ["EVALSHA"]
    await client.aclose()


async def test_silence_ends_every_operation_in_time(proxy: TcpProxy) -> None:
    stores = [fresh(proxy.url) for _ in OPERATIONS]
    calls = []
    for mine, operation in zip(stores, OPERATIONS, strict=True):
        await prepare(mine)
        calls.append(await operation.ready(mine))
    proxy.stall()
    started = time.monotonic()
    with impatient(*stores):
        ends = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
    took = time.monotonic() - started
    proxy.resume()
    for operation, end in zip(OPERATIONS, ends, strict=True):
        kind = UnavailableError if operation.name == "health" else OperationTimeoutError  # health promises that one
        assert type(end) is kind, operation.name
        assert "in time" in str(end)
    assert SHORT <= took < AT_ONCE
    for mine in stores:
        await works(mine)
        await mine.aclose()


async def test_silence_while_connecting(proxy: TcpProxy) -> None:
    proxy.stall()
    async with fresh(proxy.url) as store:
        started = time.monotonic()
        with impatient(store):
            await failure(store.get_session("k"), OperationTimeoutError, "in time")
        assert SHORT <= time.monotonic() - started < AT_ONCE
        proxy.resume()
        await works(store)


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that answers nobody who wants to connect: its queue of the accepted is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].settimeout(0)
            waiting[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for client in waiting:
            client.close()


@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
async def test_a_host_that_swallows_packets(black_hole: int, option: str) -> None:
    options: dict[str, Any] = {option: SHORT}
    async with fresh(f"redis://127.0.0.1:{black_hole}", **options) as store:
        started = time.monotonic()
        await failure(store.create_session(ALICE, data()), OperationTimeoutError, "in time")
        assert SHORT <= time.monotonic() - started < AT_ONCE


async def test_timeouts_in_a_url_or_of_redis_py_hold_too(proxy: TcpProxy, black_hole: int) -> None:
    proxy.stall()
    for url in (f"{proxy.url}?socket_timeout={SHORT}", f"redis://127.0.0.1:{black_hole}?socket_connect_timeout={SHORT}"):
        async with fresh(url) as store:
            started = time.monotonic()
            await failure(store.get_session("k"), OperationTimeoutError, "in time")
            assert SHORT <= time.monotonic() - started < AT_ONCE


async def test_waiting_for_a_connection_counts(proxy: TcpProxy) -> None:
    async with fresh(proxy.url, max_connections=1) as store:
        await store.health()
        proxy.stall()
        started = time.monotonic()
        calls = [failure(store.get_session("k"), OperationTimeoutError, "in time") for _ in range(5)]
        with impatient(store):
            await asyncio.gather(*calls)
        assert SHORT <= time.monotonic() - started < AT_ONCE
        proxy.resume()
        await works(store)


async def test_there_are_timeouts_by_default() -> None:
    options = inspect.signature(RedisSessionStore.from_url).parameters
    assert (options["timeout"].default, options["connect_timeout"].default) == (5.0, 5.0)
    assert inspect.signature(RedisSessionStore).parameters["timeout"].default == 5.0


@pytest.mark.slow
async def test_the_default_timeout_ends_a_call(proxy: TcpProxy) -> None:
    async with RedisSessionStore.from_url(proxy.url) as store:
        await store.health()
        proxy.stall()
        started = time.monotonic()
        await failure(store.get_session("k"), OperationTimeoutError, "in time")
        assert 4.9 <= time.monotonic() - started < 5 + AT_ONCE


@pytest.mark.slow
async def test_a_timeout_may_be_longer_than_the_drivers(proxy: TcpProxy) -> None:
    async with fresh(proxy.url) as store:
        await prepare(store)
        proxy.stall()
        asyncio.get_running_loop().call_later(6, proxy.resume)
        assert await store.get_session("k") == data()


async def test_whoever_speaks_no_redis() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with fresh(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}") as store:
        await failure(store.health(), UnavailableError, "does not speak Redis's protocol")
        await failure(prepare(store), UnavailableError, "does not speak Redis's protocol")
    web.close()


async def test_no_failure_shows_the_password() -> None:
    with Server("--requirepass", "hunter-2") as server:
        async with TcpProxy(server.port) as proxy:
            right, wrong = (f"redis://:{word}@127.0.0.1:{proxy.port}" for word in ("hunter-2", "hunter-3"))
            async with fresh(right) as store, fresh(wrong) as stranger:
                await works(store)
                proxy.cut(after=2)
                errors = [await failure(prepare(store), UnavailableError, "connection")]
                proxy.stall()
                with impatient(store):
                    errors.append(await failure(prepare(store), OperationTimeoutError, "in time"))
                proxy.resume()
                errors.append(await failure(prepare(stranger), UnauthenticatedError, "refused the username"))
                proxy.refuse()
                errors.append(await failure(prepare(store), UnavailableError, "connection"))
            for error in errors:
                # Without the lines of source: those are this test's.
                shown = traceback.TracebackException.from_exception(error)
                assert "hunter" not in "".join(shown.format_exception_only()) + repr(error) + repr(error.__cause__)


# -- the server: stopped, killed, loading, full, a replica, busy, used by somebody else


async def test_a_stopped_server(server: Server) -> None:
    async with fresh(server.url) as store, fresh(server.url) as stranger:
        await works(store)
        server.signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            with impatient(store, stranger):
                await failure(store.get_session("k"), OperationTimeoutError, "in time")
                await failure(prepare(store), OperationTimeoutError, "in time")
                await failure(stranger.health(), UnavailableError, "in time")  # the kernel accepts the connection
            assert time.monotonic() - started < 3 * AT_ONCE
        finally:
            server.signal(signal.SIGCONT)
        for each in (store, stranger):
            await works(each)


async def test_idle_connections_that_the_server_has_closed_cost_nothing(server: Server) -> None:
    async with fresh(server.url) as store:
        await asyncio.gather(*(works(store) for _ in range(5)))
        with server.client() as raw:
            raw.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: not client_of(store)._connections.current, "the loss is not seen")
        await prepare(store)  # a write, which would not be repeated
        server.kill()
        server.start()
        await until(lambda: not client_of(store)._connections.current, "the loss is not seen")
        await prepare(store)
        assert await store.get_session("k") == data()


class Load:
    """Writers that go on whatever happens, and remember what was acknowledged to them."""

    def __init__(self, store: SessionStore, writers: int) -> None:
        self.store = store
        self.acknowledged: dict[str, str] = {}
        self.errors: list[GreenticError] = []
        self.done = asyncio.Event()
        self.tasks = [asyncio.create_task(self._write(number)) for number in range(writers)]

    async def _write(self, number: int) -> None:
        count = 0
        while not self.done.is_set():
            count += 1
            key = f"{number}-{count}"
            scope = ReplyScope(f"chat-{key}")
            try:
                await self.store.register_wait(ALICE, "alice", scope, key, data(node=f"a{count}"))
                self.acknowledged[key] = f"a{count}"
                await self.store.update_session(key, data(node=f"b{count}"))
                self.acknowledged[key] = f"b{count}"
            except GreenticError as error:
                self.errors.append(error)
                await asyncio.sleep(0.01)

    async def run(self, more: int) -> None:
        """Return when so many more writes have been acknowledged."""
        wanted = len(self.acknowledged) + more
        while len(self.acknowledged) < wanted:
            for task in self.tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.done.set()
        await asyncio.gather(*self.tasks)

    async def check(self) -> None:
        """Every acknowledged write is there, and every wait that is there is whole."""
        listed = set(await self.store.list_waits_for_user(ALICE, "alice"))
        assert set(self.acknowledged) <= listed
        for key in listed:
            found = await self.store.find_wait(ALICE, "alice", ReplyScope(f"chat-{key}"))
            assert found is not None
            assert found.key == key
            count = key.partition("-")[2]
            allowed = [f"a{count}", f"b{count}"]  # the update's fate may be unknown
            if key in self.acknowledged:
                allowed = allowed[allowed.index(self.acknowledged[key]) :]
            assert found.data.cursor.node_pointer in allowed


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.slow)])
async def test_what_was_acknowledged_survives_a_kill(kills: int) -> None:
    with Server("--appendonly", "yes", "--appendfsync", "always") as server:
        async with fresh(server.url) as store:
            load = Load(store, writers=8)
            await kill_under_load(server, load.run, kills)
            await load.stop()
            assert load.errors  # it was under load
            assert {type(error) for error in load.errors} <= {UnavailableError, OperationTimeoutError}
            await load.check()


async def test_scripts_that_the_server_forgets_are_loaded_again(server: Server) -> None:
    async with fresh(server.url) as store:
        load = Load(store, writers=8)
        with server.client() as raw:
            for _ in range(30):
                await load.run(more=10)
                raw.script_flush()
        await load.run(more=10)
        await load.stop()
        assert load.errors == []
        with server.client() as raw:
            stats: Any = raw.info("commandstats")
        assert stats["cmdstat_eval"]["calls"] >= 30
        await load.check()


async def test_a_server_that_is_loading(server: Server) -> None:
    with server.client() as raw:
        raw.config_set("rdbcompression", "no")
        for number in range(40):
            raw.set(f"padding-{number}", b"x" * 500_000)  # it answers every 2 MB that it has loaded
        raw.save()
    server.kill()
    server.options = ("--key-load-delay", "60000")
    server.start(wait=False)
    async with fresh(server.url) as store:
        give_up = time.monotonic() + PATIENCE
        while True:
            with pytest.raises(UnavailableError) as caught:  # at first, nobody listens
                await store.health()
            if "loading" in str(caught.value):
                break
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        await failure(store.get_session("k"), UnavailableError, "loading")
        await failure(prepare(store), UnavailableError, "loading")
        await asyncio.to_thread(server.wait_until_up)
        await works(store)


async def test_a_server_that_is_full(server: Server) -> None:
    refused = {"create_session", "update_session", "register_wait", "claim_wait", "claim.park", "claim.stay", "deliver"}
    for operation in OPERATIONS:
        async with fresh(server.url) as store:
            await prepare(store)
            call = await operation.ready(store)
            before = everything(server)
            with server.client() as raw:
                raw.config_set("maxmemory", 1)
            if operation.name in refused:
                await failure(call(), UnavailableError, "out of memory")
                assert everything(server) == before, operation.name
            else:
                await call()  # reading goes on, and so does whatever frees memory
            with server.client() as raw:
                raw.config_set("maxmemory", 0)
            await works(store)


@contextmanager
def as_a_replica(server: Server, **config: str) -> Iterator[redis.Redis]:
    """Make a server the replica of a primary that is not there, so that it keeps its data."""
    with server.client() as raw:
        for name, value in config.items():
            raw.config_set(name.replace("_", "-"), value)
        raw.replicaof("127.0.0.1", free_port())
        yield raw
        raw.replicaof("NO", "ONE")


async def test_a_replica(server: Server) -> None:
    for operation in OPERATIONS:
        async with fresh(server.url) as store:
            await prepare(store)
            call = await operation.ready(store)
            before = everything(server)
            with as_a_replica(server):
                if operation.writes:
                    await failure(call(), UnavailableError, "read-only replica")
                    assert everything(server) == before, operation.name
                else:
                    await call()
            await works(store)


async def test_a_replica_that_has_lost_its_primary(server: Server) -> None:
    async with fresh(server.url) as store:
        await prepare(store)
        with as_a_replica(server, replica_serve_stale_data="no"):
            await failure(store.get_session("k"), UnavailableError, "replica that has lost its primary")
            await failure(prepare(store), UnavailableError, "replica")
        await works(store)


async def test_a_stale_entry_on_a_replica_fails_no_read(server: Server) -> None:
    async with fresh(server.url) as store:
        await prepare(store)
        with server.client() as raw:
            for key in raw.keys("*:session:k"):
                raw.delete(key)
        with as_a_replica(server):
            assert await store.find_wait(ALICE, "alice", CHAT) is None
            assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None
            assert await store.list_waits_for_user(ALICE, "alice") == []


def is_busy(raw: redis.Redis) -> bool:
    try:
        raw.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


async def test_a_server_that_is_busy(server: Server) -> None:
    def hog() -> None:
        with server.client() as raw, pytest.raises(Exception, match="killed"):
            raw.eval("while true do end", 0)

    async with fresh(server.url) as store:
        await prepare(store)
        with server.client() as raw:
            raw.config_set("lua-time-limit", 20)
        hogging = asyncio.create_task(asyncio.to_thread(hog))
        with server.client() as raw:
            await until(lambda: is_busy(raw), "it never becomes busy")
        try:
            await failure(store.get_session("k"), UnavailableError, "busy")
            await failure(prepare(store), UnavailableError, "busy")
        finally:
            with server.client() as raw:
                raw.script_kill()
            await hogging
        await works(store)


PLACES = {
    "session": "{ns}:session:k",
    "scope": "{ns}:waits:scope:dev:acme:ops:alice:{hash}",
    "set": "{ns}:waits:user:dev:acme:ops:alice",
    "record": "{ns}:own:k",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
async def test_a_key_of_a_wrong_type(shared: Server, place: str) -> None:
    namespace = f"test-{uuid.uuid4().hex}"
    async with RedisSessionStore.from_url(shared.url, namespace=namespace) as store:
        await prepare(store)
        with shared.client() as raw:
            key = place.format(ns=namespace, hash=CHAT.scope_hash())
            raw.delete(key)
            raw.lpush(key, "somebody else's")
        before = everything(shared, namespace)
        await failure(prepare(store), InternalError, "another type")
        assert everything(shared, namespace) == before  # nothing is half written
        if place == PLACES["session"]:
            await failure(store.get_session("k"), InternalError, "another type")
        await store.register_wait(ALICE.with_user("bob"), "bob", OTHER, "b", data(ALICE.with_user("bob")), MINUTE)
