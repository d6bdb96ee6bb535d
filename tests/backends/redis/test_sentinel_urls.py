"""URLs of services behind sentinels: what they mean, and what is refused without quoting it."""

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from greentic_session import InvalidInputError, RedisSessionStore, RedisUrl, create_session_store
from greentic_session._redis.connect import caller_client_of
from greentic_session.conversation import RedisConversationStore, create_conversation_store

MAKERS = [
    RedisSessionStore.from_url,
    RedisConversationStore.from_url,
    create_session_store,
    create_conversation_store,
    lambda url, **options: create_session_store(RedisUrl(url), **options),
]


def pool_of(url: str, **options: Any) -> SentinelConnectionPool:
    client, _ = caller_client_of(url, 5.0, 5.0, options)
    assert isinstance(client, Redis)
    assert isinstance(client.connection_pool, SentinelConnectionPool)
    return client.connection_pool


def part(settings: Mapping[str, Any], names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names.split() if name in settings}


GOOD: list[tuple[str, list[str], str, str]] = [
    ("redis+sentinel://one/flows", ["one:26379"], "flows", "{}"),
    ("redis+sentinel://one:1,two:2,10.0.0.3/flows", ["one:1", "two:2", "10.0.0.3:26379"], "flows", "{}"),
    ("REDIS+Sentinel://one/flows/", ["one:26379"], "flows", "{}"),
    ("redis+sentinel://[::1]:1,[2001:db8::2],one/my.f_2-a", ["::1:1", "2001:db8::2:26379", "one:26379"], "my.f_2-a", "{}"),
    ("redis+sentinel://one,[::1]:7/flows/3", ["one:26379", "::1:7"], "flows", "{'db': 3}"),
    ("redis+sentinel://bob:p%40ss%2C@one/flows", ["one:26379"], "flows", "{'username': 'bob', 'password': 'p@ss,'}"),
    ("redis+sentinel://:hunter2@one/flows?db=4", ["one:26379"], "flows", "{'db': 4, 'password': 'hunter2'}"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "sentinels", "service", "settings"), GOOD)
def test_what_a_url_means(url: str, sentinels: list[str], service: str, settings: str) -> None:
    pool = pool_of(url)
    places = [client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels]
    assert [f"{place['host']}:{place['port']}" for place in places] == sentinels
    assert pool.service_name == service
    assert pool.is_master
    assert str(part(pool.connection_kwargs, "db username password")) == settings
    assert [part(place, "db username password") for place in places] == [{}] * len(places)  # theirs are their own
    assert pool.connection_class is SentinelManagedConnection
    assert {client.connection_pool.connection_class for client in pool.sentinel_manager.sentinels} == {Connection}


@pytest.mark.parametrize(
    ("end", "options"),
    [
        ("?sentinel_username=eve&sentinel_password=s%26cret", {}),
        ("?sentinel_username=other", {"sentinel_username": "eve", "sentinel_password": "s&cret"}),
    ],
)
def test_credentials_of_the_sentinels(end: str, options: dict[str, str]) -> None:
    pool = pool_of(f"redis+sentinel://bob:hunter2@one,two/flows{end}", **options)
    for client in pool.sentinel_manager.sentinels:
        theirs = part(client.connection_pool.connection_kwargs, "username password sentinel_username sentinel_password")
        assert theirs == {"username": "eve", "password": "s&cret"}
    ours = part(pool.connection_kwargs, "username password sentinel_username sentinel_password")
    assert ours == {"username": "bob", "password": "hunter2"}


def test_tls_is_for_the_sentinels_too() -> None:
    pool = pool_of("rediss+sentinel://one/flows?ssl_ca_certs=/ca.pem")
    (sentinel,) = pool.sentinel_manager.sentinels
    assert pool.connection_class is SentinelManagedSSLConnection
    assert sentinel.connection_pool.connection_class is SSLConnection
    for settings in (pool.connection_kwargs, sentinel.connection_pool.connection_kwargs):
        expected = {"ssl_ca_certs": "/ca.pem", "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        assert part(settings, " ".join(expected)) == expected


def test_other_options_are_for_both() -> None:
    pool = pool_of("redis+sentinel://one/flows?socket_connect_timeout=2&client_name=a%2Bb", socket_keepalive=True)
    for settings in (pool.connection_kwargs, pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs):
        expected = {"socket_connect_timeout": 2.0, "client_name": "a+b", "socket_keepalive": True}
        assert part(settings, " ".join(expected)) == expected
    assert caller_client_of("redis+sentinel://one/flows?socket_timeout=0.5", 5.0, 5.0, {})[1] == 0.5


BAD = [
    "",
    "one",
    "one/",
    "/flows",
    ":hunter2@/flows",
    "hunter2@one:/flows",
    "one,/flows",
    ",one/flows",
    "one:0/flows",
    "one:65536/flows",
    "one:hunter2/flows",
    "one:-1/flows",
    "one two/flows",
    "[::1/flows",
    "::1/flows",
    "[hunter2]/flows",
    "[fe80::1%25eth0]x/flows",
    "one/hunter 2",
    "one/hunter2@two/flows",
    "one/flows/hunter2",
    "one/flows/-1",
    "one/flows/1/2",
    "one/flows#hunter2",
    "user:1#hunter2@one/flows",
    "user:12/hunter2@one/flows",
    "user:12?hunter2@one/flows",
    "one/flows?hunter2",
    "one/flows?host=hunter2",
    "one/flows?port=1",
    "one/flows?hunter2=1",
    "one/flows?db=hunter2",
    "one/flows?ssl_ca_certs=hunter2",
    "one/flows?connection_class=hunter2",
    "one/flows?socket_timeout=hunter2",
    "one/flows?sentinel_db=1",
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("rest", BAD)
def test_urls_that_are_refused_and_not_quoted(rest: str, make: Callable[[str], object]) -> None:
    with pytest.raises(InvalidInputError, match=r"^the Redis URL ") as caught:
        make(f"redis+sentinel://{rest}")
    assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("options", [{"host": "h"}, {"port": 1}, {"path": "/run/redis.sock"}], ids=str)
def test_options_that_sentinels_decide(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="names sentinels"):
        RedisSessionStore.from_url("redis+sentinel://one/flows", **options)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("url", ["redis://host", "rediss://host", "unix:///run/redis.sock"])
def test_stale_reads_need_replicas(url: str, make: Callable[..., object]) -> None:
    with pytest.raises(InvalidInputError, match=r"^stale_reads needs replicas"):
        make(url, stale_reads=True)
    make(url, stale_reads=False)


@pytest.mark.parametrize("make", MAKERS)
def test_stale_reads_is_a_bool(make: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=r"^stale_reads must be a bool"):
        make("redis+sentinel://one/flows", stale_reads=1)


@pytest.mark.parametrize("store", [RedisSessionStore, RedisConversationStore])
def test_a_client_of_replicas_is_refused(store: Callable[[Any], object]) -> None:
    sentinel = Sentinel([("127.0.0.1", 26379)])  # type: ignore[no-untyped-call]  # redis-py says nothing of it
    with pytest.raises(InvalidInputError, match="master_for"):
        store(sentinel.slave_for("flows"))
    store(sentinel.master_for("flows"))
