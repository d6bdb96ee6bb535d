"""From a client or a URL of the caller's to the `Link` of a store of ours."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import ConnectionPool

from greentic_session._fields import check_int
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Seconds, milliseconds

from .address import connection_of, is_cluster, nodes_of
from .cluster import ClusterAddress, ClusterLink
from .link import Link

__all__ = ["Client", "client_of", "link_of"]

T = TypeVar("T")
Client: TypeAlias = Redis | RedisCluster | ClusterAddress
"""What tells where Redis is, and how to connect to it."""


def link_of(client: Client, timeout: Seconds, max_connections: int, *, stale_reads: bool = False) -> Link | ClusterLink:
    """Return a link that opens connections of its own, with the settings of a client.

    Args:
        client: It is neither used nor closed. Whoever has the link keeps the client too: the settings of a Sentinel's
            client hold it by a weak reference.
        timeout: For how many seconds a call may take, connecting included.
        max_connections: How many connections there may be; on a cluster, to each node.
        stale_reads: Whether reads that allow it go to replicas.

    Raises:
        InvalidInputError: An option is out of range, or the client has a setting that redis-py does not know.
        TypeError: An option has a wrong type, or `client` is no ``redis.asyncio.Redis`` or ``RedisCluster``.
    """
    if not isinstance(client, Redis | RedisCluster | ClusterAddress):
        raise TypeError(f"client must be a redis.asyncio.Redis or RedisCluster, not {type(client).__name__}")
    check_int("max_connections", max_connections, 1, sys.maxsize)
    seconds = milliseconds(timeout, "timeout") / 1000
    if isinstance(client, Redis):
        pool = client.connection_pool
        return _checked(
            lambda: Link(pool.connection_class, pool.connection_kwargs, timeout=seconds, max_connections=max_connections)
        )
    address = _cluster_of(client) if isinstance(client, RedisCluster) else client
    return _checked(lambda: ClusterLink(address, timeout=seconds, max_connections=max_connections, stale_reads=stale_reads))


def client_of(url: str, timeout: Seconds, connect_timeout: Seconds, connection: Mapping[str, Any]) -> tuple[Client, Seconds]:
    """Return a client for a URL, for `link_of`, and the timeout that holds then. No I/O.

    Args:
        url: As for `connection_of` or `nodes_of`.
        timeout: For how many seconds a call may take. A ``socket_timeout`` in the URL may shorten it.
        connect_timeout: For how many seconds connecting may take.
        connection: Settings of redis-py's connection that go before what the URL says.

    Raises:
        InvalidInputError: The URL cannot be read, or an option is out of range.
        TypeError: An option has a wrong type.
    """
    if is_cluster(url):
        connection_class, settings, nodes = nodes_of(url, connect_timeout, connection)
        timeout = _shortened(timeout, settings)
        return ClusterAddress(connection_class, settings, nodes), timeout
    connection_class, settings = connection_of(url, connect_timeout, connection)
    timeout = _shortened(timeout, settings)
    pool = _checked(lambda: ConnectionPool(connection_class=connection_class, **settings))
    return Redis(connection_pool=pool), timeout


def _cluster_of(client: RedisCluster) -> ClusterAddress:
    """Return what a client knows of its cluster; the client is neither used nor closed."""
    manager = client.nodes_manager
    known = list(manager.startup_nodes.values()) or list(manager.nodes_cache.values())
    # What it does on connecting is to allow reads on replicas; the place is each node's own.
    others = ("host", "port", "redis_connect_func")
    settings = {name: value for name, value in known[0].connection_kwargs.items() if name not in others}
    nodes = [(str(node.host), int(node.port)) for node in known]
    return ClusterAddress(known[0].connection_class, settings, nodes, getattr(manager, "address_remap", None))


def _shortened(timeout: Seconds, settings: dict[str, Any]) -> Seconds:
    if seconds := settings.pop("socket_timeout", None):
        return min(milliseconds(timeout, "timeout"), milliseconds(seconds, "socket_timeout")) / 1000
    return timeout


def _checked(make: Callable[[], T]) -> T:
    try:
        return make()
    except (RedisError, ValueError):
        # The cause may quote the value, and that may be a password.
        raise InvalidInputError("an option of the connection has a value that redis-py does not know") from None
