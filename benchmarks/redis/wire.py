"""What a store sends for a call, noted on the way to the server.

So a bare client can be given exactly the work that the store gives the server, however the store comes to it: no private
name of the library is needed, and none can go out of date.
"""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeAlias

import hiredis

__all__ = ["Command", "Wire"]

Command: TypeAlias = list[bytes]

_HANDSHAKE = {b"AUTH", b"CLIENT", b"HELLO", b"PING", b"SELECT"}
_CHUNK = 2**20


class Wire:
    """A loopback port that leads to a server, and notes the commands that pass; for one call at a time."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._noted: list[Command] = []
        self._carriers: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    async def commands_of(self, call: Awaitable[object]) -> list[Command]:
        """Make the call, and return what it sent."""
        self._noted.clear()
        await call
        return [command for command in self._noted if command[0].upper() not in _HANDSHAKE]

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    async def _accept(self, from_store: asyncio.StreamReader, to_store: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        for reader, writer, reads in ((from_store, to_server, hiredis.Reader()), (from_server, to_store, None)):
            carrier = asyncio.create_task(self._carry(reader, writer, reads))
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: hiredis.Reader | None
    ) -> None:
        try:
            while some := await reader.read(_CHUNK):
                if commands is not None:
                    commands.feed(some)
                    while (command := commands.gets()) is not False:
                        self._noted.append(command)
                writer.write(some)
                await writer.drain()
        except ConnectionError:
            pass  # either end may go first
        finally:
            writer.close()
