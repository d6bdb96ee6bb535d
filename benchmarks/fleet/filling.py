"""Waits of many tenants, each of a user of its own, registered by the store."""

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from benchmarks.harness.population import make_data, make_snapshot_for
from benchmarks.harness.server import TIMEOUT_S, open_client
from greentic_session import ReplyScope, SessionStore, TenantCtx, create_session_store
from greentic_session.reply import OnTimeout

__all__ = ["BATCH_WAITS", "ENV", "fill", "used_bytes"]

BATCH_WAITS = 10_000
ENV = "production"
_TASKS = 2000
_FAR_S = 7 * 86_400.0
_NEAR_S = 1.0
_NEAR_EACH = 10
"""The deadline of one in so many is near, so that it has passed when all are there."""


async def fill(
    url: str, count: int, *, tenants: int, bytes: int, deadlines: bool, processes: int, tick: Callable[[], object]
) -> None:
    """Register waits; number n is of tenant n modulo `tenants`.

    Args:
        url: The store.
        count: How many.
        tenants: Number of tenants.
        bytes: Length of the text of a session.
        deadlines: Whether they have deadlines that make them ready; if so, one in ten has passed.
        processes: How many processes register them.
        tick: Called after each batch of `BATCH_WAITS`.
    """
    loop, snapshot = asyncio.get_running_loop(), make_snapshot_for(bytes)
    register = partial(_register_batch, url, tenants=tenants, snapshot=snapshot, deadlines=deadlines)
    batches = [range(start, min(start + BATCH_WAITS, count)) for start in range(0, count, BATCH_WAITS)]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for done in asyncio.as_completed([loop.run_in_executor(pool, register, batch) for batch in batches]):
            await done
            tick()
    if deadlines:
        await asyncio.sleep(_NEAR_S)


def _register_batch(url: str, numbers: Sequence[int], *, tenants: int, snapshot: str, deadlines: bool) -> None:
    following = iter(numbers)
    on_timeout: OnTimeout = "resume" if deadlines else "forget"

    async def register(store: SessionStore) -> None:
        for number in following:
            ctx = TenantCtx.new(ENV, f"tenant-{number % tenants}", user=f"user-{number}")
            data, scope = make_data(ctx, snapshot), ReplyScope(f"telegram:chat-{number}")
            ttl = _NEAR_S if deadlines and number // tenants % _NEAR_EACH == 0 else _FAR_S
            await store.register_wait(ctx, f"user-{number}", scope, f"wait-{number}", data, ttl, on_timeout=on_timeout)

    async def register_all() -> None:
        async with create_session_store(url, timeout=TIMEOUT_S) as store:
            await asyncio.gather(*(register(store) for _ in range(_TASKS)))

    asyncio.run(register_all())


async def used_bytes(servers: Sequence[str]) -> int:
    """Return the memory that servers use, in bytes."""
    used = 0
    for url in servers:
        async with open_client(url) as client:
            used += (await client.info("memory"))["used_memory"]
    return used
