"""Errors and health checks of Redis stores: they name the node at fault, and no credentials."""

import re

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis_server import Server, free_port
from tcp_proxy import TcpProxy

from greentic_session import RedisSessionStore
from greentic_session._redis.dialer import Dialer
from greentic_session.conversation.backends.redis import RedisConversationStore
from greentic_session.errors import OperationTimeoutError, PermissionDeniedError, UnauthenticatedError, UnavailableError
from greentic_session.testing._sessions.samples import ALICE, data

pytestmark = pytest.mark.asyncio


def ends_with(node: str) -> str:
    return rf"\({re.escape(node)}\)$"


async def test_a_server_that_is_not_there() -> None:
    port = free_port()
    for host in ("127.0.0.1", "localhost"):  # as it was given, not as it was looked up
        url = f"redis://bob:hunter2@{host}:{port}/3"
        async with RedisSessionStore.from_url(url) as sessions, RedisConversationStore.from_url(url) as conversations:
            for call in (sessions.get_session("k"), sessions.health(), conversations.health()):
                with pytest.raises(UnavailableError, match=ends_with(f"{host}:{port}")) as caught:
                    await call
                assert "hunter2" not in str(caught.value)
                assert "bob" not in str(caught.value)


async def test_a_socket_that_is_not_there(server: Server) -> None:
    async with RedisSessionStore.from_url(f"unix://bob:hunter2@{server.folder}/absent.sock?db=1") as store:
        with pytest.raises(UnavailableError, match=ends_with(f"{server.folder}/absent.sock")):
            await store.health()


async def test_a_server_that_is_silent(server: Server) -> None:
    async with TcpProxy(server.port) as proxy:
        node = proxy.url.removeprefix("redis://")
        async with (
            RedisSessionStore.from_url(proxy.url, timeout=0.2) as connected,
            RedisSessionStore.from_url(proxy.url, timeout=0.2) as stranger,
        ):
            await connected.health()
            proxy.stall()
            for store in (connected, stranger):
                with pytest.raises(OperationTimeoutError, match=ends_with(node)):
                    await store.get_session("k")
                with pytest.raises(UnavailableError, match=f"in time {ends_with(node)}"):
                    await store.health()
            proxy.resume()


async def test_a_server_that_refuses(server: Server) -> None:
    node = f"127.0.0.1:{server.port}"
    with server.client() as raw:
        raw.execute_command("ACL", "SETUSER", "bob", "on", ">hunter2", "+@all", "-evalsha", "~*")
    async with (
        Redis(port=server.port, host="127.0.0.1", username="bob", password="hunter2") as client,
        RedisSessionStore(client) as store,
    ):
        with pytest.raises(PermissionDeniedError, match=ends_with(node)):
            await store.create_session(ALICE, data())
    async with RedisSessionStore.from_url(f"redis://bob:hunter3@{node}") as store:
        with pytest.raises(UnauthenticatedError, match=ends_with(node)):
            await store.health()


async def test_a_connection_that_ends_under_a_write(server: Server) -> None:
    async with TcpProxy(server.port) as proxy, RedisSessionStore.from_url(proxy.url) as store:
        await store.health()
        proxy.cut(after=0)
        with pytest.raises(UnavailableError, match=ends_with(proxy.url.removeprefix("redis://"))):
            await store.create_session(ALICE, data())


async def test_an_address_of_ipv6() -> None:
    assert Dialer(Connection, {"host": "::1", "port": 7000}).node == "[::1]:7000"


async def test_what_is_no_fault_of_a_node() -> None:
    store = RedisSessionStore.from_url("redis://127.0.0.1")
    await store.aclose()
    with pytest.raises(UnavailableError, match=r"^the store is closed$"):
        await store.health()
