"""What a wait takes in memory; run in a process of its own: ``python -m benchmarks.memory.footprint WAITS USERS [TTL]``.

Measured is the resident set before and after, which the operating system counts: it holds all that the process pays for (the
store's dicts with their spare partition, the objects and strings that came in, what the allocator could not give back), and
it does not slow the filling. `tracemalloc` would leave the allocator's share out; it stands in where there is no /proc.
All waits hold one and the same snapshot text, so the text is not in the figure.
"""

import asyncio
import gc
import os
import sys
import tracemalloc

import msgspec

from benchmarks.harness.population import fill, make_ctx, make_scope
from benchmarks.harness.resident_set import IS_KNOWN, resident_set
from greentic_session import InMemorySessionStore

__all__ = ["Footprint"]


class Footprint(msgspec.Struct):
    """What the process found: bytes for each wait, and how they were counted."""

    bytes_each: float
    method: str


def _used() -> int:
    gc.collect()
    if IS_KNOWN:
        return resident_set()
    return tracemalloc.get_traced_memory()[0]


async def _measure(waits: int, users: int, ttl: float | None) -> Footprint:
    async with InMemorySessionStore() as warm:
        await fill(warm, waits=100, users=10, ttl=ttl)  # so that imports, caches and the thread are there
    if not IS_KNOWN:
        tracemalloc.start()
    before = _used()
    store = InMemorySessionStore()
    await fill(store, waits=waits, users=users, ttl=ttl)
    used = _used() - before
    for n in (0, waits // 2, waits - 1):
        ctx = make_ctx(n % users)
        assert await store.find_wait(ctx, str(ctx.user_id), make_scope(n)) is not None
    method = "growth of the resident set in a fresh process" if IS_KNOWN else "tracemalloc in a fresh process"
    return Footprint(used / waits, method)


if __name__ == "__main__":
    waits, users, *ttl = sys.argv[1:]
    found = asyncio.run(_measure(int(waits), int(users), float(ttl[0]) if ttl else None))
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()
    os._exit(0)  # taking a million waits apart, one by one, measures nothing
