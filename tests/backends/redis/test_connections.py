"""How the Redis store gets its connections.

URLs, TLS, sockets, users, a caller's client; and what it refuses.
"""

import asyncio
import json
import shutil
import ssl
import subprocess
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trio
from patience import client_of, until
from redis.asyncio import BlockingConnectionPool, Redis
from redis_operations import OPERATIONS, Operation, prepare
from redis_server import Server
from tcp_proxy import TcpProxy

from greentic_session import RedisSessionStore, create_session_store
from greentic_session.errors import (
    GreenticError,
    InvalidInputError,
    OperationTimeoutError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from greentic_session.models import SessionData
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, data

AWKWARD = 'Grüße, 世界 🦆 \u2028 \x00 \\ "'
"""What a client that decodes, or decodes wrongly, would break."""


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex}"


def awkward() -> SessionData:
    return data(snapshot=json.dumps({"text": AWKWARD}, ensure_ascii=False))


async def works(store: RedisSessionStore) -> None:
    """Check that a store writes and reads, whatever the text."""
    async with store:
        await store.register_wait(ALICE, "alice", CHAT, f"k-{AWKWARD}", awkward(), MINUTE)
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert (found.key, found.data) == (f"k-{AWKWARD}", awkward())
        assert [wait.key async for wait in store.iter_sessions(ALICE)] == [f"k-{AWKWARD}"]


async def refused(store: RedisSessionStore, kind: type[GreenticError], message: str) -> None:
    """Check that a store's calls end in exactly this error, soon, and quote no password."""
    calls: list[Callable[[], Awaitable[object]]] = [lambda: prepare(store), lambda: store.get_session("k"), store.health]
    async with store:
        for call in calls:
            with pytest.raises(GreenticError, match=message) as caught:  # not a timeout's
                await call()
            assert type(caught.value) is kind
            assert "hunter" not in "".join(traceback.format_exception(caught.value))


# -- TLS


class Certificates:
    """A certificate authority of the tests' own, and what it signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = str(folder / "ca.pem")
        extensions = ["-addext", "keyUsage=critical,keyCertSign"]
        self._openssl("req", "-x509", *self._key("ca"), "-out", self.ca, "-days", "2", "-subj", "/CN=Test", *extensions)

    def context(self, name: str) -> ssl.SSLContext:
        """Return what a server needs to be `name`, like ``IP:127.0.0.1``."""
        word = name.replace(":", "-")
        request, certificate, extensions = (str(self._folder / f"{word}.{end}") for end in ("csr", "pem", "ext"))
        Path(extensions).write_text(f"subjectAltName={name}\nauthorityKeyIdentifier=keyid\n", encoding="ascii")
        self._openssl("req", *self._key(word), "-out", request, "-subj", "/CN=server")
        signer = ["-CA", self.ca, "-CAkey", str(self._folder / "ca.key"), "-CAcreateserial", "-days", "2"]
        self._openssl("x509", "-req", "-in", request, "-out", certificate, "-extfile", extensions, *signer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, str(self._folder / f"{word}.key"))
        return context

    def _key(self, name: str) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*curve, "-nodes", "-keyout", str(self._folder / f"{name}.key")]

    def _openssl(self, *arguments: str) -> None:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("no openssl to make certificates with")
        subprocess.run([program, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture
async def tls(shared: Server, certificates: Certificates) -> AsyncIterator[TcpProxy]:
    """Redis behind TLS, as 127.0.0.1."""
    async with TcpProxy(shared.port, tls=certificates.context("IP:127.0.0.1")) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def disguised(shared: Server, certificates: Certificates) -> AsyncIterator[TcpProxy]:
    """Redis behind TLS, with somebody else's name."""
    async with TcpProxy(shared.port, tls=certificates.context("DNS:other.example")) as proxy:
        yield proxy


