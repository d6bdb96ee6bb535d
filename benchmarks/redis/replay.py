"""Replay of recorded commands through the pool of redis.asyncio."""

import os
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


_STAGED = b":staged:"


class Replay:
    """Commands that a store sent for one call; a transaction is sent as one pipeline.

    A write encodes its session again in every call and computes its version, as the store must; and
    what is staged has another name in every call.

    Args:
        client: Client that sends the commands.
        commands: Recorded commands.
        encoded: Text of the session as recorded, if every call encodes it again.
        token: Whether what is staged has the name of a claim's token, which stays.
    """

    def __init__(self, client: Redis, commands: list[Command], encoded: bytes | None = None, *, token: bool = False) -> None:
        self._client = client
        self._transaction = [command[0].upper() for command in (commands[0], commands[-1])] == [b"MULTI", b"EXEC"]
        self._commands: list[list[Any]] = [
            [command[0].decode(), *command[1:]] for command in (commands[1:-1] if self._transaction else commands)
        ]
        version = b"" if encoded is None else version_of(encoded).encode()
        arguments = [(command, at) for command in self._commands for at in range(len(command))]
        staged = [] if token else [command[1] for command in commands if len(command) > 1 and _STAGED in command[1]]
        self._nonce = staged[0].rpartition(b":")[2] if staged else b""
        self._staged = [
            (command, at, command[at]) for command, at in arguments if staged and _is_named(command[at], self._nonce)
        ]
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
        if self._staged:
            nonce = os.urandom(len(self._nonce) // 2).hex().encode()
            for command, at, recorded in self._staged:
                command[at] = recorded.replace(self._nonce, nonce)
        if len(self._commands) == 1:
            send: Any = self._client.execute_command  # redis-py leaves it without types
            answer: Awaitable[Any] = send(*self._commands[0])
            return answer
        pipeline = self._client.pipeline(transaction=self._transaction)
        for command in self._commands:
            pipeline.execute_command(*command)
        return pipeline.execute()


def _is_named(argument: Any, nonce: bytes) -> bool:
    """Say whether an argument is what names a staged text, or ends with it."""
    return isinstance(argument, bytes) and argument.endswith(nonce)


def as_text(answer: Any) -> bytes:
    """Return an answer that is a session's text as a whole."""
    assert isinstance(answer, bytes)
    return answer


def text_getter(answer: Any) -> Callable[[Any], bytes]:
    """Return a function that takes the session's text out of answers of the same shape.

    It looks elsewhere in an answer where the text is not at its usual place: a script may give it
    itself, or leave it staged.

    Raises:
        LookupError: There is no session's text in this answer.
    """
    get = _getter(answer)

    def text_of(answer: Any) -> bytes:
        found = get(answer)
        return as_text(_getter(answer)(answer) if found is None else found)

    return text_of


def _getter(answer: Any) -> Callable[[Any], Any]:
    if isinstance(answer, bytes) and answer.startswith(b'{"tenant_ctx"'):
        return lambda answer: answer
    for at, part in enumerate(answer if isinstance(answer, list) else ()):
        try:
            inner = _getter(part)
        except LookupError:
            continue
        return lambda answer: inner(answer[at])
    raise LookupError("no session's text in this answer")
