"""Stores behind sentinels.

Which server they use, whom they ask, and what they say when nobody knows.
"""

import asyncio
import inspect
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from patience import until
from redis.asyncio.sentinel import Sentinel
from redis_operations import prepare
from redis_server import Server, free_port
from sentinel_servers import NAME, Fleet, start_sentinel

from greentic_session import RedisSessionStore, ReplyScope, create_session_store
from greentic_session._redis.client import RedisClient
from greentic_session.backends.redis.single import RedisBackend
from greentic_session.conversation import RedisConversationStore, create_conversation_store
from greentic_session.errors import GreenticError, PermissionDeniedError, UnauthenticatedError, UnavailableError
from greentic_session.testing._conversations.samples import OPS, said, texts
from greentic_session.testing._sessions.samples import ALICE, CHAT, data

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Servers that these tests leave as they are."""
    with Fleet() as fleet:
        yield fleet


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex}"


def keys(fleet: Fleet, server: Server, namespace: str, db: int = 0) -> int:
    with server.client(password=fleet.password, db=db) as raw:
        found: Any = raw.keys(f"{namespace}:*")
        return len(found)


def connections(fleet: Fleet, name: str) -> int:
    """Return how many connections of this name the sentinels have."""
    return sum(str(fleet.ask_any(number, "CLIENT", "LIST")).count(f"name={name} ") for number in range(3))


def nodes(store: RedisSessionStore) -> tuple[list[str], list[str]]:
    """Return where a store's connections lead, and those for reading."""
    backend = store._backend
    assert isinstance(backend, RedisBackend)
    assert isinstance(backend._reading, RedisClient)
    return [lane.node for lane in backend._client._connections.current], [
        lane.node for lane in backend._reading._connections.current
    ]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def works(store: RedisSessionStore) -> None:
    async with store:
        await prepare(store)
        assert await store.get_session("k") == data()


# -- to the primary


async def test_sessions_and_conversations_are_at_the_primary(fleet: Fleet, namespace: str) -> None:
    async with (
        create_session_store(f"{fleet.url}/2", namespace=namespace) as sessions,
        create_conversation_store(f"{fleet.url}/2", namespace=namespace) as conversations,
    ):
        await sessions.health()
        await prepare(sessions)
        await conversations.health()
        await conversations.create(OPS, id="c")
    assert keys(fleet, fleet.primary, namespace, db=2) > 3
    assert keys(fleet, fleet.primary, namespace, db=0) == 0


async def test_a_callers_sentinel_is_neither_used_nor_closed(fleet: Fleet, namespace: str) -> None:
    class Untouched(Sentinel):
        async def discover_master(self, service_name: str) -> Any:
            raise AssertionError(service_name)

    sentinel = cast("Any", Untouched)(
        [("127.0.0.1", port) for port in fleet.sentinels], socket_timeout=1, decode_responses=True
    )
    async with sentinel.master_for(NAME, client_name=namespace) as client:
        async with (
            RedisSessionStore(client, namespace=namespace) as sessions,
            RedisConversationStore(client, namespace=namespace) as conversations,
        ):
            await prepare(sessions)
            assert await sessions.get_session("k") == data()
            await conversations.create(OPS, id="c")
            with fleet.raw(fleet.primary) as raw:
                assert [each["name"] for each in raw.client_list()].count(namespace) == 2
        assert client.connection_pool._available_connections == []
    assert keys(fleet, fleet.primary, namespace) > 3


async def test_what_a_callers_sentinel_wants_of_the_others(fleet: Fleet, namespace: str) -> None:
    places, make = [("127.0.0.1", port) for port in fleet.sentinels], cast("Any", Sentinel)
    async with RedisSessionStore(make(places, min_other_sentinels=2).master_for(NAME), namespace=namespace) as store:
        await store.health()
    async with RedisSessionStore(make(places, min_other_sentinels=3).master_for(NAME), namespace=namespace) as store:
        with pytest.raises(UnavailableError, match="lead to no primary"):
            await store.health()


