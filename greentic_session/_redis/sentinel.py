"""One sentinel of Redis's: what it says when it is asked, and what it tells by itself."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import hiredis
import msgspec
from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection

from .dialer import Dialer

__all__ = ["Address", "Answer", "Sentinel", "Tell"]

_PROMOTION_CHANNEL = b"+failover-state-send-slaveof-noone"
_SWITCH_CHANNEL = b"+switch-master"
_CHANNELS = (_PROMOTION_CHANNEL, b"+promoted-slave", _SWITCH_CHANNEL)
"""What a sentinel tells.

The one that leads a failover all three, in this order; the others the last.
"""
_UNUSABLE_FLAGS = {"s_down", "o_down", "disconnected", "master_down"}
"""Flags of a server that cannot serve."""
_INCOMPLETE = object()

Address: TypeAlias = tuple[str, int]
Tell: TypeAlias = Callable[[Address, bool], None]
"""Told where the new primary is, and whether that is so.

At first it is a replica that is about to be promoted.
"""


class Answer(msgspec.Struct):
    """What one sentinel says.

    Attributes:
        epoch: Of which configuration: the higher, the later.
        primary: Where the primary is.
        replicas: Where those are that can serve.
        others: How many other sentinels it knows.
    """

    epoch: int
    primary: Address
    replicas: list[Address]
    others: int


class _Wire(asyncio.Protocol):
    """A connection to one sentinel, which answers one question, and tells of switches in between.

    In one write it unsubscribes, asks, and subscribes again: nothing comes between an answer and
    what is told after it.

    Args:
        writer: What redis-py made, with its handshake done.
        service: The service's name.
        tell: Told of a switch.
    """

    def __init__(self, writer: asyncio.StreamWriter, service: str, tell: Tell) -> None:
        self.lost = False
        self._writer = writer
        self._service = service
        self._tell = tell
        self._waiting: deque[asyncio.Future[list[Any]]] = deque()
        self._answers: list[Any] = []
        self._reader = hiredis.Reader(
            protocolError=driver.InvalidResponse, replyError=driver.ResponseError, notEnoughData=_INCOMPLETE
        )
        questions = ("MASTER", "GET-MASTER-ADDR-BY-NAME", "REPLICAS")
        self._question = b"".join(
            hiredis.pack_command(cast("Any", command))
            for command in (
                (b"UNSUBSCRIBE", *_CHANNELS),
                # The number first: should what follows be of a later configuration, it is believed
                # less, not more.
                *((b"SENTINEL", question, service) for question in questions),
                (b"SUBSCRIBE", *_CHANNELS),
            )
        )
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_protocol(self)

    async def ask(self) -> Answer:
        """Return what the sentinel says now.

        Raises:
            RedisError: The connection has ended, or the sentinel refuses to answer.
        """
        answers = asyncio.get_running_loop().create_future()
        self._waiting.append(answers)
        self._transport.write(self._question)
        return _read(await answers)

    def abort(self) -> None:
        """End now."""
        self.lost = True
        try:
            self._transport.abort()
        except RuntimeError:
            pass  # its loop is closed, and with it the socket

    # -- what the transport calls

    def data_received(self, data: bytes) -> None:
        """Take answers, and what the sentinel tells by itself."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _INCOMPLETE:
                self._take(answer)
        except (driver.RedisError, IndexError, ValueError) as error:
            self._fail(error if isinstance(error, driver.RedisError) else driver.InvalidResponse("no answer of a sentinel"))
            self.abort()

    def eof_received(self) -> None:
        """End now."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whatever is asked."""
        self.lost = True
        error = driver.ConnectionError("the connection ended")
        error.__cause__ = exc
        self._fail(error)

    # -- within

    def _take(self, answer: Any) -> None:
        if isinstance(answer, driver.ResponseError):
            raise answer  # not a word of it is of use then; the next question goes over a new connection
        match answer:
            case [b"unsubscribe", *_]:
                pass
            case [b"message", channel, text]:
                # "<service> <old host> <old port> <host> <port>", "slave <name> <host> <port> @
                # <service> <host> <port>"
                words = text.decode().split(" ")
                service, at = (words[0], 3) if channel == _SWITCH_CHANNEL else (words[5], 2)
                if service == self._service:
                    self._tell((words[at], int(words[at + 1])), channel != _PROMOTION_CHANNEL)
            case [b"subscribe", channel, _]:
                if channel == _CHANNELS[-1]:
                    waiting, answers, self._answers = self._waiting.popleft(), self._answers, []
                    if not waiting.done():
                        waiting.set_result(answers)
            case _:
                self._answers.append(answer)

    def _fail(self, error: Exception) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)


def _read(answers: list[Any]) -> Answer:
    try:
        master, address, replicas = answers
        fields = _fields(master)
        good = [each for each in map(_fields, replicas) if _serves(each)]
        return Answer(
            int(fields["config-epoch"]),
            (address[0].decode(), int(address[1])),
            [(each["ip"], int(each["port"])) for each in good],
            int(fields["num-other-sentinels"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise driver.InvalidResponse("no answer of a sentinel") from error


def _fields(flat: list[bytes]) -> dict[str, str]:
    texts = [each.decode() for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _serves(replica: Mapping[str, str]) -> bool:
    return not _UNUSABLE_FLAGS & set(replica["flags"].split(",")) and replica.get("master-client-status", "ok") == "ok"


class Sentinel:
    """One sentinel: asked over a connection that is kept, since it tells of switches.

    Args:
        connection_class: One of redis-py's asyncio connections.
        settings: Its arguments.
        patience: For how many seconds an answer is waited for, connecting included.
        service: The service's name.
        tell: Told of a switch.
    """

    def __init__(
        self,
        connection_class: type[AbstractConnection],
        settings: Mapping[str, Any],
        patience: float,
        service: str,
        tell: Tell,
    ) -> None:
        self._dialer = Dialer(connection_class, settings)
        self._patience = patience
        self._service = service
        self._tell = tell
        self._dialing = asyncio.Lock()
        self._wire: _Wire | None = None
        self._closed = False

    async def ask(self) -> Answer | Exception:
        """Return what it says, or why it says nothing."""
        try:
            async with asyncio.timeout(self._patience):
                async with self._dialing:
                    if self._wire is None or self._wire.lost:
                        writer, _ = await self._dialer.connect()
                        self._wire = _Wire(writer, self._service, self._tell)
                        if self._closed:
                            self._wire.abort()
                return await self._wire.ask()
        except (driver.RedisError, OSError) as error:
            self._hang_up()
            return error

    def close(self) -> None:
        """End the connection, and the next one too."""
        self._closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.abort()
