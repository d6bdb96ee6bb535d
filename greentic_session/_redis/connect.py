"""From a client or a URL of the caller's to the `RedisClient` of a store of ours."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from redis import Redis as BlockingRedis
from redis import RedisCluster as BlockingCluster
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool

from greentic_session._json.fields import check_bool, check_int
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Seconds, milliseconds

from .client import RedisClient
from .cluster import ClusterAddress, ClusterClient
from .executor import Executor
from .sentinel_service import make_service_clients
from .sentinel_url import caller_client_of_service, service_of
from .url import connection_of, is_cluster, nodes_of

__all__ = ["CallerClient", "caller_client_of", "make_clients"]

T = TypeVar("T")
CallerClient: TypeAlias = Redis | RedisCluster | ClusterAddress
"""What tells where Redis is, and how to connect to it."""


def make_clients(
    client: CallerClient, timeout: Seconds, max_connections: int, *, stale_reads: bool
) -> tuple[RedisClient | ClusterClient, Executor]:
    """Return clients of our own with the settings of a caller's: one for all, one for reads.

    Args:
        client: It is neither used nor closed.
        timeout: For how many seconds a call may take, connecting included.
        max_connections: How many connections a client may have; on a cluster, to each node.
        stale_reads: Whether the second leads to a replica; else it is the first.

    Raises:
        InvalidInputError: An option is out of range, or the client has a setting that redis-py does
            not know.
        TypeError: An option has a wrong type, or `client` is no ``redis.asyncio.Redis`` or
            ``RedisCluster``.
    """
    if isinstance(client, BlockingRedis | BlockingCluster):
        kind = type(client).__name__
        raise TypeError(f"client must be a redis.asyncio.Redis or RedisCluster, not the synchronous redis.{kind}")
    if not isinstance(client, Redis | RedisCluster | ClusterAddress):
        raise TypeError(f"client must be a redis.asyncio.Redis or RedisCluster, not {type(client).__name__}")
    check_int("max_connections", max_connections, 1, sys.maxsize)
    check_bool("stale_reads", stale_reads)
    seconds = milliseconds(timeout, "timeout") / 1000
    if not isinstance(client, Redis):
        address = _cluster_of(client) if isinstance(client, RedisCluster) else client
        cluster = _checked(lambda: ClusterClient(address, timeout=seconds, max_connections=max_connections))
        return cluster, cluster.stale if stale_reads else cluster
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return _checked(lambda: make_service_clients(pool, seconds, max_connections, stale_reads=stale_reads))
    if stale_reads:
        raise InvalidInputError("stale_reads needs replicas, and this is a single Redis: name its sentinels, or a cluster")
    shared = _checked(
        lambda: RedisClient(pool.connection_class, pool.connection_kwargs, timeout=seconds, max_connections=max_connections)
    )
    return shared, shared


def caller_client_of(
    url: str, timeout: Seconds, connect_timeout: Seconds, connection: Mapping[str, Any]
) -> tuple[CallerClient, Seconds]:
    """Return a client for a URL, for `make_clients`, and the timeout that holds then. No I/O.

    Args:
        url: As for `connection_of`, `service_of` or `nodes_of`.
        timeout: For how many seconds a call may take. A ``socket_timeout`` in the URL may shorten
            it.
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
    service, url, connection = service_of(url, connection)
    connection_class, settings = connection_of(url, connect_timeout, connection)
    timeout = _shortened(timeout, settings)
    if service is not None:
        return _checked(lambda: caller_client_of_service(service, connection_class, settings)), timeout
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
    except InvalidInputError:
        raise
    except (RedisError, ValueError):
        # The cause may quote the value, and that may be a password.
        raise InvalidInputError("an option of the connection has a value that redis-py does not know") from None