@pytest.mark.asyncio
async def test_tls_with_a_certificate_that_is_known(tls: TcpProxy, certificates: Certificates, namespace: str) -> None:
    await works(RedisSessionStore.from_url(tls.url, namespace=namespace, ssl_ca_certs=certificates.ca))
    await works(RedisSessionStore.from_url(f"{tls.url}?ssl_ca_certs={certificates.ca}", namespace=namespace))


@pytest.mark.asyncio
async def test_tls_with_an_unknown_certificate_is_refused(tls: TcpProxy, namespace: str) -> None:
    url = tls.url.replace("rediss://", "rediss://:hunter2@")
    await refused(RedisSessionStore.from_url(url, namespace=namespace), UnavailableError, "connection to Redis failed")
    assert tls.commands == []


@pytest.mark.asyncio
async def test_tls_with_somebody_elses_certificate_is_refused(
    disguised: TcpProxy, certificates: Certificates, namespace: str
) -> None:
    store = RedisSessionStore.from_url(disguised.url, namespace=namespace, ssl_ca_certs=certificates.ca)
    await refused(store, UnavailableError, "connection to Redis failed")
    assert disguised.commands == []


@pytest.mark.asyncio
async def test_tls_checks_can_be_turned_off_by_name_only(
    tls: TcpProxy, disguised: TcpProxy, certificates: Certificates, namespace: str
) -> None:
    for proxy in (tls, disguised):
        await works(RedisSessionStore.from_url(f"{proxy.url}?ssl_cert_reqs=none", namespace=namespace))
        await works(RedisSessionStore.from_url(proxy.url, namespace=namespace, ssl_cert_reqs="none"))
    known: dict[str, Any] = {"ssl_ca_certs": certificates.ca, "ssl_check_hostname": False}
    await works(RedisSessionStore.from_url(disguised.url, namespace=namespace, **known))


@pytest.mark.asyncio
async def test_tls_of_a_callers_client(tls: TcpProxy, certificates: Certificates, namespace: str) -> None:
    async with Redis.from_url(tls.url, ssl_ca_certs=certificates.ca) as client:
        await works(RedisSessionStore(client, namespace=namespace))
    async with Redis.from_url(tls.url) as client:
        await refused(RedisSessionStore(client, namespace=namespace), UnavailableError, "connection to Redis failed")


@pytest.mark.asyncio
async def test_tls_where_there_is_none(shared: Server, tls: TcpProxy, namespace: str) -> None:
    async with RedisSessionStore.from_url(shared.url.replace("redis", "rediss"), namespace=namespace, timeout=0.3) as store:
        with pytest.raises((OperationTimeoutError, UnavailableError)):  # the server waits for the rest of a command
            await store.get_session("k")
    plain = RedisSessionStore.from_url(tls.url.replace("rediss", "redis"), namespace=namespace, timeout=1)
    await refused(plain, UnavailableError, "connection to Redis failed|Redis's protocol")


@pytest.mark.asyncio
async def test_a_ca_file_that_is_not_there(tls: TcpProxy, namespace: str) -> None:
    store = RedisSessionStore.from_url(tls.url, namespace=namespace, ssl_ca_certs="/nowhere/ca.pem")
    await refused(store, UnavailableError, "Redis")


# -- sockets, users, databases, names


@pytest.mark.asyncio
async def test_a_unix_socket(shared: Server, namespace: str) -> None:
    await works(RedisSessionStore.from_url(f"unix://{shared.socket_path}", namespace=namespace))
    await works(RedisSessionStore.from_url(f"unix://{shared.socket_path}?db=3", namespace=namespace))
    with shared.client(db=3) as raw:
        assert raw.keys(f"{namespace}:*")
    absent = RedisSessionStore.from_url(f"unix://:hunter2@{shared.folder}/absent.sock", namespace=namespace)
    await refused(absent, UnavailableError, "connection to Redis failed")


