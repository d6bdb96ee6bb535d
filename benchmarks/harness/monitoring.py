"""What a server lets others wait for: how long its scripts take, and how long a client waits for the answer to a PING."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import redis.asyncio

__all__ = ["Watched", "watch"]

PAUSE = 0.002
"""Seconds between two looks at how long the server lets a client wait."""


class Watched(NamedTuple):
    """What was seen while something ran.

    Attributes:
        seconds: How long it took.
        longest_ping: How long another client waited for an answer, at the most, in milliseconds.
        scripts: How long each script held the server, in milliseconds by the server's SLOWLOG, ascending; without those of
            less than a tenth of one.
        answer: What it returned.
    """

    seconds: float
    longest_ping: float
    scripts: list[float]
    answer: Any


async def watch(url: str, call: Callable[[], Awaitable[Any]]) -> Watched:
    """Do something, and return what a server did meanwhile. Its SLOWLOG must be ours."""
    longest, done, ready = 0.0, False, asyncio.Event()

    async def look() -> None:
        nonlocal longest
        async with redis.asyncio.Redis.from_url(url, socket_timeout=300) as client:
            await client.ping()
            while not done:
                ready.set()
                began = time.perf_counter()
                await client.ping()
                longest = max(longest, time.perf_counter() - began)
                await asyncio.sleep(PAUSE)

    async with redis.asyncio.Redis.from_url(url, socket_timeout=300) as client:
        await client.config_set("slowlog-log-slower-than", 100)
        await client.config_set("slowlog-max-len", 100_000)
        await client.slowlog_reset()
        looking = asyncio.create_task(look())
        await ready.wait()
        began = time.perf_counter()
        try:
            answer = await call()
        finally:
            taken = time.perf_counter() - began
            done = True  # redis-py may swallow a cancellation
            await looking
        slow = await client.slowlog_get(100_000)
    scripts = sorted(entry["duration"] / 1000 for entry in slow if entry["command"].upper().startswith(b"EVAL"))
    return Watched(taken, longest * 1000, scripts, answer)
