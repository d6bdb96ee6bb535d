"""The Redis store: for fleets, and shared with the runtimes of the Rust reference.

It needs the extra: ``python -m pip install 'greentic-session[redis]'``.
"""

import sys
from typing import Any, Self

from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool

from greentic_session._fields import check_int
from greentic_session.errors import GreenticError, InvalidInputError
from greentic_session.expiry import Seconds, Ttl, milliseconds
from greentic_session.limits import DEFAULT_MAX_SNAPSHOT_BYTES
from greentic_session.store import SessionStore
from greentic_session.transport.address import connection_of
from greentic_session.transport.link import Link

from .backend import RedisBackend
from .keys import Keys

__all__ = ["DEFAULT_NAMESPACE", "RedisSessionStore"]

DEFAULT_NAMESPACE = "greentic:session"
"""The front of every key, unless another is asked for; the reference's."""


class RedisSessionStore(SessionStore):
    """A `SessionStore` in Redis 6.2 or later; see `from_url`.

    Any number of processes may share one Redis and one namespace, and with them runtimes of the Rust reference. A store
    serves the asyncio loop in which it is first used. It opens its own connections, with the settings of `client` (all but
    its retries and its ``socket_timeout``, for which `timeout` stands), and neither uses nor closes those of `client`.

    Args:
        client: A ``redis.asyncio.Redis`` of yours; whether it decodes responses does not matter.
        namespace: The front of every key.
        default_wait_ttl: The lifetime of a wait that names none.
        default_session_ttl: The same for `create_session`.
        max_snapshot_bytes: The longest wire text of a session, in bytes.
        timeout: For how many seconds an operation may take, connecting included.
        max_connections: How many connections there may be. Operations share them, so nearly always one carries all; more are
            opened where operations would wait behind long answers, and for sessions longer than 128 KiB on their way out.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type, or `client` is no ``redis.asyncio.Redis``.
    """

    def __init__(
        self,
        client: Redis,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        default_wait_ttl: Ttl = None,
        default_session_ttl: Ttl = None,
        max_snapshot_bytes: int = DEFAULT_MAX_SNAPSHOT_BYTES,
        timeout: Seconds = 5.0,
        max_connections: int = 16,
    ) -> None:
        if not isinstance(client, Redis):
            raise TypeError(f"client must be a redis.asyncio.Redis, not {type(client).__name__}")
        check_int("max_connections", max_connections, 1, sys.maxsize)
        self._client = client  # kept: the settings of a Sentinel's client hold it by a weak reference
        pool = client.connection_pool
        link = Link(
            pool.connection_class,
            pool.connection_kwargs,
            timeout=milliseconds(timeout, "timeout") / 1000,
            max_connections=max_connections,
        )
        super().__init__(
            RedisBackend(link, Keys(namespace)),
            default_wait_ttl=default_wait_ttl,
            default_session_ttl=default_session_ttl,
            max_snapshot_bytes=max_snapshot_bytes,
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
        timeout: Seconds = 5.0,
        connect_timeout: Seconds = 5.0,
        max_connections: int = 16,
        **connection: Any,
    ) -> Self:
        """Return a store for a URL. No I/O: the first operation connects.

        Args:
            url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS (the certificate is checked), or
                ``unix://[user:password@]path[?db=n]``.
            namespace: The front of every key.
            default_wait_ttl: The lifetime of a wait that names none.
            default_session_ttl: The same for `create_session`.
            max_snapshot_bytes: The longest wire text of a session, in bytes.
            timeout: For how many seconds an operation may take, connecting included. A ``socket_timeout`` in the URL may
                shorten it.
            connect_timeout: For how many seconds connecting may take.
            max_connections: How many connections there may be; operations share them.
            connection: More for redis-py's connection: ``client_name``, ``username``, ``password``, ``db``,
                ``ssl_ca_certs`` and its like. They go before what the URL says.

        Raises:
            InvalidInputError: The URL cannot be read, or an option is out of range.
            TypeError: An option has a wrong type.
        """
        connection_class, settings = connection_of(url, connect_timeout, connection)
        if seconds := settings.pop("socket_timeout", None):
            timeout = min(milliseconds(timeout, "timeout"), milliseconds(seconds, "socket_timeout")) / 1000
        try:
            return cls(
                Redis(connection_pool=ConnectionPool(connection_class=connection_class, **settings)),
                namespace=namespace,
                default_wait_ttl=default_wait_ttl,
                default_session_ttl=default_session_ttl,
                max_snapshot_bytes=max_snapshot_bytes,
                timeout=timeout,
                max_connections=max_connections,
            )
        except GreenticError:
            raise
        except (RedisError, ValueError):
            # The cause may quote the value, and that may be a password.
            raise InvalidInputError("an option of the connection has a value that redis-py does not know") from None
