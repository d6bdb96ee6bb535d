"""Recording proxy: the commands that a store sends for a call.

So a bare client can send exactly the commands of the store, without a private name of the library.
"""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeAlias

import hiredis

__all__ = ["Command", "Wire"]

Command: TypeAlias = list[bytes]

_HANDSHAKE = {b"AUTH", b"CLIENT", b"HELLO", b"PING", b"SELECT"}
_CHUNK_BYTES = 2**20


class Wire:
    """Loopback port that forwards to a server and records commands, for one call at a time.

    Attributes:
        port: Port that the store connects to.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._recorded: list[Command] = []
        self._forwarders: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    async def commands_of(self, call: Awaitable[object]) -> list[Command]:
        """Make the call, and return the commands that it sent."""
        self._recorded.clear()
        await call
        return [command for command in self._recorded if command[0].upper() not in _HANDSHAKE]

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        for forwarder in self._forwarders:
            forwarder.cancel()
        await asyncio.gather(*self._forwarders, return_exceptions=True)

    async def _accept(self, from_store: asyncio.StreamReader, to_store: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        for reader, writer, parser in ((from_store, to_server, hiredis.Reader()), (from_server, to_store, None)):
            forwarder = asyncio.create_task(self._forward(reader, writer, parser))
            self._forwarders.add(forwarder)
            forwarder.add_done_callback(self._forwarders.discard)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parser: hiredis.Reader | None
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                if parser is not None:
                    parser.feed(chunk)
                    while (command := parser.gets()) is not False:
                        self._recorded.append(command)
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass  # store and server close in any order
        finally:
            writer.close()
