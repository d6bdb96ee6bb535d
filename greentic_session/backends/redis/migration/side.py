"""One side of a copy: a namespace of a Redis, be it one server or a cluster."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from greentic_session.backends.redis.keys import ClusterKeys, Keys
from greentic_session.backends.redis.pointers import Pointers
from greentic_session.backends.redis.walk import SCANNED, walk
from greentic_session.conversation.backends.redis.keys import ClusterKeys as ConversationClusterKeys
from greentic_session.conversation.backends.redis.keys import Keys as ConversationKeys
from greentic_session.transport.address import connection_of, is_cluster, nodes_of
from greentic_session.transport.client import client_of, link_of
from greentic_session.transport.cluster import ClusterLink
from greentic_session.transport.link import Link, Route

__all__ = ["ClusterSide", "Group", "ServerSide", "Side", "each", "side_of"]

T = TypeVar("T")

Group = tuple[Keys, list[bytes]]
"""The keys of one slot (of one server: all), and some names in it."""

_TIMEOUT = 30.0
"""For how many seconds a call may take: what copies can wait."""
_CONNECTIONS = 8
_STEP = 50
"""How many names there are in a group at most."""
_AT_ONCE = 32
"""How many groups are under way at once."""


class Side(ABC):
    """One side.

    Attributes:
        link: The way there.
        name: Tells which Redis and which namespace it is; never a password.
        conversations: How the conversations there are named.
    """

    link: Route
    conversations: ConversationKeys

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def id(self) -> str:
        """A short name for copies to be marked with."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @abstractmethod
    async def servers(self) -> list[Link]:
        """Return a link to each server."""

    @abstractmethod
    def walk(self, kind: bytes, advance: Callable[[int], None], redis_type: str = "string") -> AsyncIterator[Group]:
        """Yield the names of all keys of a kind, some perhaps twice.

        Args:
            kind: What follows the namespace in such a key, with colons around it.
            advance: Told of how many keys were looked at.
            redis_type: What they are in Redis.
        """

    @abstractmethod
    async def has(self, key: str) -> bool:
        """Say whether a session lives under a key."""

    async def size(self) -> int:
        """Return how many keys there are, of whomever."""
        return sum(await asyncio.gather(*(link.call("DBSIZE", repeatable=True) for link in await self.servers())))

    async def aclose(self) -> None:
        """End all connections."""
        await self.link.aclose()


class ServerSide(Side):
    """One server."""

    def __init__(self, name: str, link: Link, namespace: str) -> None:
        super().__init__(name)
        self.link = self._link = link
        self.keys = Keys(namespace)
        self.conversations = ConversationKeys(namespace)

    async def servers(self) -> list[Link]:
        return [self._link]

    async def walk(self, kind: bytes, advance: Callable[[int], None], redis_type: str = "string") -> AsyncIterator[Group]:
        prefix = self.keys.namespace.encode() + kind
        async for found in walk(self._link, prefix, b"", _always, redis_type):
            advance(SCANNED)
            for start in range(0, len(found), _STEP):
                yield self.keys, [name[len(prefix) :] for name in found[start : start + _STEP]]

    async def has(self, key: str) -> bool:
        return bool(await self._link.call("EXISTS", self.keys.session(key), repeatable=True))


class ClusterSide(Side):
    """A cluster.

    Attributes:
        keys: How keys are named.
        pointers: The owner pointers.
    """

    def __init__(self, name: str, link: ClusterLink, namespace: str) -> None:
        super().__init__(name)
        self.link = self._link = link
        self.keys = ClusterKeys(namespace)
        self.pointers = Pointers(link, namespace)
        self.conversations = ConversationClusterKeys(namespace)

    async def servers(self) -> list[Link]:
        return await self._link.primaries()

    async def walk(self, kind: bytes, advance: Callable[[int], None], redis_type: str = "string") -> AsyncIterator[Group]:
        front = self.keys.namespace.encode() + b":{"
        while True:
            primaries = await self._link.primaries()
            before = self._link.owners()
            for link in primaries:
                async for found in walk(link, front, b"*}" + kind, _always, redis_type):
                    advance(SCANNED)
                    for group in self._by_slot(found, len(front), b"}" + kind):
                        yield group
            await self._link.primaries()
            if self._link.owners() == before:
                return  # else a slot has moved, perhaps from a node that was yet to be asked to one that had been

    def _by_slot(self, found: list[bytes], start: int, mark: bytes) -> list[Group]:
        names: dict[bytes, list[bytes]] = {}
        for key in found:
            tag, _, name = key[start:].partition(mark)
            if b"}" not in tag:  # else it is of another kind, and its name has this mark in it
                names.setdefault(tag, []).append(name)
        return [
            (self.keys.within(tag.decode("utf-8", "replace")), some[at : at + _STEP])
            for tag, some in names.items()
            for at in range(0, len(some), _STEP)
        ]

    async def has(self, key: str) -> bool:
        tag = await self.pointers.follow(key)
        if tag is None:
            return False
        return bool(await self._link.call("EXISTS", self.keys.within(tag).session(key), repeatable=True))


def side_of(url: str, namespace: str) -> ServerSide | ClusterSide:
    """Return the side that a URL names. No I/O.

    Raises:
        InvalidInputError: The URL cannot be read, or the namespace cannot be one there.
        TypeError: One of them is no str.
    """
    client, timeout = client_of(url, _TIMEOUT, _TIMEOUT, {})
    link = link_of(client, timeout, _CONNECTIONS)
    name = f"{_name_of(url)} {namespace}"
    if isinstance(link, ClusterLink):
        return ClusterSide(name, link, namespace)
    return ServerSide(name, link, namespace)


def _name_of(url: str) -> str:
    if is_cluster(url):
        return ",".join(sorted(f"{host}:{port}" for host, port in nodes_of(url, _TIMEOUT, {})[2]))
    _, settings = connection_of(url, _TIMEOUT, {})
    at = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
    return f"{at}/{settings.get('db', 0)}"


async def each(found: AsyncIterator[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something with each, some at once; what fails ends all.

    Raises:
        GreenticError: What the first that failed raised.
    """

    async def one(item: T) -> None:
        await do(item)

    under_way: set[asyncio.Task[None]] = set()
    try:
        async for item in found:
            if len(under_way) == _AT_ONCE:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            under_way.add(asyncio.create_task(one(item)))
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def _always() -> None:
    """No store is to be closed here: whoever cancels the copy ends it."""
