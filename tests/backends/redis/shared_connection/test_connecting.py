"""Attempts to connect: how many, how often, and who makes them."""

import asyncio
from itertools import pairwise

import pytest
import redis
from patience import PATIENCE, PROMPT, timed, until
from redis_server import Server, free_port
from shared_connection import HELD_BYTES, client_for, connected, counting, echo, ends, hold_long_answer, kinds
from tcp_proxy import TcpProxy

from greentic_session._redis.dialer import Opened
from greentic_session.errors import UnavailableError

pytestmark = pytest.mark.asyncio


# -- connecting


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
    # Between two attempts there is a delay, however many insist: who asks meanwhile shares the next
    # one.
    assert len(kind.tries) == 5
    assert 200 <= failures <= 200 * len(kind.tries)
    for (one, other), delay in zip(pairwise(kind.tries), [0.04, 0.08, 0.16, 0.32], strict=True):
        assert other - one >= delay / 2 - 0.001
    await client.aclose()


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


async def test_a_long_outage_is_no_other_failure() -> None:
    client = client_for(f"redis://127.0.0.1:{free_port()}")
    client._dialer._failures = 2000  # half an hour of attempts
    outcomes = await ends([client.call(("PING",)) for _ in range(3)])
    assert kinds(outcomes) == {UnavailableError: 3}
    await client.aclose()


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
    await until(lambda: not client._connections.current, "the loss is not seen")
    kind.tries.clear()
    assert client._dialer.not_before <= asyncio.get_running_loop().time()  # at once
    for failures in range(1, 4):
        assert kinds(await ends([client.call(("PING",))])) == {UnavailableError: 1}
        assert client._dialer._failures == failures  # it begins anew
    assert len(kind.tries) == 3
    await client.aclose()


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


async def test_a_connection_is_opened_for_all_who_wait_whoever_leaves(proxy: TcpProxy) -> None:
    kind = counting()
    client = client_for(proxy.url, kind=kind)
    proxy.stall()
    calls = [asyncio.create_task(echo(client, f"{number}")) for number in range(10)]
    await until(lambda: proxy.open == 1, "nobody connects")
    for call in calls[:5]:
        call.cancel()
        await asyncio.wait([call])
    proxy.resume()
    await asyncio.gather(*calls[5:])
    assert len(kind.tries) == 1
    await client.aclose()


async def test_a_fault_of_ours_while_connecting_reaches_whoever_waits(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(shared.url) as client:
        client._connections.retire_all()
        connect, faults = client._dialer.connect, [ValueError("a credential provider's fault")]

        async def faulty() -> Opened:
            if faults:
                raise faults.pop()
            return await connect()

        monkeypatch.setattr(client._dialer, "connect", faulty)
        with pytest.raises(ValueError, match="provider"):
            await client.call(("PING",))
        assert await client.call(("PING",)) == b"PONG"


async def test_an_answer_is_not_kept_waiting_for_a_connection(proxy: TcpProxy, raw: redis.Redis) -> None:
    async with connected(proxy.url) as client:
        long = await hold_long_answer(client, proxy, raw)
        client._dialer.not_before = asyncio.get_running_loop().time() + 3600  # no other can be opened now
        calls = [asyncio.create_task(timed(echo(client, f"{number}"))) for number in range(3)]
        await asyncio.sleep(0.02)
        proxy.release()
        assert len(await long) == HELD_BYTES
        for end, took in await asyncio.gather(*calls):
            assert end is None
            assert took < PROMPT


async def test_giving_up_long_commands_is_no_failure_to_connect(proxy: TcpProxy) -> None:
    text = "x" * 12_000_000
    async with connected(proxy.url, most=1) as client:
        for _ in range(10):
            call = asyncio.create_task(client.call(("SET", "long", text)))
            await until(lambda: any(connection._alone for connection in client._connections.current), "it is not sent")
            call.cancel()
            await asyncio.wait([call])
        assert client._dialer.not_before <= asyncio.get_running_loop().time()
        await echo(client, "works")


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
