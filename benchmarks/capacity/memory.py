"""Bytes in Redis of a wait with a lifetime: ours, the Rust crate's layout, aiogram's layout."""

import json
from collections.abc import Awaitable, Callable
from functools import partial

from redis.asyncio import Redis

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.population import PreparedWait, prepare_wait
from benchmarks.harness.report import Row
from benchmarks.harness.results import size_text
from benchmarks.harness.server import flush, open_client
from benchmarks.harness.store import TTL_S, open_store, register

__all__ = ["SNAPSHOT_BYTES", "measure_memory"]

SNAPSHOT_BYTES = (256, 1024, 4096)
_TASKS = 50
_TTL_MS = int(TTL_S * 1000)
_NAMESPACE = "greentic:session"
_FIRST_CHAT_ID = 5_000_000_000


async def _write_reference(client: Redis, wait: PreparedWait) -> None:
    """Write the three keys of a wait as the Rust crate greentic-session does."""
    ctx = wait.ctx
    owner = f"{ctx.env}:{ctx.tenant_id}:{ctx.effective_team or '-'}:{wait.user}"
    waits = f"{_NAMESPACE}:waits:user:{owner}"
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.set(f"{_NAMESPACE}:session:{wait.key}", wait.data.to_json(), px=_TTL_MS)
        pipeline.sadd(waits, wait.key)
        pipeline.pexpire(waits, _TTL_MS)
        pipeline.set(f"{_NAMESPACE}:waits:scope:{owner}:{wait.scope.scope_hash()}", wait.key, px=_TTL_MS)
        await pipeline.execute()


async def _write_aiogram(client: Redis, wait: PreparedWait) -> None:
    """Write the two keys of a user as aiogram's RedisStorage does."""
    chat = _FIRST_CHAT_ID + int(wait.user.removeprefix("user-"))
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.set(f"fsm:{chat}:{chat}:state", "ask-the-manager", px=_TTL_MS)
        pipeline.set(f"fsm:{chat}:{chat}:data", json.dumps({"context_json": wait.data.context_json}), px=_TTL_MS)
        await pipeline.execute()


async def measure_memory(url: str, waits: int) -> list[Row]:
    """Return the bytes of a wait for each size of a snapshot and each layout.

    Args:
        url: An empty server.
        waits: How many waits are stored, each of another user.
    """
    rows: list[Row] = []
    async with open_client(url) as client:
        for size in SNAPSHOT_BYTES:

            async def bytes_of(write: Callable[[PreparedWait], Awaitable[object]], size: int = size) -> float:
                await flush(client)
                before = (await client.info("memory"))["used_memory"]
                await closed_loop(write, _TASKS)([prepare_wait(user, "x" * size) for user in range(waits)])
                return float((await client.info("memory"))["used_memory"] - before) / waits

            async with open_store(url) as store:
                await store.health()
                figures = {"ours": await bytes_of(partial(register, store))}
            figures["layout of the Rust crate"] = await bytes_of(partial(_write_reference, client))
            figures["layout of aiogram's RedisStorage"] = await bytes_of(partial(_write_aiogram, client))
            for name, figure in figures.items():
                rows.append(
                    Row(measurement=f"a wait, snapshot of {size_text(size)}", contestant=name, value=figure, unit="bytes")
                )
                if name != "ours":
                    rows[-1].ratio, rows[-1].ratio_of = figures["ours"] / figure, "ours: x its bytes"
        await flush(client)
    return rows
