"""A server that answers what a test wants, after a handshake like Redis's."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["Impostor", "impostor"]

_NAME = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n")


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except ConnectionError:
        return b""


class Impostor:
    """Answers as it is told.

    Attributes:
        admission: To the commands of a handshake.
        answers: To the next commands.
        otherwise: To those after them; empty: nothing.
        greeting: Is called at the end of a handshake.
        accepted: How many connections there were.
    """

    def __init__(self) -> None:
        self.admission = b"+OK\r\n"
        self.answers: list[bytes] = []
        self.otherwise = b"+PONG\r\n"
        self.greeting: Callable[[asyncio.StreamWriter], None] | None = None
        self.accepted = 0
        self._held: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.accepted += 1
        self._held.add(writer)
        while received := await _read(reader):
            for name in _NAME.findall(received):
                handshake = name == b"CLIENT"
                writer.write(self.admission if handshake else self.answers.pop(0) if self.answers else self.otherwise)
            if b"GETNAME" in received and self.greeting is not None:
                self.greeting(writer)
        writer.close()
        self._held.discard(writer)

    async def end(self) -> None:
        """End all connections."""
        while self._held:
            for writer in self._held:
                writer.transport.abort()
            await asyncio.sleep(0.002)


@asynccontextmanager
async def impostor() -> AsyncIterator[tuple[Impostor, str]]:
    """Run one, and return it and its URL."""
    one = Impostor()
    listener = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    async with listener:
        yield one, f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        await one.end()
