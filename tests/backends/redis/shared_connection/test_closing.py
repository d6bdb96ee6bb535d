"""The end of a client: calls under way get their answers, the others an error."""

import asyncio
from typing import Any, cast

import pytest
import redis
from patience import PROMPT, SLACK, timed, until
from redis_server import free_port
from shared_connection import HELD_BYTES, client_for, connected, echo, hold_long_answer, kinds
from tcp_proxy import TcpProxy

from greentic_session.errors import UnavailableError

pytestmark = pytest.mark.asyncio


# -- closing


async def test_closing_lets_answers_come_and_turns_the_line_away(proxy: TcpProxy, raw: redis.Redis) -> None:
    client = client_for(proxy.url, most=1)
    await client.call(("PING",))
    long = await hold_long_answer(client, proxy, raw)
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
    assert len(await long) == HELD_BYTES
    await closing
    await until(lambda: proxy.open == 0, "its connection stays")


async def test_closing_waits_for_no_silent_server(proxy: TcpProxy) -> None:
    async with connected(proxy.url) as client:
        proxy.stall()
        calls = [asyncio.create_task(client.call(("PING",))) for _ in range(50)]
        await asyncio.sleep(0.01)
        _, took = await timed(client.aclose())
    assert 0.9 < took < 1.0 + SLACK
    assert kinds(await asyncio.gather(*calls, return_exceptions=True)) == {UnavailableError: 50}
    proxy.resume()
    await until(lambda: proxy.open == 0, "its connection stays")


async def test_closing_that_is_cancelled_closes_all_the_same(proxy: TcpProxy) -> None:
    async with connected(proxy.url) as client:
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


@pytest.mark.parametrize("callers", [1, 20])
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


async def test_a_link_that_was_never_used_closes() -> None:
    client = client_for(f"redis://127.0.0.1:{free_port()}")
    await client.aclose()
    with pytest.raises(UnavailableError, match="closed"):
        await client.call(("PING",))
