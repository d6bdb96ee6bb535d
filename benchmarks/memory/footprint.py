"""Memory of a wait: ``python -m benchmarks.memory.footprint WAITS USERS [TTL]``, a new process.

Compares the resident set before and after filling a store. The resident set has all that the
process pays for: dicts with their spare capacity, objects and strings that came in, memory that the
allocator could not give back. Counting it does not slow the filling. `tracemalloc`, which leaves
out the allocator's share, is used where there is no /proc. All waits have the same object as their
snapshot's text, so the text is not in the figure.
"""

import asyncio
import gc
import os
import sys
import tracemalloc

import msgspec

from benchmarks.harness.population import fill, make_ctx, make_scope
from benchmarks.harness.resident_set import IS_KNOWN, resident_set_bytes
from greentic_session import InMemorySessionStore

__all__ = ["Footprint"]


class Footprint(msgspec.Struct):
    """Memory of a wait.

    Attributes:
        bytes_per_wait: Bytes of each wait.
        method: Method of counting, for the notes of the report.
    """

    bytes_per_wait: float
    method: str


def _used_bytes() -> int:
    gc.collect()
    return resident_set_bytes() if IS_KNOWN else tracemalloc.get_traced_memory()[0]


async def _measure(waits: int, users: int, ttl: float | None) -> Footprint:
    async with InMemorySessionStore() as warm:
        await fill(warm, waits=100, users=10, ttl=ttl)  # for imports, caches and the thread
    if not IS_KNOWN:
        tracemalloc.start()
    before = _used_bytes()
    store = InMemorySessionStore()
    await fill(store, waits=waits, users=users, ttl=ttl)
    used = _used_bytes() - before
    for n in (0, waits // 2, waits - 1):
        ctx = make_ctx(n % users)
        assert await store.find_wait(ctx, str(ctx.user_id), make_scope(n)) is not None
    method = "growth of the resident set in a fresh process" if IS_KNOWN else "tracemalloc in a fresh process"
    return Footprint(used / waits, method)


if __name__ == "__main__":
    waits, users, *ttl = sys.argv[1:]
    footprint = asyncio.run(_measure(int(waits), int(users), float(ttl[0]) if ttl else None))
    sys.stdout.buffer.write(msgspec.json.encode(footprint))
    sys.stdout.flush()
    os._exit(0)  # freeing a million waits takes long and measures nothing
