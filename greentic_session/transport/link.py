"""Connections to one Redis: taken for one command, given back when its answer is read.

They are redis-py's own (its handshake, TLS, AUTH and parsing), made with its settings and kept here rather than in its
pools, for three promises that those do not make:

- A write is sent once. redis-py repeats a failed command, by default ten times; here only what changes nothing is sent
  again, once, and only when the connection turned out to be dead.
- One deadline holds for the whole of a call, from waiting for a connection to reading the answer.
- A call that is cancelled or late takes its connection with it: an answer that nobody waits for is never read by another.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from greentic_session.errors import UnavailableError

from .failures import translate

__all__ = ["Arg", "Link"]

Arg = bytes | str | int

# Settings of redis-py that would break a promise above, or the parsing of answers.
_OURS: Mapping[str, Any] = {
    "decode_responses": False,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "health_check_interval": 0,
    "protocol": 2,
    "retry_on_error": [],
    "retry_on_timeout": False,
    # The deadline of a call is ours. redis-py's is kept with asyncio.wait_for, which on Python 3.11 swallows a cancellation
    # that comes while something is being sent; and it would cut a longer timeout short.
    "socket_timeout": None,
}


class Link:
    """Sends commands to one Redis.

    Args:
        connection_class: One of redis-py's asyncio connections.
        settings: Its arguments.
        timeout: For how many seconds a call may take, everything included.
        max_connections: How many connections there may be; a call beyond that waits for one.
    """

    def __init__(
        self,
        connection_class: type[AbstractConnection],
        settings: Mapping[str, Any],
        *,
        timeout: float,
        max_connections: int,
    ) -> None:
        ours = {name: value for name, value in settings.items() if not name.startswith(("maint_notifications", "orig_"))}
        self._settings = {**ours, **_OURS, "retry": Retry(NoBackoff(), 0)}
        self._connection_class = connection_class
        self._timeout = timeout
        self._idle: list[AbstractConnection] = []
        self._places = asyncio.Semaphore(max_connections)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        connection_class(**self._settings)  # raises TypeError here and now if a setting is unknown

    async def call(self, *command: Arg, repeatable: bool = False, unknown: tuple[Arg, ...] = ()) -> Any:
        """Send a command and return its answer, as bytes, ints, lists and None.

        Args:
            command: The command and its arguments.
            repeatable: Whether sending it twice does what sending it once does.
            unknown: What to send instead if the server answers that it does not know the script (NOSCRIPT).

        Raises:
            GreenticError: As `failures.translate` has it, from the driver's error.
        """
        self._check_loop()
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._call_once(command, unknown)
                except (driver.ConnectionError, OSError) as error:
                    if not repeatable or isinstance(error, driver.AuthenticationError | driver.BusyLoadingError):
                        raise
                    return await self._call_once(command, unknown, fresh=True)
        except (driver.RedisError, OSError) as error:
            raise translate(error) from error

    async def _call_once(self, command: tuple[Arg, ...], unknown: tuple[Arg, ...], *, fresh: bool = False) -> Any:
        async with self._places:
            connection = await self._take(fresh=fresh)
            writer = connection._writer  # noqa: SLF001  # redis-py forgets it when it fails, and only closes it
            try:
                try:
                    answer = await _exchange(connection, command)
                except driver.NoScriptError:
                    if not unknown:
                        raise
                    answer = await _exchange(connection, unknown)
            except driver.ResponseError as error:
                if isinstance(error, driver.ReadOnlyError) or "READONLY" in str(error):
                    # A primary no more. Behind an address that fails over, new connections lead to the new one.
                    _drop(connection)
                    self._drop_idle()
                else:
                    self._give_back(connection)  # an answer like any other: the connection is in order
                raise
            except BaseException:
                _drop(connection, writer)
                raise
            self._give_back(connection)
            return answer

    async def _take(self, *, fresh: bool) -> AbstractConnection:
        while self._idle and not fresh:
            connection = self._idle.pop()
            if await _is_quiet(connection):
                return connection
            _drop(connection)
        connection = self._connection_class(**self._settings)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py says nothing of it
        except BaseException:
            _drop(connection)
            raise
        return connection

    def _give_back(self, connection: AbstractConnection) -> None:
        if self._closed:
            _drop(connection)
        else:
            self._idle.append(connection)

    def _check_loop(self) -> None:
        if self._closed:
            raise UnavailableError("the store is closed")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError as error:
            raise UnavailableError("a Redis store runs on asyncio only") from error
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise UnavailableError("a Redis store serves the event loop in which it was first used; make one for each")

    def close(self) -> None:
        """Close what is idle now and the rest as it comes back; idempotent."""
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        while self._idle:
            _drop(self._idle.pop())


async def _exchange(connection: AbstractConnection, command: tuple[Arg, ...]) -> Any:
    await connection.send_packed_command(connection.pack_command(*command), check_health=False)
    return await connection.read_response(disable_decoding=True)


async def _is_quiet(connection: AbstractConnection) -> bool:
    """Say whether an idle connection is still open, with nothing to read on it."""
    try:
        # Its name before redis-py 8. It looks at what has arrived, end of file included, and does not wait.
        can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
        return not await can_read()
    except (driver.RedisError, OSError):
        return False
    except BaseException:
        _drop(connection)
        raise


def _drop(connection: AbstractConnection, writer: asyncio.StreamWriter | None = None) -> None:
    # redis-py's disconnect() is a coroutine: it could be cancelled, and would wait. Aborting the transport needs neither;
    # closing it would go on sending what is buffered, for as long as the other side takes.
    writer = writer or connection._writer  # noqa: SLF001
    connection._reader = connection._writer = None  # noqa: SLF001
    if writer is not None:
        try:
            writer.transport.abort()
        except RuntimeError:
            pass  # its loop is closed, and with it the socket
