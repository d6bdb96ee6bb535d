"""Many callers that wait for a connection.

What it takes to leave, who is told when, and who goes first.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from impostor import impostor
from patience import until
from redis_server import Server, free_port
from shared_connection import client_for, connected, connections, echo

from greentic_session._redis.call_length import MAX_LONG_KEYS
from greentic_session._redis.call_queue import MAX_FAILURES_PER_TURN as AT_ONCE
from greentic_session._redis.call_queue import CallQueue
from greentic_session._redis.client import RedisClient
from greentic_session._redis.connection import LONG_BYTES, Call
from greentic_session._redis.dialer import Opened
from greentic_session.errors import GreenticError, OperationTimeoutError, UnavailableError


@pytest.fixture
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client() as raw:
        raw.flushall()
        yield raw


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often somebody looks at a call in a line: what a walk along the line would do."""
    seen: Counter[str] = Counter()
    real = Call.has_left

    def has_left(self: Call) -> bool:
        seen["looks"] += 1
        return real(self)

    monkeypatch.setattr(Call, "has_left", has_left)
    return seen


def a_call(deadline: float = 1.0) -> Call:
    answer: Any = None
    return Call(b"", answer, deadline)


def joined(line: CallQueue, *deadlines: float) -> list[Call]:
    calls = [a_call(deadline) for deadline in deadlines]
    for call in calls:
        line.join(call)
    return calls


def test_the_order_is_that_of_joining_whoever_leaves() -> None:
    line = CallQueue()
    calls = joined(line, *[1.0] * 5)
    line.leave(calls[2])
    line.leave(calls[0])
    line.leave(calls[0])
    served = []
    while (call := line.first()) is not None:
        served.append(call)
        line.leave(call)
    assert [calls.index(call) for call in served] == [1, 3, 4]
    assert not line


def test_late_calls_come_by_their_deadlines_a_few_at_a_time_and_once() -> None:
    line = CallQueue()
    calls = joined(line, 3, 1, 2, 9, 1)
    line.leave(calls[4])
    assert line.earliest() == 1
    assert [calls.index(call) for call in line.late(3, 2)] == [1, 2]
    assert [calls.index(call) for call in line.late(3, 2)] == [0]
    assert line.late(3, 2) == []
    assert line.earliest() == 9
    assert len(line) == 4  # who is late is not out


def test_deadlines_of_those_who_left_are_not_kept() -> None:
    line = CallQueue()
    for _ in range(10_000):
        line.leave(*joined(line, 1.0))
    assert len(line._deadlines) < 100
    calls = joined(line, *[1.0] * 1000)
    for call in calls:
        line.leave(call)
    assert len(line._deadlines) < 100


async def in_line(client: RedisClient, count: int) -> list[asyncio.Task[Any]]:
    """Return so many calls that wait for a connection that is never there."""
    tasks = [asyncio.create_task(client.call(("GET", f"{number}"))) for number in range(count)]
    await until(lambda: len(client._queues._queues[0]) == count, "they do not wait", within=10)
    return tasks


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("part", [1, 2])
@pytest.mark.asyncio
async def test_leaving_the_line_is_no_walk_along_it(looks: Counter[str], part: int, *, backwards: bool) -> None:
    count = 3000
    async with impostor() as (_, url):
        client = client_for(url.replace("redis", "rediss"), timeout=60)  # its handshake does not end
        tasks = await in_line(client, count)
        looks.clear()
        cancelled = tasks[::part]
        for task in reversed(cancelled) if backwards else cancelled:
            task.cancel()
        await asyncio.wait(cancelled)
        assert looks["looks"] < 10 * count
        assert len(client._queues._queues[0]) == count - len(cancelled)
        await client.aclose()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = Counter(type(each) for each in outcomes)
        assert kinds[asyncio.CancelledError] == len(cancelled)
        assert kinds[UnavailableError] == count - len(cancelled)


class Turns:
    """Counts how many callers are told of a failure in one turn of the event loop."""

    def __init__(self) -> None:
        self.told: Counter[int] = Counter()
        self.kinds: Counter[type] = Counter()
        self._turn = 0
        self._ends = False

    async def turn(self) -> None:
        while not self._ends:
            self._turn += 1
            await asyncio.sleep(0)

    async def caller(self, client: RedisClient) -> None:
        try:
            await client.call(("GET", "k"))
        except GreenticError as error:
            self.kinds[type(error)] += 1
            self.told[self._turn] += 1

    async def run(self, client: RedisClient, count: int) -> None:
        turning = asyncio.create_task(self.turn())
        await asyncio.gather(*(self.caller(client) for _ in range(count)))
        self._ends = True
        await turning


@pytest.mark.asyncio
async def test_who_is_late_is_told_a_few_at_a_time() -> None:
    turns = Turns()
    async with impostor() as (server, url):
        server.otherwise = b""
        async with connected_but_silent(url) as client:
            await turns.run(client, 4 * AT_ONCE)
    assert turns.kinds == {OperationTimeoutError: 4 * AT_ONCE}
    assert max(turns.told.values()) <= AT_ONCE + 2  # and whoever was opening a connection


@pytest.mark.asyncio
async def test_who_shares_a_failure_is_told_a_few_at_a_time() -> None:
    turns = Turns()
    client = client_for(f"redis://127.0.0.1:{free_port()}")
    await turns.run(client, 4 * AT_ONCE)
    await client.aclose()
    assert turns.kinds == {UnavailableError: 4 * AT_ONCE}
    assert max(turns.told.values()) <= AT_ONCE + 2


