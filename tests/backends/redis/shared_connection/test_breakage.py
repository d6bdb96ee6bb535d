"""Connections that break, and servers that are none."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from typing import cast

import pytest
import redis
from impostor import impostor
from patience import PROMPT, SLACK, timed, until
from redis.asyncio.connection import Connection
from redis_server import Server
from shared_connection import client_for, connected, connections, echo, ends, hold_long_answer, kinds
from tcp_proxy import TcpProxy

from greentic_session._redis.client import RedisClient
from greentic_session._redis.connection import LONG_BYTES
from greentic_session.errors import GreenticError, OperationTimeoutError, UnavailableError

asynchronous = pytest.mark.asyncio


# -- broken connections


class Traffic:
    """Callers who go on whatever happens, and remember what they were told.

    Each write has a key of its own, so the server tells how often it was done.
    """

    LIMIT = 3.0
    """The timeout of the client, in seconds."""

    def __init__(self, client: RedisClient, callers: int) -> None:
        self.client = client
        self.answered = 0
        self.acknowledged: set[str] = set()
        self.written: list[str] = []
        self.failures: Counter[tuple[str, type]] = Counter()
        self.longest = 0.0
        self.done = False
        self.tasks = [asyncio.create_task(self._run(number)) for number in range(callers)]

    async def _run(self, caller: int) -> None:
        loop = asyncio.get_running_loop()
        kinds = [self._read, self._write, self._read_long, self._read] + ([self._write_long] if caller < 2 else [])
        count = 0
        while not self.done:
            count += 1
            kind = kinds[count % len(kinds)]
            started = loop.time()
            try:
                await kind(f"{caller}-{count}")
                self.answered += 1
            except GreenticError as error:
                self.failures[kind.__name__, type(error)] += 1
                await asyncio.sleep(0)
            self.longest = max(self.longest, loop.time() - started)

    async def _read(self, name: str) -> None:
        await echo(self.client, name)

    async def _read_long(self, name: str) -> None:
        long = name + "y" * 40_000
        assert await self.client.call(("ECHO", long), repeatable=True) == long.encode()

    async def _write(self, name: str) -> None:
        self.written.append(name)
        assert await self.client.call(("INCR", name)) == 1
        self.acknowledged.add(name)

    async def _write_long(self, name: str) -> None:
        self.written.append(name)
        assert await self.client.call(("APPEND", name, "1" + "0" * 2 * LONG_BYTES)) == 2 * LONG_BYTES + 1
        self.acknowledged.add(name)

    async def run(self, more: int) -> None:
        """Return when so many more calls have been answered."""
        wanted = self.answered + more
        await until(lambda: self.answered >= wanted or self.broken(), "nothing goes on")

    def broken(self) -> bool:
        return any(task.done() for task in self.tasks)

    async def stop(self) -> None:
        self.done = True
        await asyncio.gather(*self.tasks)

    def check(self, raw: redis.Redis) -> None:
        for start in range(0, len(self.written), 1000):
            names = self.written[start : start + 1000]
            pipeline = raw.pipeline(transaction=False)
            for name in names:
                pipeline.strlen(name)
                pipeline.getrange(name, 0, 0)
            found = pipeline.execute()
            for name, length, front in zip(names, found[::2], found[1::2], strict=True):
                assert (length, front) in {(0, b""), (1, b"1"), (2 * LONG_BYTES + 1, b"1")}, f"{name} was written twice"
                assert length or name not in self.acknowledged, f"{name} was lost"


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
@asynchronous
async def test_connections_that_are_killed_under_load(proxy: TcpProxy, raw: redis.Redis, kills: int) -> None:
    chance = random.Random(5)
    async with connected(proxy.url, timeout=Traffic.LIMIT, most=8) as client:
        traffic = Traffic(client, callers=20)
        try:
            for number in range(kills):
                await traffic.run(more=chance.randint(40, 120))
                match number % 4:
                    case 0:
                        raw.client_kill_filter(_type="normal", skipme=True)
                    case 1:
                        proxy.end(reset=True)
                    case 2:
                        proxy.cut(after=chance.randrange(1, 4), skip=chance.randrange(3), reset=chance.random() < 0.5)
                    case _:
                        await until(
                            lambda: any(connection._alone for connection in client._connections.current),
                            "no long command is on its way",
                        )
                        proxy.end(reset=chance.random() < 0.5)
                if number % 50 == 49:
                    traffic.check(raw)
            await traffic.run(more=200)
        finally:
            await traffic.stop()
        traffic.check(raw)
        assert traffic.longest < Traffic.LIMIT + SLACK
        assert {kind for _, kind in traffic.failures} <= {UnavailableError, OperationTimeoutError}
        assert sum(traffic.failures[name, UnavailableError] for name in ("_write", "_write_long")) >= kills // 4
        # Reads are repeated. Those that wait for a connection share its failure if it is killed
        # while it is opened: at most every caller's, at each kill.
        failed_reads = sum(traffic.failures[name, UnavailableError] for name in ("_read", "_read_long"))
        assert failed_reads <= kills * len(traffic.tasks)
        assert proxy.accepted > kills // 2
        assert connections(raw) <= 8


@asynchronous
async def test_reads_survive_a_kill_and_writes_do_not(proxy: TcpProxy) -> None:
    async with connected(proxy.url) as client:
        proxy.stall()
        reads = [asyncio.create_task(echo(client, f"{number}")) for number in range(50)]
        writes = [asyncio.create_task(client.call(("INCR", f"{number}"))) for number in range(50)]
        await asyncio.sleep(0.02)
        proxy.end(reset=True)
        proxy.resume()
        assert kinds(await asyncio.gather(*reads, return_exceptions=True)) == {type(None): 50}
        assert kinds(await asyncio.gather(*writes, return_exceptions=True)) == {UnavailableError: 50}


@asynchronous
async def test_those_in_the_line_go_on_when_the_only_connection_is_lost(proxy: TcpProxy, raw: redis.Redis) -> None:
    async with connected(proxy.url, most=1) as client:
        long = await hold_long_answer(client, proxy, raw)
        line = [asyncio.create_task(timed(client.call(("INCR", f"{number}")))) for number in range(20)]
        await until(lambda: len(client._queues._queues[0]) == 20, "they do not wait")
        proxy.end()
        assert kinds(await asyncio.gather(long, return_exceptions=True)) == {UnavailableError: 1}
        for end, took in await asyncio.gather(*line):
            assert end == 1  # nothing had been sent
            assert took < PROMPT
        proxy.release()


# -- servers that are none


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\r\n",
        b"$-7\r\n",
        b"+PONG\r\n?\r\n",
        b"*2147483648\r\n",
        b"*2147483648\r\n$64\r\n" + b"x" * 64,
        b"*2\r\n:1\r\n*2147483648\r\n",
    ],
)
@asynchronous
async def test_garbage_ends_the_connection(garbage: bytes) -> None:
    async with impostor() as (one, url):
        client = client_for(url)
        assert await client.call(("PING",)) == b"PONG"
        one.answers = [garbage]
        outcomes = await ends([client.call(("PING",)) for _ in range(3)])
        assert kinds(outcomes[1:]) == {UnavailableError: 2}
        assert "does not speak Redis's protocol" in str(outcomes[2])
        _, took = await timed(client.call(("PING",)))
        assert took < PROMPT
        assert one.accepted == 2
        await client.aclose()


@asynchronous
async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async with impostor() as (one, url):
        client = client_for(url)
        one.answers = [b"+PONG\r\n+PONG\r\n"]
        assert await client.call(("PING",)) == b"PONG"
        await until(lambda: not client._connections.current, "it is used further")
        assert await client.call(("PING",)) == b"PONG"
        assert one.accepted == 2
        await client.aclose()


_RESET = struct.pack("ii", 1, 0)


def end_at_once(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset_at_once(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    asyncio.get_running_loop().call_soon(writer.transport.abort)


@pytest.mark.parametrize("how", [end_at_once, reset_at_once])
@asynchronous
async def test_a_connection_that_ends_with_its_handshake(how: Callable[[asyncio.StreamWriter], None]) -> None:
    """Its end arrives after the last byte of the handshake, before anybody looks."""
    async with impostor() as (one, url):

        class Slow(Connection):
            async def connect(self) -> None:
                await super().connect()  # type: ignore[no-untyped-call]  # redis-py says nothing of it
                if one.greeting is not None:
                    await asyncio.sleep(0.02)

        client = client_for(url, kind=Slow)
        one.greeting = how
        end, took = await timed(client.call(("PING",)))
        assert type(end) is UnavailableError
        assert took < PROMPT
        one.greeting = None
        assert await client.call(("PING",)) == b"PONG"
        await until(lambda: not client._connections.retired, "it is kept for ever")
        await client.aclose()


@asynchronous
async def test_an_end_that_comes_while_much_is_unsent(shared: Server) -> None:
    """The other side says that it sends no more, and reads no more either."""
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        greeted = 0
        while greeted < 3:
            greeted += (await reader.read(1000)).count(b"CLIENT\r\n")
            writer.write(b"+OK\r\n" * greeted)
        while b"BEGIN" not in await reader.read(1000):
            pass
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's, which reads too
        await asyncio.sleep(0.05)
        writer.write_eof()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=1000) as listener:
        client = client_for(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        calls = [asyncio.create_task(client.call(("SET", "BEGIN", "x" * 12_000_000)))]
        outcomes, took = await timed(asyncio.gather(*calls, return_exceptions=True))
        assert kinds(cast("Iterable[object]", outcomes)) == {UnavailableError: 1}
        assert took < PROMPT
        await client.aclose()
        for writer in held:
            writer.transport.abort()
