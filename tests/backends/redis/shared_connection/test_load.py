"""Send buffers that are full, and calls beside long or late ones."""

import asyncio

import pytest
import redis
from patience import PROMPT, SLACK, timed, until
from redis_server import Server
from shared_connection import HELD_BYTES, buffered, connected, connections, echo, hold_long_answer, kinds, settle
from tcp_proxy import TcpProxy

from greentic_session._redis.client import RedisClient
from greentic_session._redis.connection import LONG_BYTES
from greentic_session.errors import OperationTimeoutError

asynchronous = pytest.mark.asyncio


async def late_call(client: RedisClient, seconds: float, *command: str) -> object:
    """Make a call that may take so many seconds only."""
    return await client.call(command, deadline=asyncio.get_running_loop().time() + seconds)


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
        [connection] = client._connections.current
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
    async with connected(proxy.url, most=1) as client:
        long = await hold_long_answer(client, proxy, raw)
        behind = [asyncio.create_task(echo(client, f"{number}")) for number in range(50)]
        await asyncio.sleep(0.02)
        assert len(client._queues._queues[0]) == 50
        proxy.release()
        assert len(await long) == HELD_BYTES
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
        [connection] = client._connections.current
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
        with pytest.raises(OperationTimeoutError):
            await late
        await asyncio.gather(later, return_exceptions=True)  # another connection may answer that
        assert looks < 10
        proxy.release()