class connected_but_silent:  # noqa: N801  # reads like a function
    """A client with one connection, which answers nothing, and many calls on it and behind."""

    def __init__(self, url: str) -> None:
        self._client = client_for(url, timeout=0.3, most=1)

    async def __aenter__(self) -> RedisClient:
        with pytest.raises(OperationTimeoutError):
            await self._client.call(("GET", "k"))
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


# -- long calls


async def blocked(client: RedisClient, count: int) -> list[asyncio.Task[Any]]:
    """Return calls that count as long, under way until somebody pushes to their lists."""
    for number in range(count):
        client._lengths.learn(("BLPOP", f"list-{number}"), long=True)
    tasks = [asyncio.create_task(client.call(("BLPOP", f"list-{number}", 0))) for number in range(count)]
    most = client._most
    await until(
        lambda: sum(each.is_long() for each in client._connections.current) == min(count, most - 1), "they do not run"
    )
    return tasks


@pytest.mark.parametrize("most", [2, 3])
@pytest.mark.asyncio
async def test_a_connection_stays_free_for_short_calls(shared: Server, raw: redis.Redis, most: int) -> None:
    async with connected(shared.url, most=most) as client:
        tasks = await blocked(client, 6)
        await asyncio.gather(*(echo(client, f"{number}") for number in range(50)))
        assert not any(task.done() for task in tasks)
        assert len(client._queues._queues[1]) == 6 - (most - 1)
        assert connections(raw) == most
        for number in range(6):
            raw.rpush(f"list-{number}", "x")
        assert await asyncio.gather(*tasks) == [[f"list-{number}".encode(), b"x"] for number in range(6)]


@pytest.mark.asyncio
async def test_a_long_command_leaves_one_too(shared: Server, raw: redis.Redis) -> None:
    async with connected(shared.url, most=2) as client:
        tasks = await blocked(client, 1)
        write = asyncio.create_task(client.call(("SET", "long", b"x" * 2 * LONG_BYTES)))
        await echo(client, "short")
        assert not write.done()
        raw.rpush("list-0", "x")
        await asyncio.gather(write, *tasks)


@pytest.mark.asyncio
async def test_short_calls_without_end_do_not_keep_long_ones_waiting(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(shared.url, most=2) as client:
        ends, connect = False, client._dialer.connect

        async def slow() -> Opened:
            await asyncio.sleep(0.2)  # a handshake on a busy machine
            return await connect()

        monkeypatch.setattr(client._dialer, "connect", slow)

        async def insist() -> None:
            while not ends:
                await client.call(("ECHO", "x" * 1000))

        callers = [asyncio.create_task(insist()) for _ in range(1500)]  # more than a connection takes
        await asyncio.sleep(0)
        await client.call(("SET", "long", b"x" * 2 * LONG_BYTES))
        ends = True
        await asyncio.gather(*callers)


@pytest.mark.asyncio
async def test_a_single_connection_serves_all_in_one_order(shared: Server) -> None:
    order: list[str] = []
    async with connected(shared.url, most=1) as client:

        async def note(name: str, *command: str | bytes) -> None:
            await client.call(command)
            order.append(name)

        long = b"x" * 2 * LONG_BYTES
        await asyncio.gather(note("a", "SET", "k", long), note("b", "PING"), note("c", "SET", "k", long), note("d", "PING"))
    assert order == ["a", "b", "c", "d"]


@pytest.mark.asyncio
async def test_it_is_remembered_which_answers_were_long(shared: Server, raw: redis.Redis) -> None:
    raw.set("k", b"x" * 2_000_000)
    async with connected(shared.url) as client:
        await client.call(("GET", "k"))
        assert [*client._lengths.known] == [("GET", "k")]
        await client.call(("SET", "k", "short"))
        assert [*client._lengths.known] == [("GET", "k")]
        await client.call(("GET", "k"))
        assert not client._lengths.known
        for number in range(MAX_LONG_KEYS + 10):
            client._lengths.learn(("GET", f"{number}"), long=True)
        assert len(client._lengths.known) == MAX_LONG_KEYS


@pytest.mark.parametrize("is_held_up", [False, True])
@pytest.mark.asyncio
async def test_who_came_first_is_told_first_that_it_is_late(*, is_held_up: bool) -> None:
    """Those whose commands were sent came before those in the line.

    Some of them are late before the others; meanwhile the line goes on to a new connection, and
    then all are late at once.
    """
    told: list[int] = []
    async with impostor() as (server, url):
        server.otherwise = b""
        async with connected_but_silent(url) as client:

            async def call(number: int) -> None:
                if is_held_up and number == AT_ONCE - 8:
                    time.sleep(0.02)  # noqa: ASYNC251  # this is what is tried
                with pytest.raises(OperationTimeoutError):
                    await client.call(("GET", "k"))
                if is_held_up and not told:
                    asyncio.get_running_loop().call_later(0.01, time.sleep, 0.06)
                told.append(number)

            await asyncio.gather(*(call(number) for number in range(1024 + 2 * AT_ONCE)))
    assert len(set(told[: AT_ONCE + 1]) - set(range(1024))) <= 1  # who was opening a connection