USER = (
    "on >p%ss-hunter:2@/ ~{namespace}:* +get +set +del +exists +evalsha +eval +scan +ping +time"
    " +@string +@hash +@set +@sortedset +@keyspace"
)
"""The user that README asks for, with a password that a URL has to quote."""
QUOTED = "bob:p%25ss-hunter%3A2%40%2F"


def allow(server: Server, rules: str) -> None:
    with server.client() as raw:
        raw.execute_command("ACL", "SETUSER", "bob", "reset", *rules.split())


def named(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
@pytest.mark.asyncio
async def test_a_user_needs_no_more_than_the_readme_says(shared: Server, namespace: str, operation: Operation) -> None:
    allow(shared, USER.format(namespace=namespace))
    async with RedisSessionStore.from_url(f"redis://{QUOTED}@127.0.0.1:{shared.port}", namespace=namespace) as store:
        await prepare(store)
        await (await operation.ready(store))()


@pytest.mark.asyncio
async def test_ways_to_give_a_password(shared: Server, namespace: str) -> None:
    allow(shared, USER.format(namespace=namespace))
    secret: dict[str, Any] = {"username": "bob", "password": "p%ss-hunter:2@/"}
    await works(RedisSessionStore.from_url(f"unix://{QUOTED}@{shared.socket_path}", namespace=namespace))
    await works(RedisSessionStore.from_url(shared.url, namespace=namespace, **secret))
    url = f"redis://bob:wrong@127.0.0.1:{shared.port}"
    await works(RedisSessionStore.from_url(url, namespace=namespace, **secret))  # an argument goes before the URL
    async with Redis(port=shared.port, **secret) as client:
        await works(RedisSessionStore(client, namespace=namespace))


DENIED = [
    "-evalsha -eval ~{namespace}:*",
    "-get ~{namespace}:*",
    "~other:*",
    "-hset ~{namespace}:*",
    "~{namespace}:waits:*",
]


@pytest.mark.parametrize("rules", DENIED)
@pytest.mark.asyncio
async def test_what_a_user_may_not_do(shared: Server, namespace: str, rules: str) -> None:
    allow(shared, "on >hunter2 +@all " + rules.format(namespace=namespace))
    async with RedisSessionStore.from_url(f"redis://bob:hunter2@127.0.0.1:{shared.port}", namespace=namespace) as store:
        with pytest.raises(GreenticError) as caught:
            await prepare(store)
        assert type(caught.value) is PermissionDeniedError, caught.value.__cause__
        assert "the Redis user may not do this" in str(caught.value)
        await store.health()  # the connection is in order


@pytest.mark.parametrize("user", ["bob:hunter3", "nobody:hunter2", "bob", ":hunter2"])
@pytest.mark.asyncio
async def test_credentials_that_are_wrong(shared: Server, namespace: str, user: str) -> None:
    allow(shared, "on >hunter2 +@all ~*")
    store = RedisSessionStore.from_url(f"redis://{user}@127.0.0.1:{shared.port}", namespace=namespace)
    await refused(store, UnauthenticatedError, "username or the password")


@pytest.mark.asyncio
async def test_credentials_that_are_missing(server: Server, namespace: str) -> None:
    async with RedisSessionStore.from_url(server.url, namespace=namespace) as store:
        await store.health()
        with server.client() as raw:
            raw.config_set("requirepass", "hunter2")
            raw.client_kill_filter(_type="normal", skipme=False)
        await until(lambda: not client_of(store)._connections.current, "the loss is not seen")
        with pytest.raises(UnauthenticatedError, match="password"):
            await store.health()
        with server.client(password="hunter2") as raw:
            raw.config_set("requirepass", "")
        await store.health()


@pytest.mark.asyncio
async def test_a_database_number(shared: Server, namespace: str) -> None:
    await works(RedisSessionStore.from_url(f"{shared.url}/5", namespace=namespace))
    with shared.client(db=5) as raw, shared.client() as first:
        assert raw.keys(f"{namespace}:*")
        assert first.keys(f"{namespace}:*") == []
    await works(RedisSessionStore.from_url(f"{shared.url}/5", namespace=namespace, db=6))
    with shared.client(db=6) as raw:
        assert raw.keys(f"{namespace}:*")
    async with Redis(port=shared.port, db=7) as client:
        await works(RedisSessionStore(client, namespace=namespace))
    with shared.client(db=7) as raw:
        assert raw.keys(f"{namespace}:*")


@pytest.mark.parametrize(("end", "options"), [("", {"client_name": "runner-7"}), ("?client_name=runner-7", {})])
@pytest.mark.asyncio
async def test_a_client_name(shared: Server, end: str, options: dict[str, Any]) -> None:
    async with RedisSessionStore.from_url(shared.url + end, **options) as store:
        await asyncio.gather(store.health(), store.health())
        with shared.client() as raw:
            names = [client["name"] for client in raw.client_list()]
        assert names.count("runner-7") == 1  # they share a connection


# -- a caller's client


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"decode_responses": True, "encoding": "latin-1"}])
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.asyncio
async def test_a_client_is_neither_used_nor_closed(
    shared: Server, namespace: str, options: dict[str, Any], protocol: int
) -> None:
    pool = BlockingConnectionPool.from_url(shared.url, max_connections=1, timeout=100, protocol=protocol, **options)
    client = Redis.from_pool(pool)
    taken: Any = await pool.get_connection()  # type: ignore[no-untyped-call]  # the only one: whoever used the pool would wait, and fail
    await asyncio.wait_for(works(RedisSessionStore(client, namespace=namespace)), 60)
    await taken.send_command("PING")
    assert await taken.read_response() in (b"PONG", "PONG")
    await pool.release(taken)
    stored = await client.get(f"{namespace}:session:k-{AWKWARD}") if options.get("encoding") is None else None
    if stored is not None:
        text = stored if isinstance(stored, str) else stored.decode()
        assert SessionData.from_json(text) == awkward()
    assert await client.ping()
    await client.aclose()


