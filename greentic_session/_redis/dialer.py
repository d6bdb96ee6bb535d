"""Opening of connections to one Redis, with redis-py's handshake, TLS and AUTH, and backoff."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol, TypeAlias

from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff, NoBackoff

from .errors import TlsTimeoutError

__all__ = ["Check", "Dialer", "Finder", "Mover", "Opened", "node_of"]

# Settings of redis-py that would break a promise of `client`, or the parsing of answers.
_OUR_SETTINGS: Mapping[str, Any] = {
    "decode_responses": False,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "health_check_interval": 0,
    "protocol": 2,
    "retry_on_error": [],
    "retry_on_timeout": False,
    # The deadline of a call is ours. redis-py's is kept with asyncio.wait_for, which on Python 3.11
    # swallows a cancellation that comes while something is being sent; and it would cut a longer
    # timeout short.
    "socket_timeout": None,
}
_BACKOFF = EqualJitterBackoff(cap=1.0, base=0.02)
"""Between attempts to connect, in seconds."""


Opened: TypeAlias = tuple[asyncio.StreamWriter, str]
"""A connection, and what messages call its other end."""
Check: TypeAlias = Callable[[AbstractConnection], Awaitable[None]]
"""Looks at a connection before it is used, and raises a RedisError if it should not be."""


class Mover(Protocol):
    """Who has connections, and can leave a node."""

    def keep(self, nodes: Collection[str], *, at_once: bool) -> None:
        """Leave all nodes but these; `at_once`.

        Without waiting for the answers that are under way.
        """


class Finder(Protocol):
    """Who knows where to connect to, where that changes.

    Attributes:
        node: What messages call the other end where nothing was sent: where it was tried to connect
            to, or whom was asked.
    """

    node: str

    def serve(self, mover: Mover) -> None:
        """Tell this one when to leave a node."""

    async def connect(self, dialer: "Dialer") -> Opened:
        """Open a connection with ``dialer.dial``.

        Raises:
            OSError, RedisError: There is no node to connect to, or it cannot be reached.
        """
        raise NotImplementedError

    def look(self) -> None:
        """Start a check of the node, unless one runs; called now and then while there are calls."""

    def close(self) -> None:
        """Let go of everything; idempotent."""


class Dialer:
    """Opens connections.

    Args:
        connection_class: One of redis-py's asyncio connections.
        settings: Its arguments.
        finder: Knows where to, if the settings do not.

    Raises:
        TypeError: It does not know one of the settings.
    """

    def __init__(
        self, connection_class: type[AbstractConnection], settings: Mapping[str, Any], finder: Finder | None = None
    ) -> None:
        ours = {name: value for name, value in settings.items() if not name.startswith(("maint_notifications", "orig_"))}
        self._settings = {**ours, **_OUR_SETTINGS, "retry": Retry(NoBackoff(), 0)}
        self._connection_class = connection_class
        self._failures = 0
        self._connected = False
        self.not_before: float = 0.0
        """When the next attempt may begin, by the loop's clock."""
        self._finder = finder
        self._node = _node(connection_class(**self._settings))

    @property
    def node(self) -> str:
        """Where it connects to, for messages: ``host:port``, or the path of a socket."""
        return self._node if self._finder is None else self._finder.node

    async def connect(self) -> Opened:
        """Return the writer of a connection after its handshake, and its node.

        Raises:
            OSError, RedisError: It cannot be opened, or has ended since.
        """
        return await (self.dial() if self._finder is None else self._finder.connect(self))

    async def dial(self, check: Check | None = None, **place: Any) -> Opened:
        """Do the same at a place that is not in the settings: a host and a port.

        Raises:
            OSError, RedisError: It cannot be opened, or has ended since.
        """
        connection = self._connection_class(**{**self._settings, **place})
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py says nothing of it
            await _check_admitted(connection)
            if check is not None:
                await check(connection)
        except BaseException as error:
            _drop(connection)
            if isinstance(error, MemoryError):  # a list longer than the memory is announced
                raise driver.InvalidResponse("this is not Redis's protocol") from error
            raise
        self._connected = True
        reader, writer = connection._reader, connection._writer  # noqa: SLF001  # there is no public way to them
        if writer is None or reader is None or writer.transport.is_closing() or reader.at_eof() or reader.exception():
            # Its stream was told of an end; whoever takes the transport over would not be.
            _drop(connection)
            raise driver.ConnectionError("the connection ended")
        # It is the caller's now. redis-py would close it when it forgets the connection.
        connection._reader = connection._writer = None  # noqa: SLF001
        return writer, _node(connection)

    def failed(self, now: float) -> None:
        """Let the next attempt wait.

        Twice as long as after the last failure, up to a second, with jitter.
        """
        self._failures += 1
        self.not_before = now + _BACKOFF.compute(min(self._failures, 10))  # after 1,024 failures it raises OverflowError

    def timed_out(self) -> TimeoutError:
        """Return the error of whoever got no connection in time."""
        if issubclass(self._connection_class, SSLConnection) and not self._connected:
            return TlsTimeoutError("no connection in time")
        return TimeoutError("no connection in time")

    def succeeded(self) -> None:
        """Take it that Redis is well: after the next failure the next attempt comes soon."""
        self._failures = 0

    def moved(self) -> None:
        """Take it that Redis is elsewhere now.

        What failed before says nothing, and the next attempt may begin at once.
        """
        self._failures, self.not_before = 0, 0.0


def _node(connection: AbstractConnection) -> str:
    """Return what messages call the other end of a connection. It holds no credentials."""
    host, port = getattr(connection, "host", None), getattr(connection, "port", None)
    if host is None:
        return str(getattr(connection, "path", type(connection).__name__))
    return node_of(host, port)


def node_of(host: str, port: object) -> str:
    """Return what messages call a host and a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _check_admitted(connection: AbstractConnection) -> None:
    """Return if Redis takes commands from us.

    Without a password it would end the connection at the first long command, and not say why to
    those behind it.

    Raises:
        AuthenticationError: It wants a password.
    """
    await connection.send_command("CLIENT", "GETNAME")
    try:
        await connection.read_response()
    except driver.AuthenticationError:
        raise
    except driver.ResponseError:
        pass  # not for this user, or Redis is not ready: that is for the commands to tell


def _drop(connection: AbstractConnection) -> None:
    # redis-py's disconnect() is a coroutine: it could be cancelled, and would wait. Aborting the
    # transport needs neither.
    writer = connection._writer  # noqa: SLF001
    connection._reader = connection._writer = None  # noqa: SLF001
    if writer is not None:
        writer.transport.abort()
