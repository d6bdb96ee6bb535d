"""Conversation store in Redis, for many processes and machines.

It needs the extra: ``python -m pip install 'greentic-session[redis]'``.
"""

from typing import Any, TypeVar, Unpack, overload

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from greentic_session._redis.cluster import ClusterAddress
from greentic_session._redis.connect import caller_client_of, make_clients
from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session.conversation.codec import DEFAULT_MAX_MESSAGE_BYTES
from greentic_session.conversation.message import Message
from greentic_session.conversation.moments import Clock, utc_now
from greentic_session.conversation.options import StoreOptions
from greentic_session.conversation.store import ConversationStore
from greentic_session.expiry import Seconds, Ttl

from .backend import RedisConversationBackend
from .keys import ClusterKeys, Keys

__all__ = ["RedisConversationStore"]

M = TypeVar("M")
N = TypeVar("N")


class RedisOptions(StoreOptions, total=False):
    """The options of a `RedisConversationStore`, which describes them."""

    namespace: str
    timeout: Seconds
    max_connections: int
    stale_reads: bool


class RedisConversationStore(ConversationStore[M]):
    """Conversation store in Redis 6.2 or later; see `from_url`.

    Any number of processes may share one Redis and one namespace, with session stores too. A store
    serves the asyncio loop in which it is first used. It opens its own connections, with the
    settings of `client` (all but its retries and its ``socket_timeout``, for which `timeout`
    stands), and neither uses nor closes those of `client`.

    Every operation is one atomic step on the server, except `purge` and lists of more than 500
    conversations. These take several short steps, so that the server is never blocked for long;
    such a list is not of one moment.

    Args:
        client: A ``redis.asyncio.Redis`` or ``RedisCluster``, with or without ``decode_responses``.
        message_type: The type of messages; `Message` by default.
        namespace: The prefix of every key.
        timeout: How many seconds an operation may take, connecting included.
        max_connections: How many connections there may be; an operation beyond that waits for one.
        stale_reads: Let `load`, `messages` and `list` read from a replica, which may lack the
            latest writes; with connections of their own, up to `max_connections`. With `sliding`,
            `load` and `messages` write, too, and use the primary. It needs a client of a Sentinel
            or a cluster.
        options: The options of every `ConversationStore`: `ttl`, `sliding`, `max_message_bytes`,
            `clock`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type, or `client` is no client of redis-py.
    """

    @overload
    def __init__(
        self: "RedisConversationStore[Message]",
        client: Redis | RedisCluster | ClusterAddress,
        **options: Unpack[RedisOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        client: Redis | RedisCluster | ClusterAddress,
        *,
        message_type: type[M],
        **options: Unpack[RedisOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        client: Redis | RedisCluster | ClusterAddress,
        *,
        message_type: Any,
        **options: Unpack[RedisOptions],
    ) -> None: ...

    def __init__(
        self,
        client: Redis | RedisCluster | ClusterAddress,
        *,
        message_type: Any = Message,
        namespace: str = DEFAULT_NAMESPACE,
        timeout: Seconds = 5.0,
        max_connections: int = 16,
        stale_reads: bool = False,
        **options: Unpack[StoreOptions],
    ) -> None:
        shared, reading = make_clients(client, timeout, max_connections, stale_reads=stale_reads)
        keys = ClusterKeys(namespace) if shared.moving else Keys(namespace)
        super().__init__(RedisConversationBackend(shared, keys, reading), message_type=message_type, **options)

    @overload
    @classmethod
    def from_url(
        cls, url: str, *, message_type: type[Message] = ..., ttl: Ttl = ..., sliding: bool = ..., **options: Any
    ) -> "RedisConversationStore[Message]": ...

    @overload
    @classmethod
    def from_url(
        cls, url: str, *, message_type: type[N], ttl: Ttl = ..., sliding: bool = ..., **options: Any
    ) -> "RedisConversationStore[N]": ...

    @overload
    @classmethod
    def from_url(
        cls, url: str, *, message_type: Any, ttl: Ttl = ..., sliding: bool = ..., **options: Any
    ) -> "RedisConversationStore[Any]": ...

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        message_type: Any = Message,
        namespace: str = DEFAULT_NAMESPACE,
        ttl: Ttl = None,
        sliding: bool = False,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        clock: Clock = utc_now,
        timeout: Seconds = 5.0,
        connect_timeout: Seconds = 5.0,
        max_connections: int = 16,
        stale_reads: bool = False,
        **connection: Any,
    ) -> "RedisConversationStore[Any]":
        """Return a store for a URL. No I/O: the first operation connects.

        Args:
            url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS (the
                certificate is checked), or ``unix://[user:password@]path[?db=n]``. With sentinels:
                ``redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]``, or
                ``rediss+sentinel://``. A cluster:
                ``redis+cluster://[user:password@]host[:port],host[:port]``, or
                ``rediss+cluster://``.
            message_type: The type of messages; `Message` by default.
            namespace: The prefix of every key.
            ttl: How long a conversation is kept.
            sliding: Whether every operation renews the lifetime.
            max_message_bytes: The longest message, in bytes of its JSON text.
            clock: Returns the time in microseconds since the Unix epoch. Lifetimes do not depend on
                it.
            timeout: How many seconds an operation may take, connecting included. A
                ``socket_timeout`` in the URL may shorten it.
            connect_timeout: How many seconds connecting may take.
            max_connections: How many connections there may be; an operation beyond that waits for
                one.
            stale_reads: As for the constructor; it needs sentinels or a cluster.
            connection: More options of redis-py's connection: ``client_name``, ``username``,
                ``password``, ``db``, ``ssl_ca_certs`` and its like; ``sentinel_username`` and
                ``sentinel_password`` for the sentinels. They override the URL.

        Raises:
            InvalidInputError: The URL cannot be read, or an option is out of range.
            TypeError: An option has a wrong type.
        """
        client, timeout = caller_client_of(url, timeout, connect_timeout, connection)
        return cls(
            client,
            message_type=message_type,
            namespace=namespace,
            ttl=ttl,
            sliding=sliding,
            max_message_bytes=max_message_bytes,
            clock=clock,
            timeout=timeout,
            max_connections=max_connections,
            stale_reads=stale_reads,
        )
