"""Plain operations of the in-memory store: the least processor time of a call, in microseconds.

Run as a program with the number of users; it prints JSON. It needs nothing but the package, of any
commit.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable

from greentic_session import InMemorySessionStore, ReplyScope, SessionData, TenantCtx

__all__: list[str] = []  # run as a program

BLOCKS = 7
TTL_S = 60


async def main(users: int) -> dict[str, float]:
    contexts = [TenantCtx.new("production", "acme", user=f"user-{n}") for n in range(users)]
    datas = [SessionData.new(ctx, "order", "ask") for ctx in contexts]
    scope = ReplyScope("chat")
    waits = [
        (ctx, f"user-{n}", scope, f"wait-{n}", data, TTL_S)
        for n, (ctx, data) in enumerate(zip(contexts, datas, strict=True))
    ]
    least: dict[str, float] = {}

    async def measure(name: str, call: Callable[..., Awaitable[object]]) -> None:
        gc.collect()
        gc.disable()
        began = time.process_time()
        for wait in waits:
            await call(*wait)
        taken = (time.process_time() - began) / users * 1e6
        gc.enable()
        least[name] = min(taken, least.get(name, taken))

    for _ in range(BLOCKS):
        store = InMemorySessionStore()

        async def release(ctx, user, scope, *_):  # type: ignore[no-untyped-def]  # any store's
            await (await store.claim_wait(ctx, user, scope)).release()  # type: ignore[union-attr]  # noqa: B023  # awaited at once

        async def park(ctx, user, scope, key, data, ttl):  # type: ignore[no-untyped-def]  # any store's  # noqa: ARG001
            async with await store.claim_wait(ctx, user, scope) as claim:  # type: ignore[union-attr]  # noqa: B023
                await claim.park(scope, data, ttl)

        async def complete(ctx, user, scope, *_):  # type: ignore[no-untyped-def]  # any store's
            await (await store.claim_wait(ctx, user, scope)).complete()  # type: ignore[union-attr]  # noqa: B023

        await measure("register_wait", store.register_wait)
        await measure("register_wait, again", store.register_wait)
        await measure("find_wait", lambda ctx, user, scope, *_: store.find_wait(ctx, user, scope))  # noqa: B023
        await measure("claim_wait + release", release)
        await measure("claim_wait + park", park)
        await measure("touch", lambda _, __, ___, key, *____: store.touch(key, TTL_S + 10))  # noqa: B023
        await measure("claim_wait + complete", complete)
    return least


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1])))))
