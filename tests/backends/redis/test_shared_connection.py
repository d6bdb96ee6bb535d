"""What many calls that share a few connections may expect of each other: answers of their own, whatever breaks or ends."""

import asyncio
import gc
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
import redis
from cancelling import CancelledAt
from hypothesis import given, settings
from hypothesis import strategies as st
from impatience import PATIENT
from impostor import impostor
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError
from redis_server import Server, free_port
from shared_connection import NAME, PATIENCE, buffered, client_for, connected, connections, counting, echo, settle, until
from tcp_proxy import TcpProxy

from greentic_session import RedisSessionStore
from greentic_session._redis.client import RedisClient
from greentic_session._redis.connection import LONG_BYTES, SPIN_PAUSE_CALLS, SPIN_TURNS, Call, LostError, SharedConnection
from greentic_session.errors import ConflictError, GreenticError, InternalError, OperationTimeoutError, UnavailableError
from greentic_session.testing._sessions.samples import CHAT, MINUTE, ctx, data

asynchronous = pytest.mark.asyncio

SLACK = PATIENCE / 3
"""By how many seconds a deadline may be missed, on a busy machine; the benchmarks measure by how many."""
PROMPT = PATIENCE / 3
"""In how many seconds that happens which waits for nothing. Whatever waited for a call's timeout would take longer."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """A server for the tests that break only the way to it."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client() as raw:
        yield raw


