"""Faults of Redis and the network under conversations: a named error, nothing half done."""

import asyncio
import signal
import uuid
from collections.abc import Awaitable
from typing import Any

import pytest
import redis
from cancelling import CancelledAt
from conversation_keys import check, everything
from conversation_operations import OPERATIONS, READS, WRITES, Operation, prepare
from patience import PATIENT, impatient
from redis_server import Server, free_port
from tcp_proxy import TcpProxy

from greentic_session.conversation import Message, RedisConversationStore
from greentic_session.errors import GreenticError, InvalidInputError, OperationTimeoutError, UnavailableError
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said, texts

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]


def fresh(url: str, **options: Any) -> Store:
    return RedisConversationStore.from_url(url, namespace=f"test-{uuid.uuid4().hex}", **{**PATIENT, **options})


async def failure(call: Awaitable[object], kind: type[GreenticError], message: str) -> None:
    with pytest.raises(GreenticError, match=message) as caught:
        await call
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None


async def works(store: Store) -> None:
    id = str(uuid.uuid4())
    await store.create(OPS, id=id)
    assert await store.append(OPS, id, *said("x")) == 1
    assert await texts(store, id=id) == ["x"]


def named(operation: Operation) -> str:
    return operation.name


# -- the way to the server


CUTS = pytest.mark.parametrize(("after", "reset"), [(0, False), (0, True), (2, False)], ids=["end", "reset", "cut"])


@CUTS
@pytest.mark.parametrize("operation", READS, ids=named)
async def test_a_read_is_repeated_once_when_its_connection_dies(
    proxy: TcpProxy, operation: Operation, *, after: int, reset: bool
) -> None:
    async with fresh(proxy.url) as store:
        held = await prepare(store)
        expected = await operation.call(store, held)
        proxy.commands.clear()
        proxy.cut(after=after, reset=reset)
        assert await operation.call(store, held) == expected
        assert len(proxy.commands) == 2


@CUTS
@pytest.mark.parametrize("operation", WRITES, ids=named)
async def test_a_write_is_never_repeated(
    proxy: TcpProxy, shared: Server, operation: Operation, *, after: int, reset: bool
) -> None:
    async with fresh(shared.url) as other:  # the script is loaded
        await operation.call(other, await prepare(other))
    async with fresh(proxy.url) as store:
        held = await prepare(store)
        proxy.commands.clear()
        proxy.cut(after=after, skip=operation.calls - 1, reset=reset)
        await failure(operation.call(store, held), UnavailableError, "connection to Redis failed")
        assert len(proxy.commands) == operation.calls
        await works(store)


@pytest.mark.parametrize("use", ["load", "messages"])
async def test_a_read_that_begins_a_lifetime_is_a_write(proxy: TcpProxy, use: str) -> None:
    async with fresh(proxy.url, ttl=60, sliding=True) as store:
        await prepare(store)
        await getattr(store, use)(OPS, "c")
        proxy.commands.clear()
        proxy.cut(after=0)
        await failure(getattr(store, use)(OPS, "c"), UnavailableError, "connection to Redis failed")
        assert len(proxy.commands) == 1
        await works(store)


async def test_silence_ends_every_operation_in_time(proxy: TcpProxy) -> None:
    async with fresh(proxy.url) as store:
        held = await prepare(store)
        proxy.stall()
        with impatient(store):
            ends = await asyncio.gather(*(operation.call(store, held) for operation in OPERATIONS), return_exceptions=True)
        proxy.resume()
        for operation, end in zip(OPERATIONS, ends, strict=True):
            assert type(end) is (UnavailableError if operation.name == "health" else OperationTimeoutError), operation.name
        await works(store)


async def test_a_refused_connection(proxy: TcpProxy) -> None:
    async with fresh(proxy.url) as store:
        held = await prepare(store)
        proxy.refuse()
        for operation in (READS[0], WRITES[2], WRITES[5]):
            await failure(operation.call(store, held), UnavailableError, "connection to Redis failed")
        await proxy.allow()
        await works(store)


# -- the server


async def test_a_server_that_is_full(server: Server) -> None:
    for sliding in (False, True):
        for operation in OPERATIONS:
            async with fresh(server.url, ttl=60, sliding=sliding) as store:
                held = await prepare(store)
                with server.client() as raw:
                    before = everything(raw)
                    raw.config_set("maxmemory", 1)
                    if operation.grows:
                        await failure(operation.call(store, held), UnavailableError, "out of memory")
                        assert everything(raw) == before, operation.name
                    else:
                        await operation.call(store, held)  # reading goes on, and so does whatever frees memory
                    raw.config_set("maxmemory", 0)
                await works(store)


async def test_a_replica(server: Server) -> None:
    for operation in OPERATIONS:
        async with fresh(server.url) as store:
            held = await prepare(store)
            with server.client() as raw:
                before = everything(raw)
                raw.replicaof("127.0.0.1", free_port())  # nobody there: it keeps its data
                if operation.writes:
                    await failure(operation.call(store, held), UnavailableError, "read-only replica")
                else:
                    await operation.call(store, held)
                assert everything(raw) == before, operation.name
                raw.replicaof("NO", "ONE")
            await works(store)


