"""A namespace of a Redis as one side of a copy, be it one server or a cluster."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import TypeVar

from greentic_session._redis.cluster import ClusterClient
from greentic_session._redis.connect import caller_client_of, make_clients
from greentic_session._redis.executor import Executor
from greentic_session._redis.scanning import glob_of, together, walk_servers
from greentic_session._redis.sentinel_url import service_of
from greentic_session._redis.url import connection_of, is_cluster, nodes_of
from greentic_session.backends.redis.keys import ClusterKeys, Keys, tag_of
from greentic_session.backends.redis.owner_pointers import Pointers, Reservation, new_nonce
from greentic_session.backends.redis.ready_entries import Ask, Entries
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.backends.redis.backend import RedisConversationBackend
from greentic_session.conversation.backends.redis.keys import ClusterKeys as ConversationClusterKeys
from greentic_session.conversation.backends.redis.keys import Keys as ConversationKeys
from greentic_session.tenancy import Owner

from .sides import Group, Looked, Side

__all__ = ["ClusterSide", "RedisSide", "ServerSide", "redis_side_of"]

T = TypeVar("T")

_TIMEOUT = 30.0
"""For how many seconds a call may take: what copies can wait."""
_CONNECTIONS = 8
_STEP = 50
"""How many names there are in a group at most."""


class RedisSide(Side):
    """A namespace of a Redis.

    Args:
        name: Tells which one it is.
        client: The way there.
        names: How the conversations there are named.
    """

    def __init__(self, name: str, client: Executor, names: ConversationKeys) -> None:
        super().__init__(name)
        self.client = client
        self.conversations: ConversationBackend = RedisConversationBackend(client, names)

    @abstractmethod
    def walk(self, kind: str, looked: Looked, redis_type: str = "string") -> AsyncGenerator[Group, None]:
        """Yield the names of all keys of a kind, some perhaps twice.

        Args:
            kind: What follows the namespace in such a key, with a colon at the end.
            looked: Told of how many keys were looked at.
            redis_type: What they are in Redis.
        """

    @abstractmethod
    def keys_of(self, owner: Owner) -> Keys:
        """Return how the keys of an owner's places are named."""

    @abstractmethod
    async def step(
        self, keys: Keys, take: Ask[Executor, T], held: Reservation | None = None, *, due_ms: int | None = None
    ) -> T:
        """Take a step that may make something ready.

        On a cluster it is taken again where it was undone: see `Entries.step`.

        Args:
            keys: Where it is taken.
            take: Takes it.
            held: On a cluster, a reservation that the step may use.
            due_ms: In how many ms there will be something ready behind it, most likely.
        """

    @abstractmethod
    async def has(self, key: str) -> bool:
        """Say whether a session lives under a key."""

    def walk_conversations(self, looked: Looked) -> AsyncIterator[Group]:
        """See `Side.walk_conversations`."""
        return self.walk("conv:head:", looked, "hash")

    async def size(self) -> int:
        """See `Side.size`: keys, of whomever."""
        servers = await self.client.servers()
        return sum(await together(*(server.call(("DBSIZE",), repeatable=True) for server in servers)))

    async def aclose(self) -> None:
        """End all connections."""
        await self.client.aclose()


class ServerSide(RedisSide):
    """One server.

    Attributes:
        keys: How keys are named.
    """

    def __init__(self, name: str, client: Executor, namespace: str) -> None:
        super().__init__(name, client, ConversationKeys(namespace))
        self.keys: Keys = Keys(namespace)

    async def walk(self, kind: str, looked: Looked, redis_type: str = "string") -> AsyncGenerator[Group, None]:
        prefix = f"{self.keys.namespace}:{kind}"
        start = len(prefix.encode())
        async for found in walk_servers(self.client, glob_of(prefix), "TYPE", redis_type, looked=looked):
            for group in _groups(self.keys, [name[start:] for name in found]):
                yield group

    def keys_of(self, owner: Owner) -> Keys:  # noqa: ARG002  # all are in one place
        return self.keys

    async def step(
        self,
        keys: Keys,  # noqa: ARG002  # all are in one place
        take: Ask[Executor, T],
        held: Reservation | None = None,  # noqa: ARG002
        *,
        due_ms: int | None = None,  # noqa: ARG002
    ) -> T:
        return await take(self.client)

    async def has(self, key: str) -> bool:
        return bool(await self.client.call(("EXISTS", self.keys.session(key)), repeatable=True))


class ClusterSide(RedisSide):
    """A cluster.

    Attributes:
        keys: How keys are named.
        pointers: The owner pointers.
    """

    def __init__(self, name: str, client: ClusterClient, namespace: str) -> None:
        super().__init__(name, client, ConversationClusterKeys(namespace))
        self.keys: ClusterKeys = ClusterKeys(namespace)
        self.pointers: Pointers = Pointers(client, namespace)
        self._entries = Entries(client, self.keys)

    async def walk(self, kind: str, looked: Looked, redis_type: str = "string") -> AsyncGenerator[Group, None]:
        pattern = self.keys.every(f"{kind}*")
        async for found in walk_servers(self.client, pattern, "TYPE", redis_type, looked=looked):
            for tag, names in self.keys.by_tag(found, kind).items():
                for group in _groups(self.keys.within(tag), names):
                    yield group

    def keys_of(self, owner: Owner) -> Keys:
        return self.keys.within(tag_of(owner))

    async def step(
        self, keys: Keys, take: Ask[Executor, T], held: Reservation | None = None, *, due_ms: int | None = None
    ) -> T:
        return await self._entries.step(keys.tag, take, self.reserve, held, due_ms=due_ms)

    async def reserve(self, key: str, tag: str, ttl_ms: int | None, replaced: str) -> Reservation:
        """As `Pointers.reserve`."""
        return await self.pointers.reserve(key, tag, new_nonce(), ttl_ms, replaced)

    async def has(self, key: str) -> bool:
        tag = await self.pointers.follow(key)
        if tag is None:
            return False
        return bool(await self.client.call(("EXISTS", self.keys.within(tag).session(key)), repeatable=True))


def _groups(keys: Keys, names: list[bytes]) -> list[Group]:
    unlike = list(dict.fromkeys(names))  # SCAN may name one twice
    return [(keys, unlike[start : start + _STEP]) for start in range(0, len(unlike), _STEP)]


def redis_side_of(url: str, namespace: str) -> ServerSide | ClusterSide:
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
