"""Monitoring of a server: duration of its scripts, and latency of a PING from another client."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from .server import open_client

__all__ = ["Observation", "observe"]

_PING_INTERVAL_S = 0.002
_SHORTEST_SCRIPT_US = 100
_MAX_SLOWLOG_ENTRIES = 100_000


class Observation(NamedTuple):
    """Observation of a server during one call.

    Attributes:
        seconds: Duration of the call.
        slowest_ping_ms: Longest latency of a PING from another client.
        script_times_ms: Duration of each script by the server's SLOWLOG, ascending; scripts of less
            than 0.1 ms are not in it.
        answer: Return value of the call.
    """

    seconds: float
    slowest_ping_ms: float
    script_times_ms: list[float]
    answer: Any


async def observe(url: str, call: Callable[[], Awaitable[Any]]) -> Observation:
    """Make a call, and observe a server meanwhile. Clears and uses the server's SLOWLOG."""
    slowest, done, ready = 0.0, False, asyncio.Event()

    async def ping() -> None:
        nonlocal slowest
        async with open_client(url) as client:
            await client.ping()
            while not done:
                ready.set()
                began = time.perf_counter()
                await client.ping()
                slowest = max(slowest, time.perf_counter() - began)
                await asyncio.sleep(_PING_INTERVAL_S)

    async with open_client(url) as client:
        await client.config_set("slowlog-log-slower-than", _SHORTEST_SCRIPT_US)
        await client.config_set("slowlog-max-len", _MAX_SLOWLOG_ENTRIES)
        await client.slowlog_reset()
        pinging = asyncio.create_task(ping())
        await ready.wait()
        began = time.perf_counter()
        try:
            answer = await call()
        finally:
            taken = time.perf_counter() - began
            done = True  # redis-py may swallow a cancellation
            await pinging
        entries = await client.slowlog_get(_MAX_SLOWLOG_ENTRIES)
    scripts = sorted(entry["duration"] / 1000 for entry in entries if entry["command"].upper().startswith(b"EVAL"))
    return Observation(taken, slowest * 1000, scripts, answer)