@pytest.mark.asyncio
async def test_closing(shared: Server, namespace: str) -> None:
    client = Redis(port=shared.port, client_name=namespace)
    store = RedisSessionStore(client, namespace=namespace)
    await asyncio.gather(*(store.health() for _ in range(3)))
    with shared.client() as raw:
        blocked = raw.execute_command("CLIENT", "PAUSE", "300")
        assert blocked
        late = asyncio.create_task(store.get_session("k"))
        await asyncio.sleep(0.03)
        await store.aclose()
        await store.aclose()
        assert await late is None  # a call in flight gets its answer
        with pytest.raises(UnavailableError, match="closed"):
            await store.health()
        await until(lambda: namespace not in [each["name"] for each in raw.client_list()], "a connection is left")
    assert await client.ping()
    await client.aclose()


# -- what is refused


URLS = [
    "",
    "hunter2",
    "http://:hunter2@host",
    "redis:/:hunter2@host",
    "redis://:hunter2@host:99999",
    "redis://:hunter2@host:port",
    "redis://:hunter#2@host",
    "redis://:1#hunter2@host",
    "redis://:1?hunter2@host",
    "redis://hunter2#@host",
    "unix:///run/redis.sock#hunter2",
    "redis://:hunter2@[::1",
    "redis://:hunter2@host?db=first",
    "redis://:hunter2@host/first",
    "redis://:hunter2@host/1/2",
    "redis://:hunter2@host/-1",
    "redis://:hunter2@host?socket_timeout=hunter2",
    "redis://:hunter2@host?hunter2=1",
    "redis://:hunter2@host?ssl_cert_reqs=none",
    "redis://:hunter2@host?parser_class=hunter2",
    "redis://:hunter2@host?encoder_class=hunter2",
    "redis://:hunter2@host?credential_provider=hunter2",
    "redis://:hunter2@host?redis_connect_func=hunter2",
    "redis://:hunter2@host?connection_class=hunter2",
    "redis://:hunter2@host?driver_info=hunter2",
    "redis://:hunter2@host?maint_notifications_config=hunter2",
    "rediss://:hunter2@host?ssl_cert_reqs=hunter2",
    "rediss://:hunter2@host?ssl_min_version=hunter2",
    "unix://",
    "unix://:hunter2@?db=1",
]


