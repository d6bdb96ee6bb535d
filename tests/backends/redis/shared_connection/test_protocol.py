"""The protocol of the shared connection alone, without a server, and calls that are given up."""

import asyncio
import gc
from collections.abc import Awaitable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from cancelling import CancelledAt
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import until
from redis.exceptions import ResponseError
from shared_connection import connected, echo, hold_long_answer, kinds
from tcp_proxy import TcpProxy

from greentic_session._redis.connection import SPIN_PAUSE_CALLS, SPIN_TURNS, Call, LostError, SharedConnection

asynchronous = pytest.mark.asyncio


# -- the protocol alone


class Wire(asyncio.Transport):
    """What a connection writes to; nothing comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Nobody:
    """An owner that is told things, and does nothing."""

    def has_room(self, connection: SharedConnection) -> None:
        pass

    def is_lost(self, connection: SharedConnection) -> None:
        pass


@pytest.fixture(scope="module")
def quiet() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def lane_on(loop: asyncio.AbstractEventLoop) -> tuple[SharedConnection, Wire]:
    wire = Wire()
    return SharedConnection(cast("asyncio.StreamWriter", SimpleNamespace(transport=wire)), Nobody(), loop, "wire"), wire


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop do what is due."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def call_on(loop: asyncio.AbstractEventLoop, packed: bytes) -> Call:
    return Call(packed, loop.create_future(), 1e9)


def wire_text(answer: object) -> bytes:
    """Return an answer as Redis sends it."""
    match answer:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % answer
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(answer), answer)
        case str():  # an error
            return b"-ERR %s\r\n" % answer.encode()
        case _:
            items = cast("list[object]", answer)
            return b"*%d\r\n" % len(items) + b"".join(map(wire_text, items))


def turns_awake(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many turns a loop makes before it would go to sleep."""
    turns = 0
    while loop._ready:  # type: ignore[attr-defined]  # what it has still to do
        turn(loop)
        turns += 1
    return turns


def test_the_loop_stays_awake_for_the_answer_to_one_call_if_it_may_come_soon() -> None:
    loop = asyncio.new_event_loop()
    try:
        connection, _ = lane_on(loop)

        def call() -> Call:
            call = call_on(loop, b"PING")
            connection.send(call)
            return call

        def answer(*calls: Call) -> None:
            connection.data_received(b"+PONG\r\n" * len(calls))
            loop.run_until_complete(asyncio.gather(*(call.answer for call in calls)))

        for _ in range(3):
            soon = call()
            turn(loop)
            answer(soon)
            assert turns_awake(loop) <= 1  # nobody waits any more
            call_again = call()
            assert loop._ready  # type: ignore[attr-defined]  # it came soon, so it is worth while
            answer(call_again)
        many = [call(), call()]
        turn(loop)
        assert turns_awake(loop) <= 1  # as they keep the loop busy themselves
        answer(*many)

        late = call()
        assert turns_awake(loop) == SPIN_TURNS
        answer(late)
        for _ in range(SPIN_PAUSE_CALLS):  # a Redis far away, or a busy one
            late = call()
            assert turns_awake(loop) == 0
            answer(late)
        late = call()
        assert turns_awake(loop) == SPIN_TURNS  # perhaps it has come nearer
        answer(late)
    finally:
        loop.close()


LEAVES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40)
ANSWERS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=8) | st.text("abc", max_size=5)


@given(st.lists(st.tuples(ANSWERS, st.sampled_from(["before", "between", "never"])), min_size=1, max_size=30), st.data())
@settings(max_examples=150)
def test_every_answer_goes_to_its_call_however_the_bytes_come(
    quiet: asyncio.AbstractEventLoop, answers: list[tuple[object, str]], more: st.DataObject
) -> None:
    connection, wire = lane_on(quiet)
    calls, text = [], b""
    for number, (answer, _) in enumerate(answers):
        skipped = more.draw(st.lists(ANSWERS, max_size=7))
        text += b"".join(map(wire_text, [*skipped, answer]))
        calls.append(call_on(quiet, b"%d;" % number))
        calls[-1].skipped = len(skipped)
        connection.send(calls[-1])
        if more.draw(st.booleans()):
            turn(quiet)
    turn(quiet)
    assert wire.sent == b"".join(b"%d;" % number for number in range(len(answers)))
    given_up = {number for number, (_, when) in enumerate(answers) if when != "never"}
    for number, (_, when) in enumerate(answers):
        if when == "before":
            calls[number].answer.cancel()
    cuts = sorted(more.draw(st.sets(st.integers(1, len(text) - 1), max_size=12))) if len(text) > 1 else []
    for count, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(text)], strict=True)):
        if count == 1:
            for number, (_, when) in enumerate(answers):
                if when == "between":
                    given_up -= {number} if calls[number].answer.done() else set()
                    calls[number].answer.cancel()
        connection.data_received(text[start:end])
    assert not wire.aborted
    assert not connection.pending
    for number, ((answer, when), call) in enumerate(zip(answers, calls, strict=True)):
        if number in given_up and (when == "before" or cuts):
            assert call.answer.cancelled()
        elif isinstance(answer, str):
            error = call.answer.exception()
            assert isinstance(error, ResponseError)
            assert str(error) == f"ERR {answer}"
        else:
            assert call.answer.result() == answer
    connection.data_received(b"+more\r\n")
    assert wire.aborted


