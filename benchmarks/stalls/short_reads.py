"""Short reads beside long ones: tasks read long sessions without a pause, another a short one."""

import asyncio
import time

from benchmarks.harness.population import make_data
from benchmarks.harness.store import open_store
from greentic_session import RedisSessionStore, TenantCtx

__all__ = ["MAX_BYTES", "fill", "time_short_reads"]

MAX_BYTES = 2**24 - 2**12
"""Bytes of a long snapshot: with the rest of its session a little less than 16 MiB."""
_CTX = TenantCtx.new("production", "tenant-1", user="user-1")
_READERS = 16
_PAUSE_S = 0.001


async def fill(url: str, long_bytes: int) -> None:
    """Store a long session for each reader, and a short one."""
    async with open_store(url) as store:
        for number in range(_READERS):
            await store.create_session(_CTX, make_data(_CTX, f'"{"x" * long_bytes}"'), key=_long(number))
        await store.create_session(_CTX, make_data(_CTX, "{}"), key="short")


async def time_short_reads(url: str, reads: int, *, read_before: bool) -> list[float]:
    """Return the latencies of short reads in milliseconds, ascending.

    Args:
        url: URL of the server.
        reads: Number of short reads.
        read_before: Whether the store has read the long sessions before.
    """
    async with open_store(url) as store:
        for number in range(_READERS if read_before else 0):
            await store.get_session(_long(number))
        readers = [asyncio.create_task(_read_long(store, number)) for number in range(_READERS)]
        await asyncio.sleep(0)
        times_ms: list[float] = []
        for _ in range(reads):
            began = time.perf_counter()
            await store.get_session("short")
            times_ms.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(_PAUSE_S)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    return sorted(times_ms)


def _long(number: int) -> str:
    return f"long-{number}"


async def _read_long(store: RedisSessionStore, number: int) -> None:
    while True:
        await store.get_session(_long(number))