FORCED = "force_master_ip" in inspect.signature(Sentinel).parameters


@pytest.mark.skipif(not FORCED, reason="this redis-py has no force_master_ip")
async def test_a_callers_sentinel_may_force_the_address(fleet: Fleet) -> None:
    places = [("127.0.0.1", port) for port in fleet.sentinels]
    async with RedisSessionStore(cast("Any", Sentinel)(places, force_master_ip="localhost").master_for(NAME)) as store:
        await store.health()
        assert nodes(store)[0] == [f"localhost:{fleet.primary.port}"]


async def test_closing_ends_all_that_was_begun(fleet: Fleet, namespace: str) -> None:
    before = asyncio.all_tasks()
    store = RedisSessionStore.from_url(fleet.url, client_name=namespace, stale_reads=True)
    await asyncio.gather(store.health(), store.get_session("k"))
    assert connections(fleet, namespace) == 3  # one to each, though two were opened at once
    await store.aclose()
    await store.aclose()
    await until(lambda: connections(fleet, namespace) == 0, "a connection is left")
    assert asyncio.all_tasks() == before
    with pytest.raises(UnavailableError, match=r"^the store is closed$"):
        await store.get_session("k")


async def test_closing_while_the_sentinels_are_asked(fleet: Fleet, namespace: str) -> None:
    before = asyncio.all_tasks()
    for turns in range(12):
        store = RedisSessionStore.from_url(fleet.url, client_name=namespace)
        call = asyncio.create_task(store.health())
        for _ in range(turns):
            await asyncio.sleep(0)
        await store.aclose()
        with pytest.raises(UnavailableError):
            await call
    await until(lambda: connections(fleet, namespace) == 0, "a connection is left")
    assert asyncio.all_tasks() == before


# -- sentinels that are away, and what is said


def without(fleet: Fleet, *gone: int) -> str:
    """Return a URL in which some of the sentinels are not there."""
    ports = [free_port() if number in gone else port for number, port in enumerate(fleet.sentinels)]
    return f"redis+sentinel://:hunter2@{','.join(f'127.0.0.1:{port}' for port in ports)}/{NAME}"


@pytest.mark.parametrize("gone", [(0,), (0, 1), (1, 2)])
async def test_one_sentinel_is_enough(fleet: Fleet, namespace: str, gone: tuple[int, ...]) -> None:
    await works(RedisSessionStore.from_url(without(fleet, *gone).replace(":hunter2@", ""), namespace=namespace))


async def said_of(store: RedisSessionStore, kind: type[GreenticError], message: str) -> None:
    """Check that all calls end like this, in time."""
    async with store, asyncio.timeout(3):
        calls: list[Callable[[], Awaitable[object]]] = [store.health, lambda: store.get_session("k"), lambda: prepare(store)]
        for call in calls:
            with pytest.raises(kind, match=message) as caught:
                await call()
            assert "hunter" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_no_sentinel_is_there(fleet: Fleet) -> None:
    store = RedisSessionStore.from_url(without(fleet, 0, 1, 2))
    await said_of(store, UnavailableError, rf"^the sentinels lead to no primary \(sentinel service '{NAME}'\)$")


async def test_a_service_that_they_do_not_know(fleet: Fleet) -> None:
    store = RedisSessionStore.from_url(f"redis+sentinel://{fleet.hosts}/others")
    await said_of(store, UnavailableError, r"^the sentinels lead to no primary \(sentinel service 'others'\)$")


async def test_what_is_no_sentinel(fleet: Fleet) -> None:
    store = RedisSessionStore.from_url(f"redis+sentinel://127.0.0.1:{fleet.servers[0].port}/{NAME}")
    await said_of(store, UnavailableError, rf"\(sentinel service '{NAME}'\)$")