@pytest.fixture(autouse=True)
def nothing_is_left(shared: Server, raw: redis.Redis) -> Iterator[None]:
    """Whatever a test does: no connection outlives its client."""
    raw.flushall()
    yield
    give_up = time.monotonic() + PATIENCE
    while connections(raw):
        assert time.monotonic() < give_up, "connections are left"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def complaints(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Whatever a test does: no loop has anything to complain of, such as an exception that nobody asked for."""
    found: list[dict[str, Any]] = []

    def note(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        found.append(context)

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_exception_handler", note)
    yield found
    gc.collect()
    assert found == []


@pytest_asyncio.fixture
async def proxy(shared: Server) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(shared.port) as proxy:
        yield proxy


async def ends(calls: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Return what each of some calls returns or raises."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def timed(work: Awaitable[object]) -> tuple[object, float]:
    """Return what something returns or raises, and how many seconds it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    [end] = await asyncio.gather(work, return_exceptions=True)
    return end, loop.time() - started


async def late_call(client: RedisClient, seconds: float, *command: str) -> object:
    """Make a call that may take so many seconds only."""
    return await client.call(command, deadline=asyncio.get_running_loop().time() + seconds)


def kinds(outcomes: Iterable[object]) -> Counter[type]:
    return Counter(type(outcome) for outcome in outcomes)


# -- few connections


@asynchronous
async def test_a_hundred_calls_share_one_connection_and_a_thousand_a_few(proxy: TcpProxy, raw: redis.Redis) -> None:
    async with connected(proxy.url) as client:
        await asyncio.gather(*(echo(client, f"{number}") for number in range(100)))
        assert connections(raw) == 1
        assert proxy.most_at_once > 50  # they were written together
        await asyncio.gather(*(echo(client, f"{number}") for number in range(1000)))
        assert connections(raw) <= 4
        assert proxy.accepted <= 4


@asynchronous
async def test_a_first_call_and_those_with_it_share_a_connection(shared: Server, raw: redis.Redis) -> None:
    client = client_for(shared.url)
    await asyncio.gather(*(echo(client, f"{number}") for number in range(100)))
    assert connections(raw) == 1
    await client.aclose()


# -- answers


@asynchronous
async def test_an_error_reaches_its_caller_only(shared: Server, raw: redis.Redis) -> None:
    raw.rpush("list", "a")
    async with connected(shared.url) as client:

        async def refused(number: int) -> None:
            with pytest.raises(InternalError, match=r"another type|refused a command"):
                await (client.call(("GET", "list")) if number % 2 else client.call(("NO-SUCH", f"{number}")))

        calls = [refused(number) if number % 3 == 0 else echo(client, f"{number}") for number in range(200)]
        await asyncio.gather(*calls)
        assert connections(raw) == 1


@asynchronous
async def test_two_hundred_scripts_that_the_server_forgot(shared: Server, raw: redis.Redis) -> None:
    script = "return {ARGV[1], redis.call('INCR', KEYS[1])}"
    sha: Any = raw.script_load(script)
    async with connected(shared.url) as client:
        before = evals(raw)
        for wave in range(3):
            calls = [
                client.call(("EVALSHA", sha, 1, f"once-{wave}-{number}", f"{number}"), script=script)
                for number in range(200)
            ]
            under_way = [asyncio.ensure_future(call) for call in calls]
            raw.script_flush()
            await asyncio.sleep(0)  # they are sent
            assert await asyncio.gather(*under_way) == [[f"{number}".encode(), 1] for number in range(200)]
        assert evals(raw) - before >= 3
        assert connections(raw) == 1


def evals(raw: redis.Redis) -> int:
    stats: Any = raw.info("commandstats")
    return int(stats.get("cmdstat_eval", {"calls": 0})["calls"])


class Fleet:
    """Sessions of which each is like no other, and calls that check that they get their own."""

    SIZE = 40

    def __init__(self, store: RedisSessionStore, chance: random.Random) -> None:
        self.store = store
        self.chance = chance

    async def prepare(self) -> None:
        for number in range(self.SIZE):
            who, user, scope, key, content = self.wait(number)
            await self.store.register_wait(who, user, scope, key, content, MINUTE)

    def wait(self, number: int) -> tuple[Any, ...]:
        who = ctx(f"user-{number}")
        snapshot = f'"{number}{"x" * (3000 * (number % 10))}"'  # up to 27 KB: answers of all lengths
        return who, f"user-{number}", CHAT, f"wait-{number}", data(who, f"node-{number}", snapshot=snapshot)

    def call(self) -> Coroutine[Any, Any, None]:
        """Return one of many calls, which fails unless its answer is its own."""
        number = self.chance.randrange(self.SIZE)
        kind = self.chance.choice([self.get, self.find, self.find_key, self.list, self.update, self.touch, self.conflict])
        return kind(number)

    async def get(self, number: int) -> None:
        assert await self.store.get_session(f"wait-{number}") == self.wait(number)[-1]

    async def find(self, number: int) -> None:
        who, user, scope, key, content = self.wait(number)
        found = await self.store.find_wait(who, user, scope)
        assert found is not None
        assert (found.key, found.data) == (key, content)

    async def find_key(self, number: int) -> None:
        who, user, scope, key, _ = self.wait(number)
        assert await self.store.find_wait_by_scope(who, user, scope) == key

    async def list(self, number: int) -> None:
        who, user, _, key, _ = self.wait(number)
        assert await self.store.list_waits_for_user(who, user) == [key]

    async def update(self, number: int) -> None:
        *_, key, content = self.wait(number)
        version = await self.store.update_session(key, content)
        found = await self.store.get_versioned(key)
        assert found is not None
        assert (found.version, found.data) == (version, content)

    async def touch(self, number: int) -> None:
        assert await self.store.touch(f"wait-{number}", MINUTE) is True

    async def conflict(self, number: int) -> None:
        *_, key, content = self.wait(number)
        with pytest.raises(ConflictError) as caught:
            await self.store.update_session(key, content, if_version="no such")
        assert cast("Any", caught.value).session_key == key


@pytest.mark.parametrize(
    ("calls", "cancellations"), [(10_000, 1_000), pytest.param(100_000, 10_000, marks=pytest.mark.slow)]
)
@asynchronous
async def test_random_cancellations_give_nobody_anothers_answer(
    shared: Server, raw: redis.Redis, calls: int, cancellations: int
) -> None:
    chance = random.Random(11)
    async with RedisSessionStore.from_url(f"{shared.url}?client_name={NAME}", max_connections=4, **PATIENT) as store:
        fleet = Fleet(store, chance)
        await fleet.prepare()
        made = cancelled = 0
        while made < calls or cancelled < cancellations:
            wave = 2000
            chosen = set(chance.sample(range(wave), wave // 8))
            exact = {number for number in chosen if chance.random() < 0.5}
            thrown: set[int] = set()

            async def attempt(number: int, point: int, *, late: bool, thrown: set[int] = thrown) -> None:
                work = CancelledAt(fleet.call(), point, late=late)
                try:
                    await work
                finally:
                    if work.cancelled:
                        thrown.add(number)

            tasks = []
            for number in range(wave):
                point = chance.choice([1, 1, 2, 3]) if number in exact else 0
                tasks.append(asyncio.create_task(attempt(number, point, late=chance.random() < 0.5)))
            for number in chosen - exact:  # the others, at any time
                for _ in range(chance.choice([0, 0, 0, 1])):
                    await asyncio.sleep(0)
                if tasks[number].cancel():
                    thrown.add(number)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for number, outcome in enumerate(outcomes):
                if number in thrown:
                    assert isinstance(outcome, asyncio.CancelledError), f"a cancellation was lost: {outcome!r}"
                    cancelled += 1
                else:
                    assert outcome is None, outcome
            made += wave
            assert connections(raw) <= 4
        await asyncio.gather(*(fleet.call() for _ in range(500)))
        await settle(raw, most=4)


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
                            lambda: any(connection._alone for connection in client._connections),
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
        # Reads are repeated; a few share the failure of a connection that was killed while it was opened.
        assert sum(traffic.failures[name, UnavailableError] for name in ("_read", "_read_long")) <= 4 * kills
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
    raw.set("long", b"x" * 2_000_000)
    async with connected(proxy.url, most=1) as client:
        proxy.hold(after=3 * LONG_BYTES)
        long = asyncio.create_task(client.call(("GET", "long")))
        [connection] = client._connections
        await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
        line = [asyncio.create_task(timed(client.call(("INCR", f"{number}")))) for number in range(20)]
        await until(lambda: len(client._queues._queues[0]) == 20, "they do not wait")
        proxy.end()
        assert kinds(await asyncio.gather(long, return_exceptions=True)) == {UnavailableError: 1}
        for end, took in await asyncio.gather(*line):
            assert end == 1  # nothing had been sent
            assert took < PROMPT
        proxy.release()


# -- pushing back


@asynchronous
async def test_a_full_send_buffer_pushes_back(proxy: TcpProxy) -> None:
    text = "z" * 50_000
    async with connected(proxy.url, most=1) as client:
        proxy.stall()
        calls = [asyncio.create_task(client.call(("SET", f"{number}", text))) for number in range(400)]
        await asyncio.sleep(0.05)
        assert buffered(client) < 2 * LONG_BYTES + 2 * len(text)
        assert len(client._queues._queues[0]) > 100
        waiting = calls[-50:]
        for call in waiting:
            call.cancel()
        await asyncio.wait(waiting)
        assert len(client._queues._queues[0]) < 400 - 50
        most = 0
        proxy.resume()
        while not all(call.done() for call in calls):
            most = max(most, buffered(client))
            await asyncio.sleep(0)
        assert most < 2 * LONG_BYTES + 2 * len(text)
        assert await asyncio.gather(*calls[:-50]) == [b"OK"] * 350
        assert await client.call(("DBSIZE",)) == 350


@asynchronous
async def test_those_who_wait_in_the_line_are_late_in_time(proxy: TcpProxy) -> None:
    async with connected(proxy.url, most=1) as client:
        proxy.stall()
        deadline = asyncio.get_running_loop().time() + 0.3
        calls = [client.call(("SET", f"{number}", "z" * 50_000), deadline=deadline) for number in range(300)]
        outcomes = await asyncio.gather(*(timed(call) for call in calls))
        assert kinds([end for end, _ in outcomes]) == {OperationTimeoutError: 300}
        assert asyncio.get_running_loop().time() >= deadline
        assert all(took < 0.3 + SLACK for _, took in outcomes)
        assert not client._queues._queues[0]
        proxy.resume()
        await echo(client, "works")


# -- neighbours that are long or late


@asynchronous
async def test_a_long_answer_that_is_held_up_holds_up_no_small_one(proxy: TcpProxy, raw: redis.Redis) -> None:
    raw.set("long", b"x" * 2_000_000)
    async with connected(proxy.url) as client:
        proxy.hold(after=3 * LONG_BYTES)
        long = asyncio.create_task(client.call(("GET", "long")))
        behind = [asyncio.create_task(echo(client, f"{number}")) for number in range(5)]
        [connection] = client._connections
        await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
        for number in range(50):
            _, took = await timed(echo(client, f"{number}"))
            assert took < PROMPT
        assert not long.done()
        assert not any(call.done() for call in behind)
        assert connections(raw) == 2
        proxy.release()
        assert len(await long) == 2_000_000
        await asyncio.gather(*behind)


@asynchronous
async def test_a_long_answer_that_is_held_up_on_the_only_connection(proxy: TcpProxy, raw: redis.Redis) -> None:
    raw.set("long", b"x" * 2_000_000)
    async with connected(proxy.url, most=1) as client:
        proxy.hold(after=3 * LONG_BYTES)
        long = asyncio.create_task(client.call(("GET", "long")))
        [connection] = client._connections
        await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
        behind = [asyncio.create_task(echo(client, f"{number}")) for number in range(50)]
        await asyncio.sleep(0.02)
        assert len(client._queues._queues[0]) == 50
        proxy.release()
        assert len(await long) == 2_000_000
        await asyncio.gather(*behind)
        assert connections(raw) == 1


@asynchronous
async def test_a_long_command_has_a_connection_to_itself(proxy: TcpProxy, raw: redis.Redis) -> None:
    async with connected(proxy.url) as client:
        proxy.hold()
        small = [asyncio.create_task(echo(client, f"{number}")) for number in range(20)]
        await asyncio.sleep(0.02)
        assert await client.call(("SET", "long", "x" * 2 * LONG_BYTES)) == b"OK"
        assert not any(call.done() for call in small)
        assert connections(raw) == 2
        proxy.release()
        await asyncio.gather(*small)


@pytest.mark.parametrize("how", ["cancelled", "late"])
@asynchronous
async def test_a_long_command_that_is_given_up_leaves_its_neighbours_alone(
    proxy: TcpProxy, raw: redis.Redis, how: str
) -> None:
    text = "x" * 12_000_000  # no socket buffers that much
    async with connected(proxy.url) as client:
        await asyncio.gather(client.call(("SET", "long", "x" * 2 * LONG_BYTES)), echo(client, "small"))
        assert connections(raw) == 2  # one for each
        raw.delete("long")
        proxy.stall()
        deadline = None if how == "cancelled" else asyncio.get_running_loop().time() + 0.5
        long = asyncio.create_task(client.call(("SET", "long", text), deadline=deadline))
        await asyncio.sleep(0.2)
        small = [asyncio.create_task(echo(client, f"{number}")) for number in range(20)]
        if how == "cancelled":
            await asyncio.sleep(0.02)
            long.cancel()
        expected = asyncio.CancelledError if how == "cancelled" else OperationTimeoutError
        assert kinds(await asyncio.gather(long, return_exceptions=True)) == {expected: 1}
        proxy.resume()
        await asyncio.gather(*small)
        await echo(client, "works")
        await settle(raw, most=1)  # it went with its connection
        assert raw.exists("long") == 0


@pytest.mark.parametrize("most", [1, 2])
@asynchronous
async def test_long_and_short_commands_mixed(shared: Server, raw: redis.Redis, most: int) -> None:
    async with connected(shared.url, most=most) as client:
        calls = []
        for number in range(300):
            text = f"{number}-{'x' * (2 * LONG_BYTES if number % 10 == 0 else 10)}"
            calls.append(echo(client, text))
        await asyncio.gather(*calls)
        assert connections(raw) <= most


@asynchronous
async def test_a_late_call_leaves_its_neighbours_alone(proxy: TcpProxy) -> None:
    async with connected(proxy.url) as client:
        proxy.hold()
        late = asyncio.create_task(timed(late_call(client, 0.4, "ECHO", "late")))
        await asyncio.sleep(0.02)
        later = [asyncio.create_task(echo(client, f"{number}")) for number in range(20)]
        end, took = await late
        assert type(end) is OperationTimeoutError
        assert 0.39 < took < 0.4 + SLACK
        assert proxy.accepted == 1
        _, took = await timed(echo(client, "over a new connection"))
        assert took < PROMPT
        assert proxy.accepted == 2
        assert not any(call.done() for call in later)
        proxy.release()
        await asyncio.gather(*later)
        await until(lambda: proxy.open == 1, "the old connection stays")


@asynchronous
async def test_calls_end_when_their_time_is_over(proxy: TcpProxy) -> None:
    async with connected(proxy.url) as client:
        proxy.stall()
        outcomes = []
        for _ in range(10):
            outcomes.append(asyncio.create_task(timed(late_call(client, 0.2, "PING"))))
            await asyncio.sleep(0.03)
        for end, took in await asyncio.gather(*outcomes):
            assert type(end) is OperationTimeoutError
            assert 0.19 < took < 0.2 + SLACK
        proxy.resume()
        await echo(client, "works")


@asynchronous
async def test_those_in_the_line_go_on_when_a_late_call_ends_the_only_connection(proxy: TcpProxy, raw: redis.Redis) -> None:
    raw.set("long", b"x" * 2_000_000)
    async with connected(proxy.url, most=1) as client:
        proxy.hold(after=3 * LONG_BYTES)
        late = asyncio.create_task(client.call(("GET", "long")))
        [connection] = client._connections
        # No more of it comes: that would set the room anew.
        await until(lambda: connection._unfinished >= 3 * LONG_BYTES, "the answer has not begun")
        connection.room = 2  # one more may go behind it
        behind = asyncio.create_task(timed(echo(client, "behind")))
        await until(lambda: len(connection.pending) == 2, "it is not sent")
        connection.room = 0
        waiting = asyncio.create_task(timed(echo(client, "waiting")))
        await until(lambda: len(client._queues._queues[0]) == 1, "it does not wait")
        connection.pending[0].deadline = asyncio.get_running_loop().time()
        client._look()  # as when the time has come
        assert kinds(await asyncio.gather(late, return_exceptions=True)) == {OperationTimeoutError: 1}
        end, took = await waiting
        assert end is None
        assert took < PROMPT
        assert not behind.done()
        proxy.release()
        assert (await behind)[0] is None


@asynchronous
async def test_a_connection_that_ends_for_a_late_call_is_looked_at_no_more_than_needed(
    proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = RedisClient._look

    def counted(self: RedisClient) -> None:
        nonlocal looks
        looks += 1
        look(self)

    monkeypatch.setattr(RedisClient, "_look", counted)
    async with connected(proxy.url, timeout=0.5) as client:
        proxy.hold()
        late = asyncio.create_task(client.call(("PING",)))
        await asyncio.sleep(0.4)
        later = asyncio.create_task(client.call(("PING",)))
        assert kinds(await asyncio.gather(late, later, return_exceptions=True)) == {OperationTimeoutError: 2}
        assert looks < 10
        proxy.release()


# -- closing


@asynchronous
async def test_closing_lets_answers_come_and_turns_the_line_away(proxy: TcpProxy, raw: redis.Redis) -> None:
    raw.set("long", b"x" * 2_000_000)
    client = client_for(proxy.url, most=1)
    await client.call(("PING",))
    proxy.hold(after=3 * LONG_BYTES)
    long = asyncio.create_task(client.call(("GET", "long")))
    [connection] = client._connections
    await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
    line = [asyncio.create_task(timed(echo(client, f"{number}"))) for number in range(20)]
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(client.aclose())
    for end, _ in await asyncio.gather(*line):
        assert type(end) is UnavailableError
        assert "closed" in str(end)
    assert not long.done()
    with pytest.raises(UnavailableError, match="closed"):
        await client.call(("PING",))
    proxy.release()
    assert len(await long) == 2_000_000
    await closing
    await until(lambda: proxy.open == 0, "its connection stays")


@asynchronous
async def test_closing_waits_for_no_silent_server(proxy: TcpProxy) -> None:
    client = client_for(proxy.url)
    await client.call(("PING",))
    proxy.stall()
    calls = [asyncio.create_task(client.call(("PING",))) for _ in range(50)]
    await asyncio.sleep(0.01)
    _, took = await timed(client.aclose())
    assert 0.9 < took < 1.0 + SLACK
    assert kinds(await asyncio.gather(*calls, return_exceptions=True)) == {UnavailableError: 50}
    proxy.resume()
    await until(lambda: proxy.open == 0, "its connection stays")


@asynchronous
async def test_closing_that_is_cancelled_closes_all_the_same(proxy: TcpProxy) -> None:
    client = client_for(proxy.url)
    await client.call(("PING",))
    proxy.stall()
    call = asyncio.create_task(client.call(("PING",)))
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0.02)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    end, took = await timed(call)
    assert type(end) is UnavailableError
    assert took < PROMPT
    proxy.resume()
    await client.aclose()


@pytest.mark.parametrize("callers", [1, 20])
@asynchronous
async def test_closing_while_connecting(proxy: TcpProxy, callers: int) -> None:
    client = client_for(proxy.url)
    proxy.stall()
    calls = [asyncio.create_task(client.call(("PING",))) for _ in range(callers)]
    await until(lambda: proxy.open == 1, "nobody connects")
    _, took = await timed(client.aclose())
    assert took < PROMPT
    outcomes, took = await timed(asyncio.gather(*calls, return_exceptions=True))
    assert took < PROMPT
    for end in cast("list[Any]", outcomes):
        assert type(end) is UnavailableError
        assert "closed" in str(end)
    proxy.resume()
    await until(lambda: proxy.open == 0, "its connection stays")


@asynchronous
async def test_closing_when_somebody_in_the_line_was_just_told_to_go_on(proxy: TcpProxy) -> None:
    client = client_for(proxy.url)
    proxy.stall()
    calls = [asyncio.create_task(client.call(("PING",))) for _ in range(2)]
    await until(lambda: proxy.open == 1, "nobody connects")
    turn = [*client._queues._queues[0]._calls.values()][1].turn
    assert turn is not None
    turn.set_result(None)  # as when a connection is lost; it has not run since
    client.close()
    done, _ = await asyncio.wait(calls, timeout=PROMPT)
    for call in set(calls) - done:
        call.cancel()
    assert kinds(await asyncio.gather(*calls, return_exceptions=True)) == {UnavailableError: 2}
    await client.aclose()
    proxy.resume()


@asynchronous
async def test_closing_twice(proxy: TcpProxy) -> None:
    client = client_for(proxy.url)
    await client.call(("PING",))
    proxy.hold()
    call = asyncio.create_task(client.call(("ECHO", "x")))
    await asyncio.sleep(0.01)
    closings = [asyncio.create_task(timed(client.aclose())) for _ in range(3)]
    await asyncio.sleep(0.02)
    assert not any(closing.done() for closing in closings)
    proxy.release()
    assert await call == b"x"
    for _, took in await asyncio.gather(*closings):
        assert took < PROMPT
    _, took = await timed(client.aclose())
    assert took < PROMPT


@asynchronous
async def test_a_link_that_was_never_used_closes() -> None:
    client = client_for(f"redis://127.0.0.1:{free_port()}")
    await client.aclose()
    with pytest.raises(UnavailableError, match="closed"):
        await client.call(("PING",))


# -- connecting


@asynchronous
async def test_many_callers_make_few_attempts() -> None:
    kind = counting()
    client = client_for(f"redis://127.0.0.1:{free_port()}", kind=kind)
    failures = 0

    async def insist() -> None:
        nonlocal failures
        while len(kind.tries) < 5:
            with pytest.raises(UnavailableError, match="connection to Redis failed"):
                await client.call(("PING",), repeatable=True)
            failures += 1

    await asyncio.gather(*(insist() for _ in range(200)))
    # Between two attempts there is a delay, however many insist: who asks meanwhile shares the next one.
    assert len(kind.tries) == 5
    assert 200 <= failures <= 200 * len(kind.tries)
    for (one, other), delay in zip(pairwise(kind.tries), [0.04, 0.08, 0.16, 0.32], strict=True):
        assert other - one >= delay / 2 - 0.001
    await client.aclose()


@asynchronous
async def test_attempts_are_spread_and_bounded() -> None:
    loop = asyncio.get_running_loop()
    firsts = set()
    for _ in range(20):
        client = client_for(f"redis://127.0.0.1:{free_port()}")
        for failures, delay in enumerate([0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0], start=1):
            now = loop.time()
            client._dialer.failed(now)
            wait = client._dialer.not_before - now
            assert delay / 2 - 1e-6 <= wait <= delay + 1e-6
            if failures == 1:
                firsts.add(round(wait, 6))
    assert len(firsts) > 10


@asynchronous
async def test_a_long_outage_is_no_other_failure() -> None:
    client = client_for(f"redis://127.0.0.1:{free_port()}")
    client._dialer._failures = 2000  # half an hour of attempts
    outcomes = await ends([client.call(("PING",)) for _ in range(3)])
    assert kinds(outcomes) == {UnavailableError: 3}
    await client.aclose()


@asynchronous
async def test_the_first_attempt_after_a_quiet_time_is_made_at_once_and_success_is_the_end_of_it(proxy: TcpProxy) -> None:
    kind = counting()
    client = client_for(proxy.url, kind=kind)
    proxy.refuse()
    for _ in range(5):
        assert kinds(await ends([client.call(("PING",))])) == {UnavailableError: 1}
    await proxy.allow()
    await asyncio.sleep(max(0.0, client._dialer.not_before - asyncio.get_running_loop().time()))
    kind.tries.clear()
    assert await client.call(("PING",)) == b"PONG"
    assert len(kind.tries) == 1
    proxy.refuse()
    await until(lambda: not client._connections, "the loss is not seen")
    kind.tries.clear()
    assert client._dialer.not_before <= asyncio.get_running_loop().time()  # at once
    for failures in range(1, 4):
        assert kinds(await ends([client.call(("PING",))])) == {UnavailableError: 1}
        assert client._dialer._failures == failures  # it begins anew
    assert len(kind.tries) == 3
    await client.aclose()


@asynchronous
async def test_a_timeout_that_is_shorter_than_the_delay_between_attempts(proxy: TcpProxy) -> None:
    client = client_for(proxy.url, timeout=0.1)
    proxy.refuse()
    client._dialer._failures = 10
    client._dialer.failed(asyncio.get_running_loop().time())
    await proxy.allow()
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE
    while loop.time() < give_up:
        [end] = await ends([client.call(("PING",))])
        if not isinstance(end, Exception):
            break
    else:
        pytest.fail("whoever keeps calling keeps it from connecting")
    await client.aclose()


@asynchronous
async def test_the_next_in_line_connects_when_the_first_is_cancelled(proxy: TcpProxy) -> None:
    client = client_for(proxy.url)
    proxy.stall()
    calls = [asyncio.create_task(timed(echo(client, f"{number}"))) for number in range(10)]
    await until(lambda: proxy.open == 1, "nobody connects")
    for call in calls[:5]:
        call.cancel()
        await asyncio.sleep(0.01)
    proxy.resume()
    for end, took in await asyncio.gather(*calls[5:]):
        assert end is None
        assert took < PROMPT
    await client.aclose()


@asynchronous
async def test_an_answer_is_not_kept_waiting_for_a_connection(proxy: TcpProxy, raw: redis.Redis) -> None:
    raw.set("long", b"x" * 2_000_000)
    async with connected(proxy.url) as client:
        proxy.hold(after=3 * LONG_BYTES)
        long = asyncio.create_task(client.call(("GET", "long")))
        [connection] = client._connections
        await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
        client._dialer.not_before = asyncio.get_running_loop().time() + 3600  # no other can be opened now
        calls = [asyncio.create_task(timed(echo(client, f"{number}"))) for number in range(3)]
        await asyncio.sleep(0.02)
        proxy.release()
        assert len(await long) == 2_000_000
        for end, took in await asyncio.gather(*calls):
            assert end is None
            assert took < PROMPT


@asynchronous
async def test_giving_up_long_commands_is_no_failure_to_connect(proxy: TcpProxy) -> None:
    text = "x" * 12_000_000
    async with connected(proxy.url, most=1) as client:
        for _ in range(10):
            call = asyncio.create_task(client.call(("SET", "long", text)))
            await until(lambda: any(connection._alone for connection in client._connections), "it is not sent")
            call.cancel()
            await asyncio.wait([call])
        assert client._dialer.not_before <= asyncio.get_running_loop().time()
        await echo(client, "works")


@asynchronous
async def test_a_replica_is_not_connected_to_for_every_refusal(server: Server) -> None:
    async with TcpProxy(server.port) as proxy, connected(proxy.url) as client:
        with server.client() as raw:
            raw.replicaof("127.0.0.1", free_port())
        outcomes = await ends([client.call(("INCR", f"{number}")) for number in range(300)])
        assert kinds(outcomes) == {UnavailableError: 300}
        assert proxy.accepted <= 3
        before = proxy.accepted
        await ends([client.call(("INCR", "x"))])
        await ends([client.call(("INCR", "x"))])
        assert proxy.accepted > before  # a new one may lead to the new primary


# -- servers that are none


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\r\n", b"$-7\r\n", b"+PONG\r\n?\r\n"])
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
        await until(lambda: not client._connections, "it is used further")
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
        await until(lambda: not client._retired, "it is kept for ever")
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


# -- memory


def kept(mark: bytes) -> int:
    """Return how many calls there are whose commands hold a word."""
    gc.collect()
    return sum(type(thing) is Call and mark in thing.packed for thing in gc.get_objects())


@asynchronous
async def test_nothing_is_kept_of_a_call_that_is_over(proxy: TcpProxy) -> None:
    async with connected(proxy.url, most=2) as client:
        proxy.stall()
        calls = [asyncio.create_task(echo(client, f"kept-{number}")) for number in range(600)]
        await until(lambda: kept(b"kept-") == 600, "they are not under way")
        for number in range(0, 600, 2):
            calls[number].cancel()
        proxy.resume()
        await asyncio.gather(*calls, return_exceptions=True)
        await echo(client, "the answers before this have come")
        calls.clear()
        assert kept(b"kept-") == 0


def resident() -> int:
    """Return how many bytes of memory this process has."""
    table = Path("/proc/self/statm")
    if not table.exists():
        pytest.skip("no /proc/self/statm to look at")
    return int(table.read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.slow
@asynchronous
async def test_memory_stays_flat(shared: Server) -> None:
    chance = random.Random(3)
    async with RedisSessionStore.from_url(f"{shared.url}?client_name={NAME}", max_connections=4, **PATIENT) as store:
        fleet = Fleet(store, chance)
        await fleet.prepare()

        async def go_on(calls: int) -> None:
            for _ in range(calls):
                call = asyncio.ensure_future(fleet.call())
                if chance.random() < 0.02:
                    asyncio.get_running_loop().call_soon(call.cancel)
                await asyncio.wait([call])
                if not call.cancelled():
                    call.result()

        await asyncio.gather(*(go_on(500) for _ in range(200)))
        before = resident()
        await asyncio.gather(*(go_on(1500) for _ in range(200)))
        assert resident() - before < 4_000_000


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
@settings(max_examples=300)
def test_every_answer_goes_to_its_call_however_the_bytes_come(
    quiet: asyncio.AbstractEventLoop, answers: list[tuple[object, str]], more: st.DataObject
) -> None:
    connection, wire = lane_on(quiet)
    calls = []
    for number, _ in enumerate(answers):
        calls.append(call_on(quiet, b"%d;" % number))
        connection.send(calls[-1])
        if more.draw(st.booleans()):
            turn(quiet)
    turn(quiet)
    assert wire.sent == b"".join(b"%d;" % number for number in range(len(answers)))
    given_up = {number for number, (_, when) in enumerate(answers) if when != "never"}
    for number, (_, when) in enumerate(answers):
        if when == "before":
            calls[number].answer.cancel()
    text = b"".join(wire_text(answer) for answer, _ in answers)
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
    """In Python 3.12.0 to 3.12.8, 3.13.0 and 3.13.1, `writelines` never calls `pause_writing` (CVE-2024-12254)."""
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
    raw.set("long", b"x" * 2_000_000)
    raw.rpush("list", "a")
    async with connected(proxy.url, most=1) as client:
        proxy.hold(after=3 * LONG_BYTES)
        long = asyncio.create_task(client.call(("GET", "long")))
        [connection] = client._connections
        await until(lambda: connection._unfinished > LONG_BYTES, "the answer has not begun")
        attempts = []
        for number in range(10):
            work = CancelledAt(client.call(("GET", "list") if number % 2 else ("INCR", f"{number}")), 1, late=True)
            attempts.append(asyncio.create_task(finished(work)))
        await asyncio.sleep(0.01)
        assert len(client._queues._queues[0]) == 10
        if how == "loss":
            proxy.cut(after=1, skip=200)
        proxy.release()
        await long
        if how == "loss":
            proxy.end()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert kinds(outcomes) == {asyncio.CancelledError: 10}
        await echo(client, "works")
        await until(
            lambda: all(call.answer.done() for connection in client._connections for call in connection.pending),
            "one is under way",
        )
    gc.collect()
    assert complaints == []


async def finished(work: Awaitable[object]) -> object:
    return await work
