"""Calls that share a connection.

How few connections they make, who gets which answer, and what is kept.
"""

import asyncio
import gc
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from cancelling import CancelledAt
from patience import PATIENT, until
from redis_server import Server
from shared_connection import NAME, client_for, connected, connections, echo, settle
from tcp_proxy import TcpProxy

from greentic_session import RedisSessionStore
from greentic_session._redis.connection import Call
from greentic_session.errors import ConflictError, InternalError
from greentic_session.testing._sessions.samples import CHAT, MINUTE, ctx, data

asynchronous = pytest.mark.asyncio


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


@pytest.mark.parametrize(("calls", "cancellations"), [(2_000, 200), pytest.param(100_000, 10_000, marks=pytest.mark.slow)])
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

        grown = list[int]()
        for _ in range(4):
            before = resident()
            await asyncio.gather(*(go_on(500) for _ in range(200)))
            grown.append(resident() - before)
        # What leaks grows each time; what tests before have left in this process may move once.
        assert min(grown[1:]) < 1_300_000
