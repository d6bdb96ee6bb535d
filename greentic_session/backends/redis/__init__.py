"""The Redis store: for fleets, and shared with the runtimes of the Rust reference.

It needs the extra: ``python -m pip install 'greentic-session[redis]'``.
"""

from typing import Any, Self, Unpack

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from greentic_session._redis.cluster import ClusterAddress, ClusterClient
from greentic_session._redis.connect import caller_client_of, make_clients
from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session.expiry import Seconds, Ttl
from greentic_session.limits import DEFAULT_MAX_SNAPSHOT_BYTES, StoreOptions, split_reply_options
from greentic_session.store import SessionStore

from .cluster import RedisClusterBackend
from .keys import ClusterKeys, Keys
from .single import RedisBackend

__all__ = ["DEFAULT_NAMESPACE", "RedisSessionStore"]


class RedisSessionStore(SessionStore):
    """A `SessionStore` in Redis 6.2 or later; see `from_url`.

    Any number of processes may share one Redis and one namespace, and with them runtimes of the
    Rust reference. A store serves the asyncio loop in which it is first used. It opens its own
    connections, with the settings of `client` (all but its retries and its ``socket_timeout``, for
    which `timeout` stands), and neither uses nor closes those of `client`.

    Args:
        client: A ``redis.asyncio.Redis`` or ``RedisCluster`` of yours; whether it decodes responses
            does not matter.
        namespace: The prefix of every key.
        timeout: For how many seconds an operation may take, connecting included.
        max_connections: How many connections there may be. Operations share them, so nearly always
            one carries all; more are opened where operations would wait behind long answers, and
            for sessions longer than 128 KiB on their way out.
        stale_reads: Let `get_session`, `get_versioned`, `find_wait` and `find_wait_by_scope` read
            from a replica, which may not know yet what was written a moment ago; by connections of
            its own, up to as many. It needs a client of a Sentinel, or of a cluster.
        options: The options of every `SessionStore`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type, or `client` is neither of these.
    """

    def __init__(
        self,
        client: Redis | RedisCluster | ClusterAddress,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        timeout: Seconds = 5.0,
        max_connections: int = 16,
        stale_reads: bool = False,
        **options: Unpack[StoreOptions],
    ) -> None:
        shared, reading = make_clients(client, timeout, max_connections, stale_reads=stale_reads)
        super().__init__(
            RedisClusterBackend(shared, ClusterKeys(namespace), reading)
            if isinstance(shared, ClusterClient)
            else RedisBackend(shared, Keys(namespace), reading),
            **options,
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        default_wait_ttl: Ttl = None,
        default_session_ttl: Ttl = None,
        max_snapshot_bytes: int = DEFAULT_MAX_SNAPSHOT_BYTES,
        max_waits_per_user: int | None = None,
        timeout: Seconds = 5.0,
        connect_timeout: Seconds = 5.0,
        max_connections: int = 16,
        stale_reads: bool = False,
        **connection: Any,
    ) -> Self:
        """Return a store for a URL. No I/O: the first operation connects.

        Args:
            url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS (the
                certificate is checked), or ``unix://[user:password@]path[?db=n]``. Where sentinels
                watch it: ``redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]``,
                or ``rediss+sentinel://``. A cluster:
                ``redis+cluster://[user:password@]host[:port],host[:port]``, or
                ``rediss+cluster://``.
            namespace: The prefix of every key.
            default_wait_ttl: The lifetime of a wait that names none.
            default_session_ttl: The same for `create_session`.
            max_snapshot_bytes: The longest wire text of a session, in bytes.
            max_waits_per_user: How many live waits one user may have; None for any number.
            timeout: For how many seconds an operation may take, connecting included. A
                ``socket_timeout`` in the URL may shorten it.
            connect_timeout: For how many seconds connecting may take.
            max_connections: How many connections there may be; operations share them.
            stale_reads: As for the constructor; it needs sentinels or a cluster.
            connection: Options for replies, as for `SessionStore`, and more for redis-py's
                connection: ``client_name``, ``username``, ``password``, ``db``, ``ssl_ca_certs``
                and its like; ``sentinel_username`` and ``sentinel_password`` for the sentinels.
                They go before what the URL says.

        Raises:
            InvalidInputError: The URL cannot be read, or an option is out of range.
            TypeError: An option has a wrong type.
        """
        replies = split_reply_options(connection)
        client, timeout = caller_client_of(url, timeout, connect_timeout, connection)
        return cls(
            client,
            namespace=namespace,
            default_wait_ttl=default_wait_ttl,
            default_session_ttl=default_session_ttl,
            max_snapshot_bytes=max_snapshot_bytes,
            max_waits_per_user=max_waits_per_user,
            timeout=timeout,
            max_connections=max_connections,
            stale_reads=stale_reads,
            **replies,
        )