async def test_a_sentinel_that_is_silent_costs_a_moment_only() -> None:
    with Fleet() as fleet:
        fleet.pause_sentinel(0)
        async with RedisSessionStore.from_url(fleet.url, timeout=90.0) as store:
            started = asyncio.get_running_loop().time()
            await store.health()
            assert asyncio.get_running_loop().time() - started < 20  # to wait for it would take 30 at least
        for number in (1, 2):
            fleet.pause_sentinel(number)
        async with RedisSessionStore.from_url(fleet.url, timeout=0.6) as store:
            started = asyncio.get_running_loop().time()
            with pytest.raises(UnavailableError, match=r"lead to no primary|did not answer in time"):
                await store.health()
            assert asyncio.get_running_loop().time() - started < 20
            for number in range(3):
                fleet.resume_sentinel(number)
        async with RedisSessionStore.from_url(fleet.url, timeout=90.0) as store:
            await store.health()


async def test_what_they_call_the_primary_is_a_replica(fleet: Fleet, namespace: str) -> None:
    """As a moment after a failover, or after a mistake of somebody's."""
    replica = fleet.replicas[0]
    fleet.ask(0, "MONITOR", namespace, "127.0.0.1", str(replica.port), "1")
    before = [fleet.calls(replica, command) for command in READS]
    try:
        store = RedisSessionStore.from_url(f"redis+sentinel://127.0.0.1:{fleet.sentinels[0]}/{namespace}")
        await said_of(store, UnavailableError, rf"^the sentinels lead to no primary \(127.0.0.1:{replica.port}\)$")
        assert [fleet.calls(replica, command) for command in READS] == before
    finally:
        fleet.ask(0, "REMOVE", namespace)


async def test_the_sentinel_with_the_latest_configuration_is_believed(tmp_path: Path, namespace: str) -> None:
    with Server() as older, Server() as newer, ExitStack() as ends:
        ports = []
        for epoch, server in ((3, older), (4, newer), (1, older)):
            ports.append(free_port())
            conf = tmp_path / f"{epoch}.conf"
            lines = [f"port {ports[-1]}", f"dir {tmp_path}", f"sentinel monitor {NAME} 127.0.0.1 {server.port} 1"]
            conf.write_text("\n".join([*lines, f"sentinel config-epoch {NAME} {epoch}"]), encoding="ascii")
            process = start_sentinel(server.binary, conf)
            ends.callback(process.wait)
            ends.callback(process.kill)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        async with RedisSessionStore.from_url(f"redis+sentinel://{hosts}/{NAME}", namespace=namespace) as store:
            await asyncio.to_thread(Fleet.until, lambda: all(map(listens, ports)))
            await prepare(store)
        with newer.client() as raw, older.client() as other:
            assert raw.exists(f"{namespace}:session:k")
            assert other.dbsize() == 0


# -- credentials


async def test_credentials_of_servers_and_of_sentinels(namespace: str) -> None:
    with Fleet(password="hunter2", sentinel_password="hunter3") as fleet:
        await works(RedisSessionStore.from_url(f"{fleet.url}?sentinel_password=hunter3", namespace=namespace))
        bare = f"redis+sentinel://{fleet.hosts}/{NAME}"
        both: dict[str, Any] = {"sentinel_password": "hunter3", "password": "hunter2"}
        await works(RedisSessionStore.from_url(bare, namespace=f"{namespace}-2", **both))
        await said_of(RedisSessionStore.from_url(fleet.url), UnauthenticatedError, rf"\(sentinel service '{NAME}'\)$")
        wrong = f"{fleet.url}?sentinel_password=hunter4"
        await said_of(RedisSessionStore.from_url(wrong), UnauthenticatedError, rf"\(sentinel service '{NAME}'\)$")
        primary = f"127.0.0.1:{fleet.primary.port}"
        half = f"{bare}?sentinel_password=hunter3"
        await said_of(RedisSessionStore.from_url(half), UnauthenticatedError, rf"or wants one \({primary}\)$")
        for server in fleet.servers:
            with fleet.raw(server) as raw:
                raw.execute_command("ACL", "SETUSER", "bob", "on", ">hunter5", "~*", "+@all", "-role")
        for_bob: dict[str, Any] = {"username": "bob", "password": "hunter5", "sentinel_password": "hunter3"}
        await said_of(RedisSessionStore.from_url(bare, **for_bob), PermissionDeniedError, rf"README names .* \({primary}\)$")