async def test_what_has_expired_fails_no_list_on_a_replica(server: Server) -> None:
    async with fresh(server.url) as store:
        await prepare(store)
        await store.create(OPS, id="d")
        with server.client() as raw:
            raw.delete(*raw.keys("*:conv:head:*:c"))
            raw.replicaof("127.0.0.1", free_port())
        assert [summary.id for summary in await store.list(OPS)] == ["d"]
        assert [summary.id for summary in await store.list(OPS, limit=1)] == ["d"]


async def test_scripts_that_the_server_forgets_are_loaded_again(server: Server) -> None:
    async with fresh(server.url) as store:
        for operation in OPERATIONS:
            held = await prepare(store)
            with server.client() as raw:
                raw.script_flush()
            await operation.call(store, held)


async def test_a_stopped_server(server: Server) -> None:
    async with fresh(server.url) as store:
        await works(store)
        server.signal(signal.SIGSTOP)
        try:
            with impatient(store):
                await failure(store.append(OPS, "c", *said("x")), OperationTimeoutError, "in time")
        finally:
            server.signal(signal.SIGCONT)
        await works(store)


# -- users


USER = "on >pass resetchannels ~{ns}:conv:* +zscan +ping +evalsha +eval"
COMMANDS = (
    "+exists +hget +hgetall +hincrby +hmget +hset +lindex +llen +lpush +lrange +ltrim +persist +pexpire +pexpireat +pttl "
    "+rpush +time +unlink +zadd +zcard +zcount +zrange +zrangebyscore +zrem +zscore"
)
"""What the scripts call."""


async def test_the_commands_that_a_user_needs(server: Server) -> None:
    with server.client() as raw:
        raw.execute_command("ACL", "SETUSER", "greentic", *USER.format(ns="n").split(), *COMMANDS.split())
    used: set[str] = set()
    url = f"redis://greentic:pass@127.0.0.1:{server.port}"
    every: list[dict[str, Any]] = [{}, {"ttl": 60}, {"ttl": 60, "sliding": True}]
    for options in every:
        async with RedisConversationStore.from_url(url, namespace="n", **options) as store:
            for operation in OPERATIONS:
                held = await prepare(store)
                await operation.call(store, held)
                await store.purge(OPS)
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said(*["x"] * 1000))
            assert len(await texts(store, last=1)) == 1
            await store.purge(OPS)
    with server.client() as raw:
        stats: Any = raw.info("commandstats")
    used = {name.removeprefix("cmdstat_").partition("|")[0] for name in stats}
    allowed = {name.removeprefix("+") for name in (USER + " " + COMMANDS).split() if name.startswith("+")}
    rare = {"hget", "zcount", "zscore", "zrangebyscore"}
    assert allowed - rare <= used | {"eval"}
    with server.client() as raw:
        raw.execute_command("ACL", "SETUSER", "greentic", "-rpush")
    async with RedisConversationStore.from_url(url, namespace="n") as store:
        await store.create(OPS, id="c")
        with pytest.raises(GreenticError, match="the Redis user may not do this"):
            await store.append(OPS, "c", *said("x"))


# -- cancellation


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "arrived"])
@pytest.mark.parametrize("warm", [False, True], ids=["connecting", "connected"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
async def test_every_await_point_of_every_operation(shared: Server, operation: Operation, *, warm: bool, late: bool) -> None:
    async def run(attempt: CancelledAt) -> object:
        return await attempt

    namespace = f"test-{uuid.uuid4().hex}"
    with shared.client() as raw:
        async with RedisConversationStore.from_url(shared.url, namespace=namespace, max_connections=2, ttl=600) as store:
            for index, partition in enumerate(PARTITIONS[1:4]):
                await store.create(partition, id="probe", model=str(index))
            point, cancelled = 0, True
            while cancelled:
                point += 1
                await store.purge(OPS)
                held = await prepare(store)
                if not warm:
                    raw.script_flush()
                    raw.client_kill_filter(_type="normal", skipme=True)
                    await asyncio.sleep(0.005)  # the ends of the connections arrive
                attempt = CancelledAt(operation.call(store, held), point, late=late)
                [end] = await asyncio.gather(asyncio.create_task(run(attempt)), return_exceptions=True)
                cancelled = attempt.cancelled
                assert isinstance(end, asyncio.CancelledError if cancelled else object), f"lost at point {point}: {end!r}"
                assert cancelled or not isinstance(end, BaseException)
                probes = await asyncio.gather(*(store.load(partition, "probe") for partition in PARTITIONS[1:4]))
                assert [probe.model for probe in probes] == ["0", "1", "2"]
                listed = {summary.id: summary.message_count for summary in await store.list(OPS)}
                assert listed.get("c") in (3, operation.leaves)
                check(raw, namespace)
            assert point > (1 if warm else 2)  # there was something to cancel


async def test_an_option_of_the_connection_that_redis_py_does_not_know(shared: Server) -> None:
    options: list[dict[str, Any]] = [{"max_connections": 0}, {"timeout": 0}, {"ssl_cert_reqs": "x"}]
    for wrong in options:
        with pytest.raises(InvalidInputError):
            RedisConversationStore.from_url(shared.url.replace("redis://", "rediss://"), **wrong)
    client: Any = redis.Redis()
    with pytest.raises(TypeError, match=r"redis\.asyncio\.Redis"):
        RedisConversationStore(client)
