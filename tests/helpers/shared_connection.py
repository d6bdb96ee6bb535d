"""What the tests of the shared connection have in common: a link to a server, and what is under way on it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis
from redis.asyncio.connection import AbstractConnection, Connection

from greentic_session._redis.client import Link
from greentic_session._redis.url import connection_of

__all__ = ["NAME", "buffered", "connections", "echo", "link_to", "linked", "settle", "until"]

NAME = "shared"
"""The name of the link's connections."""


def link_to(url: str, *, timeout: float = 5.0, most: int = 64, kind: type[AbstractConnection] | None = None) -> Link:
    """Return a link to a URL; the caller closes it."""
    found, settings = connection_of(url, 5.0, {"client_name": NAME})
    return Link(kind or found, settings, timeout=timeout, max_connections=most)


@asynccontextmanager
async def linked(url: str, **options: Any) -> AsyncIterator[Link]:
    """Return a link that is connected already."""
    link = link_to(url, **options)
    try:
        await link.call(("PING",))
        yield link
    finally:
        await link.aclose()


async def echo(link: Link, text: str) -> None:
    """Make a call, and check that its answer is its own."""
    assert await link.call(("ECHO", text), repeatable=True) == text.encode()


def connections(raw: redis.Redis) -> int:
    """Return how many connections of links the server has."""
    return sum(client["name"] == NAME for client in raw.client_list())


async def until(holds: Callable[[], bool], message: str, *, within: float = 2.0) -> None:
    """Return as soon as something holds."""
    give_up = time.monotonic() + within
    while not holds():
        assert time.monotonic() < give_up, message
        await asyncio.sleep(0.002)


async def settle(raw: redis.Redis, most: int = 0) -> None:
    """Wait until the server has seen the ends of closed connections; fail if more than so many stay."""
    await until(lambda: connections(raw) <= most, f"more than {most} connections are left")


def buffered(link: Link) -> int:
    """Return how many bytes of commands wait to be sent, on all connections."""
    return sum(lane._transport.get_write_buffer_size() + sum(map(len, lane._outgoing)) for lane in link._lanes)


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
