"""One side of a copy: a namespace of a Redis, be it one server or a cluster."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from greentic_session._redis.cluster import ClusterClient
from greentic_session._redis.connect import caller_client_of, make_clients
from greentic_session._redis.executor import Executor
from greentic_session._redis.scanning import glob_of, together, walk
from greentic_session._redis.sentinel_url import service_of
from greentic_session._redis.url import connection_of, is_cluster, nodes_of
from greentic_session.backends.redis.keys import ClusterKeys, Keys
from greentic_session.backends.redis.owner_pointers import Pointers
from greentic_session.conversation.backends.redis.keys import ClusterKeys as ConversationClusterKeys
from greentic_session.conversation.backends.redis.keys import Keys as ConversationKeys

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
        name: Tells which Redis and which namespace it is; never a password.
        client: The way there.
        conversations: How the conversations there are named.
    """

    conversations: ConversationKeys

    def __init__(self, name: str, client: Executor) -> None:
        self.name = name
        self.client = client

    @property
    def id(self) -> str:
        """A short name for copies to be marked with."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @abstractmethod
    def walk(self, kind: str, looked: Callable[[int], None], redis_type: str = "string") -> AsyncIterator[Group]:
        """Yield the names of all keys of a kind, some perhaps twice.

        Args:
            kind: What follows the namespace in such a key, with a colon at the end.
            looked: Told of how many keys were looked at.
            redis_type: What they are in Redis.
        """

    @abstractmethod
    async def has(self, key: str) -> bool:
        """Say whether a session lives under a key."""

    async def size(self) -> int:
        """Return how many keys there are, of whomever."""
        servers = await self.client.servers()
        return sum(await together(*(server.call(("DBSIZE",), repeatable=True) for server in servers)))

    async def aclose(self) -> None:
        """End all connections."""
        await self.client.aclose()


class ServerSide(Side):
    """One server.

    Attributes:
        keys: How keys are named.
    """

    def __init__(self, name: str, client: Executor, namespace: str) -> None:
        super().__init__(name, client)
        self.keys: Keys = Keys(namespace)
        self.conversations: ConversationKeys = ConversationKeys(namespace)

    async def walk(self, kind: str, looked: Callable[[int], None], redis_type: str = "string") -> AsyncIterator[Group]:
        prefix = f"{self.keys.namespace}:{kind}"
        start = len(prefix.encode())
        for server in await self.client.servers():
            async for found in walk(server, glob_of(prefix), "TYPE", redis_type, looked=looked):
                for group in _groups(self.keys, [name[start:] for name in found]):
                    yield group

    async def has(self, key: str) -> bool:
        return bool(await self.client.call(("EXISTS", self.keys.session(key)), repeatable=True))


class ClusterSide(Side):
    """A cluster.

    Attributes:
        keys: How keys are named.
        pointers: The owner pointers.
    """

    def __init__(self, name: str, client: ClusterClient, namespace: str) -> None:
        super().__init__(name, client)
        self._cluster = client
        self.keys: ClusterKeys = ClusterKeys(namespace)
        self.pointers: Pointers = Pointers(client, namespace)
        self.conversations: ConversationKeys = ConversationClusterKeys(namespace)

    async def walk(self, kind: str, looked: Callable[[int], None], redis_type: str = "string") -> AsyncIterator[Group]:
        pattern = self.keys.every(f"{kind}*")
        while True:
            servers = await self._cluster.servers()
            before = self._cluster.owners()
            for server in servers:
                async for found in walk(server, pattern, "TYPE", redis_type, looked=looked):
                    for tag, names in self.keys.by_tag(found, kind).items():
                        for group in _groups(self.keys.within(tag), names):
                            yield group
            await self._cluster.servers()
            if self._cluster.owners() == before:
                return  # else a slot has moved, perhaps from a node that was yet to be asked to one that had been

    async def has(self, key: str) -> bool:
        tag = await self.pointers.follow(key)
        if tag is None:
            return False
        return bool(await self.client.call(("EXISTS", self.keys.within(tag).session(key)), repeatable=True))


def _groups(keys: Keys, names: list[bytes]) -> list[Group]:
    unlike = list(dict.fromkeys(names))  # SCAN may name one twice
    return [(keys, unlike[start : start + _STEP]) for start in range(0, len(unlike), _STEP)]


def side_of(url: str, namespace: str) -> ServerSide | ClusterSide:
    """Return the side that a URL names. No I/O.

    Raises:
        InvalidInputError: The URL cannot be read, or the namespace cannot be one there.
        TypeError: One of them is no str.
    """
    client, timeout = caller_client_of(url, _TIMEOUT, _TIMEOUT, {})
    shared, _ = make_clients(client, timeout, _CONNECTIONS, stale_reads=False)
    name = f"{_name_of(url)} {namespace}"
    if isinstance(shared, ClusterClient):
        return ClusterSide(name, shared, namespace)
    return ServerSide(name, shared, namespace)


def _name_of(url: str) -> str:
    if is_cluster(url):
        return _names(nodes_of(url, _TIMEOUT, {})[2])
    service, url, _ = service_of(url, {})
    _, settings = connection_of(url, _TIMEOUT, {})
    at = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
    if service is not None:
        at = f"{_names(service.sentinels)}/{service.name}"
    return f"{at}/{settings.get('db', 0)}"


def _names(places: Iterable[tuple[str, int]]) -> str:
    return ",".join(sorted(f"{host}:{port}" for host, port in places))


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
