"""From a client or a URL of the caller's to the `Link` of a store of ours."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool

from greentic_session._fields import check_int
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Seconds, milliseconds

from .address import connection_of
from .link import Link

__all__ = ["client_of", "link_of"]

T = TypeVar("T")


def link_of(client: Redis, timeout: Seconds, max_connections: int) -> Link:
    """Return a link that opens connections of its own, with the settings of a client.

    Args:
        client: It is neither used nor closed. Whoever has the link keeps the client too: the settings of a Sentinel's
            client hold it by a weak reference.
        timeout: For how many seconds a call may take, connecting included.
        max_connections: How many connections there may be.

    Raises:
        InvalidInputError: An option is out of range, or the client has a setting that redis-py does not know.
        TypeError: An option has a wrong type, or `client` is no ``redis.asyncio.Redis``.
    """
    if not isinstance(client, Redis):
        raise TypeError(f"client must be a redis.asyncio.Redis, not {type(client).__name__}")
    check_int("max_connections", max_connections, 1, sys.maxsize)
    pool, seconds = client.connection_pool, milliseconds(timeout, "timeout") / 1000
    return _checked(
        lambda: Link(pool.connection_class, pool.connection_kwargs, timeout=seconds, max_connections=max_connections)
    )


def client_of(url: str, timeout: Seconds, connect_timeout: Seconds, connection: Mapping[str, Any]) -> tuple[Redis, Seconds]:
    """Return a client for a URL, for `link_of`, and the timeout that holds then. No I/O.

    Args:
        url: As for `connection_of`.
        timeout: For how many seconds a call may take. A ``socket_timeout`` in the URL may shorten it.
        connect_timeout: For how many seconds connecting may take.
        connection: Settings of redis-py's connection that go before what the URL says.

    Raises:
        InvalidInputError: The URL cannot be read, or an option is out of range.
        TypeError: An option has a wrong type.
    """
    connection_class, settings = connection_of(url, connect_timeout, connection)
    if seconds := settings.pop("socket_timeout", None):
        timeout = min(milliseconds(timeout, "timeout"), milliseconds(seconds, "socket_timeout")) / 1000
    pool = _checked(lambda: ConnectionPool(connection_class=connection_class, **settings))
    return Redis(connection_pool=pool), timeout


def _checked(make: Callable[[], T]) -> T:
    try:
        return make()
    except (RedisError, ValueError):
        # The cause may quote the value, and that may be a password.
        raise InvalidInputError("an option of the connection has a value that redis-py does not know") from None