FOR_SERVERS = (
    "+get +set +del +exists +evalsha +eval +scan +ping +time +@string +@hash +@set +@sortedset +@keyspace"
    " +role ~{namespace}:*"
)
FOR_SENTINELS = (
    "+sentinel|master +sentinel|get-master-addr-by-name +sentinel|replicas +subscribe +unsubscribe resetchannels"
    " &+failover-state-send-slaveof-noone &+promoted-slave &+switch-master"
)
"""What users need, as README says."""


async def test_users_need_no_more_than_the_readme_says(namespace: str) -> None:
    with Fleet() as fleet:
        for server in fleet.servers:
            with fleet.raw(server) as raw:
                rules = FOR_SERVERS.format(namespace=namespace).split()
                raw.execute_command("ACL", "SETUSER", "bob", "reset", "on", ">one", *rules)
        for number in range(3):
            fleet.ask_any(number, "ACL", "SETUSER", "eve", "reset", "on", ">two", *FOR_SENTINELS.split())
        url = f"redis+sentinel://bob:one@{fleet.hosts}/{NAME}?sentinel_username=eve&sentinel_password=two"
        async with RedisSessionStore.from_url(url, namespace=namespace, stale_reads=True) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k", data())
            fleet.catch_up(fleet.primary)
            await read_sessions(store)
        for number in range(3):
            fleet.ask_any(number, "ACL", "SETUSER", "eve", "-subscribe")
        denied = RedisSessionStore.from_url(url, namespace=namespace)
        await said_of(denied, PermissionDeniedError, rf"README names .* \(sentinel service '{NAME}'\)$")


# -- reading from replicas


@asynccontextmanager
async def counted(fleet: Fleet, *commands: str) -> AsyncIterator[dict[str, int]]:
    """Count the commands that the primary gets, and the replicas together."""
    servers = {"primary": [fleet.primary], "replicas": fleet.replicas}

    def count(group: list[Server]) -> int:
        return sum(fleet.calls(server, command) for server in group for command in commands)

    before = {name: count(group) for name, group in servers.items()}
    found: dict[str, int] = {}
    yield found
    found |= {name: count(group) - before[name] for name, group in servers.items()}


READS = ("get", "evalsha", "eval")


async def read_sessions(store: RedisSessionStore) -> None:
    for _ in range(5):
        assert await store.get_session("k") == data()
        assert await store.get_versioned("k") is not None
        assert await store.find_wait(ALICE, "alice", CHAT) is not None
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        assert await store.find_wait(ALICE, "alice", ReplyScope("nowhere")) is None


async def test_replicas_are_read_only_if_that_is_asked_for(fleet: Fleet, namespace: str) -> None:
    async with (
        RedisSessionStore.from_url(fleet.url, namespace=namespace) as plain,
        create_session_store(fleet.url, namespace=namespace, stale_reads=True) as stale,
    ):
        assert isinstance(stale, RedisSessionStore)
        await plain.register_wait(ALICE, "alice", CHAT, "k", data())
        fleet.catch_up(fleet.primary)
        async with counted(fleet, *READS) as found:
            await read_sessions(plain)
        # A script's own GETs count too, and those by which the primary's script reaches the
        # replicas do not: they only read.
        assert found["replicas"] == 0 < found["primary"]
        async with counted(fleet, *READS) as found:
            await read_sessions(stale)
        assert found["primary"] == 0 < found["replicas"]
        async with counted(fleet, "evalsha", "eval") as found:
            assert await stale.list_waits_for_user(ALICE, "alice") == ["k"]
            async with await stale.claim_wait(ALICE, "alice", CHAT) or pytest.fail("nothing waits") as claim:
                await claim.complete()
        assert found["replicas"] == 0 < found["primary"]


