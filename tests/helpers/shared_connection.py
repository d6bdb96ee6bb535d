"""What the tests of the shared connection have in common.

A client to a server, and what is under way on it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import redis
from patience import PATIENCE, until
from redis.asyncio.connection import AbstractConnection, Connection
from tcp_proxy import TcpProxy

from greentic_session._redis.client import RedisClient
from greentic_session._redis.connection import LONG_BYTES
from greentic_session._redis.url import connection_of

__all__ = [
    "HELD_BYTES",
    "NAME",
    "buffered",
    "client_for",
    "connected",
    "connections",
    "echo",
    "ends",
    "hold_long_answer",
    "kinds",
    "settle",
]

NAME = "shared"
"""The name of the client's connections."""
HELD_BYTES = 2_000_000
"""Length of the answer that `hold_long_answer` holds."""


def client_for(
    url: str, *, timeout: float = PATIENCE, most: int = 64, kind: type[AbstractConnection] | None = None
) -> RedisClient:
    """Return a client to a URL; the caller closes it."""
    found, settings = connection_of(url, PATIENCE, {"client_name": NAME})
    return RedisClient(kind or found, settings, timeout=timeout, max_connections=most)


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[RedisClient]:
    """Return a client that is connected already."""
    client = client_for(url, **options)
    try:
        await client.call(("PING",))
        yield client
    finally:
        await client.aclose()


async def echo(client: RedisClient, text: str) -> None:
    """Make a call, and check that its answer is its own."""
    assert await client.call(("ECHO", text), repeatable=True) == text.encode()


async def hold_long_answer(client: RedisClient, proxy: TcpProxy, raw: redis.Redis) -> asyncio.Task[Any]:
    """Begin a call whose long answer the proxy holds after its beginning has come.

    Returns:
        The call, which ends after the proxy's `release`.
    """
    raw.set("long", b"x" * HELD_BYTES)
    proxy.hold(after=3 * LONG_BYTES)
    call = asyncio.create_task(client.call(("GET", "long")))
    [connection] = client._connections.current
    await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
    return call


def connections(raw: redis.Redis) -> int:
    """Return how many connections of clients the server has."""
    return sum(client["name"] == NAME for client in raw.client_list())


async def settle(raw: redis.Redis, most: int = 0) -> None:
    """Wait until the server has seen closed connections end; fail if more than `count` stay."""
    await until(lambda: connections(raw) <= most, f"more than {most} connections are left")


def buffered(client: RedisClient) -> int:
    """Return how many bytes of commands wait to be sent, on all connections."""
    return sum(
        connection._transport.get_write_buffer_size() + sum(map(len, connection._outgoing))
        for connection in client._connections.current
    )


class Counting(Connection):
    """A connection that notes when each was tried."""

    tries: list[float]

    async def _connect(self) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py says nothing of it


def counting() -> type[Counting]:
    """Return a kind of connection with a list of its own."""

    class Fresh(Counting):
        tries: list[float] = []  # noqa: RUF012  # shared by its objects on purpose

    return Fresh


async def ends(calls: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Return what each of some calls returns or raises."""
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(outcomes: Iterable[object]) -> Counter[type]:
    return Counter(type(outcome) for outcome in outcomes)
