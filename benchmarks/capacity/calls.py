"""Calls of one operation: ``python -m benchmarks.capacity.calls URL OPERATION BYTES CALLS``.

A process of its own, so that its instructions can be counted. Before the calls it stores a wait of
each user, however many calls there are.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.population import PreparedWait, make_snapshot_for, prepare_wait
from benchmarks.harness.store import TTL_S, open_store, register
from greentic_session import RedisSessionStore

__all__ = ["OPERATIONS", "USERS"]

USERS = 100
_TASKS = 100
_LEASE_S = 600.0
"""Under callgrind, on a busy machine, a hundred turns at a time take long."""

OPERATIONS = ("find_wait", "register_wait", "claim_wait + park", "update_session", "deliver + park")


def _call(store: RedisSessionStore, operation: str) -> Callable[[PreparedWait], Awaitable[object]]:
    async def turn(wait: PreparedWait) -> None:
        claim = await store.claim_wait(*wait[:3], lease=_LEASE_S)
        assert claim is not None
        await claim.park(wait.scope, wait.data, TTL_S)

    async def reply(wait: PreparedWait) -> None:
        claim = (await store.deliver(*wait[:3], "yes", delivery_id=uuid4().hex, lease=_LEASE_S)).claim
        assert claim is not None
        await claim.park(wait.scope, wait.data, TTL_S)

    calls: dict[str, Callable[[PreparedWait], Awaitable[object]]] = {
        "find_wait": lambda wait: store.find_wait(*wait[:3]),
        "register_wait": lambda wait: register(store, wait),
        "claim_wait + park": turn,
        "deliver + park": reply,
        "update_session": lambda wait: store.update_session(*wait[3:]),
    }
    return calls[operation]


async def _run(url: str, operation: str, size: int, calls: int) -> None:
    snapshot = make_snapshot_for(size)
    async with open_store(url) as store:
        call = closed_loop(_call(store, operation), _TASKS)
        waits = [prepare_wait(user, snapshot) for user in range(USERS)]
        await closed_loop(lambda wait: register(store, wait), _TASKS)(waits)
        for _ in range(calls // USERS):  # a wait can be claimed by one task only
            await call(waits)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