async def test_conversations_may_be_read_from_replicas(fleet: Fleet, namespace: str) -> None:
    async with (
        create_conversation_store(fleet.url, namespace=namespace) as plain,
        create_conversation_store(fleet.url, namespace=namespace, stale_reads=True) as stale,
        create_conversation_store(fleet.url, namespace=namespace, stale_reads=True, ttl=60, sliding=True) as sliding,
    ):
        await stale.create(OPS, id="c")
        await stale.append(OPS, "c", *said("a", "b"))
        fleet.catch_up(fleet.primary)
        for store, reader in ((plain, "primary"), (stale, "replicas"), (sliding, "primary")):
            async with counted(fleet, "evalsha", "eval") as found:
                assert await texts(store) == ["a", "b"]
                assert len((await store.load(OPS, "c")).messages) == 2
            assert found == {"primary": 0, "replicas": 0} | {reader: sum(found.values())}
            assert sum(found.values()) >= 2
        async with counted(fleet, "evalsha", "eval") as found:
            assert [summary.id for summary in await stale.list(OPS)] == ["c"]
        assert found["primary"] == 0 < found["replicas"]


async def test_a_stale_read_is_stale(fleet: Fleet, namespace: str) -> None:
    """A stale read sees what the replica has; it repairs nothing there, without an error."""
    async with RedisSessionStore.from_url(fleet.url, namespace=namespace, stale_reads=True) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        fleet.catch_up(fleet.primary)
        with fleet.raw(fleet.primary) as raw:  # as if somebody removed it by hand: its entries are stale
            raw.delete(f"{namespace}:session:k")
        fleet.catch_up(fleet.primary)
        assert await store.find_wait(ALICE, "alice", CHAT) is None
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None


async def test_a_replica_that_follows_nobody_is_left() -> None:
    with Fleet() as fleet:
        async with RedisSessionStore.from_url(fleet.url, stale_reads=True) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k", data())
            fleet.catch_up(fleet.primary)
            assert await store.get_session("k") == data()
            (reading,) = nodes(store)[1]
            lost = next(server for server in fleet.replicas if reading.endswith(str(server.port)))
            with fleet.raw(lost) as raw:
                raw.config_set("replica-serve-stale-data", "no")
                raw.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
            assert await store.get_session("k") == data()
            assert nodes(store)[1] != [reading]
        for _ in range(8):  # each finds one by chance
            async with RedisSessionStore.from_url(fleet.url, stale_reads=True) as store:
                assert await store.get_session("k") == data()
                assert nodes(store)[1] != [reading]


async def test_without_replicas_the_primary_is_read(namespace: str) -> None:
    with Fleet() as fleet:
        async with RedisSessionStore.from_url(fleet.url, namespace=namespace, stale_reads=True, timeout=20.0) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k", data())
            fleet.catch_up(fleet.primary)
            assert await store.get_session("k") == data()
            for server in fleet.replicas:
                server.kill()
            await asyncio.sleep(0.1)
            for _ in range(3):  # the sentinels still tell of the replicas
                assert await store.get_session("k") == data()
            assert nodes(store)[1] == [f"127.0.0.1:{fleet.primary.port}"]
            fleet.servers[1].start()

            backend = store._backend
            assert isinstance(backend, RedisBackend)
            assert isinstance(backend._reading, RedisClient)
            async with asyncio.timeout(60):  # it is looked for as long as there are calls
                while nodes(store)[1] != [f"127.0.0.1:{fleet.servers[1].port}"]:
                    backend._reading._look()  # as once in a timeout
                    assert await store.get_session("k") == data()
                    await asyncio.sleep(0.05)