def test_calls_of_one_turn_are_one_write(quiet: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, wire = lane_on(quiet)
    pieces: list[bytes] = []
    monkeypatch.setattr(wire, "write", lambda data: pieces.append(bytes(data)))
    monkeypatch.setattr(wire, "writelines", lambda data: pieces.append(b"".join(data)))
    for _ in range(2):
        for number in range(100):
            connection.send(call_on(quiet, b"%d;" % number))
        turn(quiet)
    assert len(pieces) == 3  # the first of all goes out at once


def test_what_is_written_together_can_be_pushed_back(
    quiet: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12.0 to 3.12.8, 3.13.0 and 3.13.1: `writelines` never pauses (CVE-2024-12254)."""
    connection, wire = lane_on(quiet)
    monkeypatch.setattr(wire, "writelines", lambda _: pytest.fail("not with these versions"))
    for number in range(3):
        connection.send(call_on(quiet, b"%d;" % number))
    turn(quiet)
    assert wire.sent == b"0;1;2;"


def test_nothing_is_written_to_a_connection_that_has_ended(quiet: asyncio.AbstractEventLoop) -> None:
    """uvloop would raise an error, and nobody would see to it."""
    connection, wire = lane_on(quiet)
    calls = [call_on(quiet, b"%d;" % number) for number in range(3)]
    for call in calls:
        connection.send(call)
    connection.connection_lost(None)
    turn(quiet)
    assert wire.sent == b"0;"
    assert kinds(call.answer.exception() for call in calls) == {LostError: 3}


def test_no_call_goes_behind_a_long_answer_that_has_begun(quiet: asyncio.AbstractEventLoop) -> None:
    for before in (0, 1, 300):
        connection, _ = lane_on(quiet)
        for _ in range(before + 1):
            connection.send(call_on(quiet, b"x"))
        long = b"x" * 1_000_000
        connection.data_received(b"+OK\r\n" * before + b"$%d\r\n%s" % (len(long), long[:200_000]))
        assert len(connection.pending) == 1
        assert connection.room == 0
        connection.data_received(long[200_000:] + b"\r\n")
        assert connection.room > 0


def test_a_lane_bounds_what_answers_are_under_way(quiet: asyncio.AbstractEventLoop) -> None:
    connection, _ = lane_on(quiet)
    room = connection.room
    for _ in range(100):
        connection.send(call_on(quiet, b"x"))
        connection.data_received(wire_text(b"x" * 100_000))
    assert 20 <= connection.room <= 80 < room
    for _ in range(300):
        connection.send(call_on(quiet, b"x"))
        connection.data_received(b"+OK\r\n")
    assert connection.room == room


# -- whoever is given up


@pytest.mark.parametrize("how", ["answer", "loss"])
@asynchronous
async def test_whoever_is_cancelled_as_the_turn_comes_leaves_nothing_behind(
    proxy: TcpProxy, raw: redis.Redis, complaints: list[dict[str, Any]], how: str
) -> None:
    """Nobody asks for what becomes of such a call, so nothing may complain of that either."""
    raw.rpush("list", "a")
    async with connected(proxy.url, most=1) as client:
        long = await hold_long_answer(client, proxy, raw)
        attempts = []
        for number in range(10):
            work = CancelledAt(client.call(("GET", "list") if number % 2 else ("INCR", f"{number}")), 1, late=True)
            attempts.append(asyncio.create_task(finished(work)))
        await asyncio.sleep(0.01)
        assert len(client._queues._queues[0]) == 10
        proxy.release()
        await long
        if how == "loss":
            proxy.end()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert kinds(outcomes) == {asyncio.CancelledError: 10}
        await echo(client, "works")
        await until(
            lambda: all(call.answer.done() for connection in client._connections.current for call in connection.pending),
            "one is under way",
        )
    gc.collect()
    assert complaints == []


async def finished(work: Awaitable[object]) -> object:
    return await work
