"""A TCP proxy in front of a real server, to break what is between.

Cut replies short, stall, refuse, speak TLS.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from typing import Self

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that the other side sees as "connection reset by peer"."""

_COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n")
_HANDSHAKE = {"AUTH", "CLIENT", "HELLO", "SELECT"}
_WITH_A_SCRIPT = {"SET", "GETDEL"}
"""Commands that stage a text: they go in one piece with a script."""
_IN_ONE_PIECE = {"EVAL", "EVALSHA", "EXEC"}
"""A script, which may have a text read behind it, or the end of a block: the rest belongs to it."""


class TcpProxy:
    """TCP proxy between clients and one server, which a test can stop; use it by ``async with``.

    Args:
        port: The server's port, on the loopback.
        tls: Speak TLS with the clients, and plain TCP with the server.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._tls = tls
        self.port = 0
        self.accepted = 0
        """How many connections there have been."""
        self.commands: list[str] = []
        """The names of the commands that went through.

        Without those that open a connection, and those that go with a script or EXEC in one piece.
        """
        self._cuts = 0
        self._allowed = 0
        self._to_come = 0
        """How many commands come through before replies are cut."""
        self._reset = False
        self.most_at_once = 0
        """How many commands came in one piece, at most."""
        self._held: int | None = None
        self._released = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listener: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._pairs)

    def cut(self, *, after: int, times: int = 1, skip: int = 0, reset: bool = False) -> None:
        """Close a connection after so many bytes of the next reply.

        Args:
            after: How many bytes of the reply come through; fewer than the reply has, and than 16
                KiB.
            times: How many replies are cut.
            skip: How many commands are answered whole before, if each is sent behind the answer of
                the one before: a server may send one reply in several pieces.
            reset: Whether the client sees a reset, and not an orderly end.
        """
        self._allowed, self._cuts, self._to_come, self._reset = after, times, skip + 1 if skip else 0, reset

    def hold(self, *, after: int = 0) -> None:
        """Let `count` more bytes pass on the next connection that is answered, and hold the rest.

        `release` ends the hold.
        """
        self._held = after
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the held connection go on."""
        self._held = None
        self._released.set()

    def end(self, *, reset: bool = False) -> None:
        """Close every connection; new ones are welcome."""
        for pair in list(self._pairs):
            self._close(pair, reset=reset)

    def stall(self) -> None:
        """Let nothing through in either direction; connections are accepted, and stay."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def refuse(self) -> None:
        """Close every connection, and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.end(reset=True)

    async def allow(self) -> None:
        """Listen, again on the same port."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Small, so that a stalled proxy holds a few kilobytes, and not megabytes, of a large
        # command.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._listener = await asyncio.start_server(self._accept, sock=listening, ssl=self._tls, limit=16384)

    async def __aenter__(self) -> Self:
        await self.allow()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = (writer, server_writer)
        self._pairs.add(pair)
        for pump in (self._commands(reader, pair), self._replies(server_reader, pair)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _commands(self, reader: asyncio.StreamReader, pair: tuple[asyncio.StreamWriter, ...]) -> None:
        with contextlib.suppress(OSError):
            while True:
                await self._flowing.wait()
                data = await reader.read(16384)
                await self._flowing.wait()
                if not data:
                    break
                names = [name.decode() for name in _COMMAND.findall(data)]
                counted = [name for name in names if name not in _HANDSHAKE | _WITH_A_SCRIPT]
                counted = [name for name in counted if name in _IN_ONE_PIECE] or counted
                self.commands += counted
                self._to_come -= len(counted)
                self.most_at_once = max(self.most_at_once, len(names))
                pair[1].write(data)
                await pair[1].drain()
        self._close(pair)

    async def _replies(self, reader: asyncio.StreamReader, pair: tuple[asyncio.StreamWriter, ...]) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(16384):
                await self._flowing.wait()
                if self._cuts and self._to_come <= 0:
                    self._cuts -= 1
                    pair[0].write(data[: self._allowed])
                    await pair[0].drain()
                    self._close(pair, reset=self._reset)
                    return
                if self._held is not None:
                    data = await self._hold(data, reader, pair[0])
                pair[0].write(data)
                await pair[0].drain()
        self._close(pair)

    async def _hold(self, data: bytes, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> bytes:
        """Pass on the bytes that may go before the hold; return, after it, the bytes held back."""
        allowed, self._held = self._held or 0, None
        while data and len(data) < allowed:
            client.write(data)
            await client.drain()
            allowed -= len(data)
            data = await reader.read(16384)
        client.write(data[:allowed])
        await self._released.wait()
        return data[allowed:]

    def _close(self, pair: tuple[asyncio.StreamWriter, ...], *, reset: bool = False) -> None:
        self._pairs.discard((pair[0], pair[1]))
        for writer in pair:
            if reset and (end := writer.get_extra_info("socket")) is not None:
                with contextlib.suppress(OSError):  # it may be closed already
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()
