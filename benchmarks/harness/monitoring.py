"""Monitoring of servers: duration of their steps, and latency of a PING from another client."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from redis.asyncio import Redis

from .server import open_client

__all__ = ["Observation", "observe"]

_PING_INTERVAL_S = 0.002
_SHORTEST_STEP_US = 100
_MAX_SLOWLOG_ENTRIES = 100_000
_OURS = (b"CONFIG", b"SLOWLOG")
"""Commands of the observer's own."""


class Observation(NamedTuple):
    """Observation of servers during one call.

    Attributes:
        seconds: Duration of the call.
        slowest_ping_ms: Longest latency of a PING from another client.
        usual_ping_ms: 99.9 % of them took that long or less, where they took longest.
        slowest_idle_ping_ms: The same of a server of which nobody asks anything meanwhile: what is
            the machine's. 0 without one.
        script_times_ms: Duration of each script by the server's SLOWLOG, ascending; scripts of less
            than 0.1 ms are not in it.
        command_times_ms: The same of all commands, scripts among them.
        answer: Return value of the call.
    """

    seconds: float
    slowest_ping_ms: float
    usual_ping_ms: float
    slowest_idle_ping_ms: float
    script_times_ms: list[float]
    command_times_ms: list[float]
    answer: Any


async def observe(urls: list[str], call: Callable[[], Awaitable[Any]], *, idle: str | None = None) -> Observation:
    """Make a call, and observe servers meanwhile. Clears and uses their SLOWLOG.

    Args:
        urls: The servers that the call asks.
        call: The call.
        idle: Another server, of which it asks nothing.
    """
    pings_s: list[list[float]] = [[] for _ in range(len(urls) + 1)]
    done = False

    async def ping(number: int, client: Redis, ready: asyncio.Event) -> None:
        await client.ping()
        while not done:
            ready.set()
            began = time.perf_counter()
            await client.ping()
            pings_s[number].append(time.perf_counter() - began)
            await asyncio.sleep(_PING_INTERVAL_S)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_client(url)) for url in urls]
        for client in clients:
            await client.config_set("slowlog-log-slower-than", _SHORTEST_STEP_US)
            await client.config_set("slowlog-max-len", _MAX_SLOWLOG_ENTRIES)
            await client.slowlog_reset()
        pinged = [await stack.enter_async_context(open_client(url)) for url in [*urls, *filter(None, [idle])]]
        readies = [asyncio.Event() for _ in pinged]
        pinging = [
            asyncio.create_task(ping(number, client, ready))
            for number, (client, ready) in enumerate(zip(pinged, readies, strict=True))
        ]
        for ready in readies:
            await ready.wait()
        began = time.perf_counter()
        try:
            answer = await call()
        finally:
            taken = time.perf_counter() - began
            done = True  # redis-py may swallow a cancellation
            await asyncio.gather(*pinging)
        entries = [entry for client in clients for entry in await client.slowlog_get(_MAX_SLOWLOG_ENTRIES)]
    slowest = [max(pings, default=0.0) * 1000 for pings in pings_s]
    usual = [sorted(pings)[int(len(pings) * 0.999)] * 1000 for pings in pings_s[: len(urls)] if pings]
    steps = sorted((entry["duration"] / 1000, entry["command"].upper()) for entry in entries)
    return Observation(
        taken,
        max(slowest[: len(urls)]),
        max(usual, default=0.0),
        slowest[-1],
        [time_ms for time_ms, command in steps if command.startswith(b"EVAL")],
        [time_ms for time_ms, command in steps if not command.startswith(_OURS)],
        answer,
    )
