"""Replay of recorded commands through the pool of redis.asyncio."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from benchmarks.harness.server import TIMEOUT_S
from greentic_session import SessionData
from greentic_session.models import version_of

from .wire import Command

__all__ = ["Replay", "as_text", "pooled_client", "text_getter"]


def pooled_client(port: int, connections: int) -> Redis:
    """Return a client with a connection for every task, and without retries."""
    pool = ConnectionPool(
        host="127.0.0.1",
        port=port,
        max_connections=connections,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
    return Redis(connection_pool=pool)


class Replay:
    """Commands that a store sent for one call; a transaction is sent as one pipeline.

    A write encodes its session again in every call and computes its version, as the store must.

    Args:
        client: Client that sends the commands.
        commands: Recorded commands.
        encoded: Text of the session as recorded, if every call encodes it again.
    """

    def __init__(self, client: Redis, commands: list[Command], encoded: bytes | None = None) -> None:
        self._client = client
        self._transaction = [command[0].upper() for command in (commands[0], commands[-1])] == [b"MULTI", b"EXEC"]
        self._commands: list[list[Any]] = [
            [command[0].decode(), *command[1:]] for command in (commands[1:-1] if self._transaction else commands)
        ]
        version = b"" if encoded is None else version_of(encoded).encode()
        arguments = [(command, at) for command in self._commands for at in range(len(command))]
        self._texts = [(command, at) for command, at in arguments if encoded and command[at] == encoded]
        self._versions = [(command, at) for command, at in arguments if encoded and command[at] == version]

    def send(self, data: SessionData | None = None) -> Awaitable[Any]:
        """Send the commands with the text of `data`; return one answer, or a list of several."""
        if data is not None and self._texts:
            text = data.to_json()
            for command, at in self._texts:
                command[at] = text
            version = version_of(text)
            for command, at in self._versions:
                command[at] = version
        if len(self._commands) == 1:
            # redis-py leaves this method without types.
            answer: Awaitable[Any] = self._client.execute_command(*self._commands[0])  # type: ignore[no-untyped-call]
            return answer
        pipeline = self._client.pipeline(transaction=self._transaction)
        for command in self._commands:
            pipeline.execute_command(*command)
        return pipeline.execute()


def as_text(answer: Any) -> bytes:
    """Return an answer that is a session's text as a whole."""
    assert isinstance(answer, bytes)
    return answer


def text_getter(answer: Any) -> Callable[[Any], bytes]:
    """Return a function that takes the session's text out of answers of the same shape.

    Raises:
        LookupError: There is no session's text in this answer.
    """
    if isinstance(answer, bytes) and answer.startswith(b'{"tenant_ctx"'):
        return as_text
    for at, part in enumerate(answer if isinstance(answer, list) else ()):
        try:
            inner = text_getter(part)
        except LookupError:
            continue
        return lambda answer: inner(answer[at])
    raise LookupError("no session's text in this answer")