@pytest.mark.parametrize("make", [RedisSessionStore.from_url, create_session_store], ids=["from_url", "factory"])
@pytest.mark.parametrize("url", URLS)
def test_urls_that_are_refused_and_not_quoted(url: str, make: Callable[[str], object]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make(url)
    assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", [None, 7, b"redis://host"])
def test_urls_of_a_wrong_type(url: Any) -> None:
    with pytest.raises(TypeError, match="url must be a str"):
        RedisSessionStore.from_url(url)


OUT_OF_RANGE: list[dict[str, Any]] = [
    {"timeout": 0},
    {"timeout": -1.0},
    {"timeout": float("nan")},
    {"timeout": float("inf")},
    {"timeout": timedelta(0)},
    {"connect_timeout": 0},
    {"connect_timeout": -1},
    {"max_connections": 0},
    {"max_connections": -1},
    {"namespace": ""},
    {"namespace": "\ud800"},
    {"max_snapshot_bytes": 0},
    {"default_wait_ttl": 0},
    {"default_session_ttl": -1},
]
WRONG_TYPE: list[dict[str, Any]] = [
    {"timeout": "1"},
    {"timeout": None},
    {"timeout": True},
    {"connect_timeout": "1"},
    {"max_connections": 1.0},
    {"max_connections": True},
    {"namespace": b"ns"},
    {"namespace": None},
    {"default_wait_ttl": "1"},
    {"no_such_option": 1},
]


@pytest.mark.parametrize("options", OUT_OF_RANGE, ids=repr)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        RedisSessionStore.from_url("redis://:hunter2@host", **options)


@pytest.mark.parametrize("options", WRONG_TYPE, ids=repr)
def test_options_of_a_wrong_type(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))) as caught:
        RedisSessionStore.from_url("redis://:hunter2@host", **options)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("client", [None, "redis://host", Redis])
def test_what_is_no_client(client: Any) -> None:
    with pytest.raises(TypeError, match=r"redis\.asyncio\.Redis"):
        RedisSessionStore(client)


def test_a_client_of_the_blocking_kind(shared: Server) -> None:
    client: Any = shared.client()
    with client, pytest.raises(TypeError, match=r"redis\.asyncio\.Redis"):
        RedisSessionStore(client)


# -- loops


def test_another_event_loop(shared: Server, namespace: str) -> None:
    store = RedisSessionStore.from_url(shared.url, namespace=namespace)

    async def first() -> None:
        await store.health()

    async def second() -> None:
        with pytest.raises(UnavailableError, match="event loop"):
            await store.get_session("k")
        with pytest.raises(UnavailableError, match="event loop"):
            await prepare(store)

    with asyncio.Runner() as runner:
        runner.run(first())
        with asyncio.Runner() as other:
            other.run(second())
        runner.run(first())  # its own goes on
        runner.run(store.aclose())


def test_trio(shared: Server, namespace: str) -> None:
    store = RedisSessionStore.from_url(shared.url, namespace=namespace)

    async def main() -> None:
        with pytest.raises(UnavailableError, match="asyncio"):
            await store.health()
        with pytest.raises(UnavailableError, match="asyncio"):
            await prepare(store)
        await store.aclose()

    trio.run(main)


def test_a_store_can_be_made_outside_a_loop_without_io() -> None:
    RedisSessionStore.from_url("redis://:hunter2@host.invalid")
    RedisSessionStore.from_url("rediss://host.invalid")
