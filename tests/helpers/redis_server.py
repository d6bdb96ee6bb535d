"""A real redis-server for the tests.

That of the package's own fixtures, by the name that the tests know.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis

from greentic_session._servers.required import HOW_TO_GET_ONE, Server, require
from greentic_session._servers.server import find_binary, free_port

__all__ = ["HOW_TO_GET_ONE", "Server", "find_binary", "free_port", "kill_under_load", "require", "writes_stopped"]


async def kill_under_load(server: Server, write: Callable[[int], Awaitable[None]], kills: int) -> None:
    """Kill a server while writers are at work, and start it again, `kills` times.

    `write` returns when so many more writes have been acknowledged.
    """
    for _ in range(kills):
        await write(60)
        server.kill()
        await asyncio.to_thread(server.start)
    await write(60)


@contextmanager
def writes_stopped(primary: redis.Redis, replicas: int = 1) -> Iterator[None]:
    """Let a primary take no writes within the block, which begins when its replicas have all.

    So another one that takes over from it meanwhile has all that was ever acknowledged.
    """
    primary.client_pause(600_000, all=False)
    try:
        give_up = time.monotonic() + 30
        sent: Any = primary.info("replication")
        while not _have_all(primary, sent["master_repl_offset"], replicas):
            assert time.monotonic() < give_up, "its replicas do not follow"
            time.sleep(0.02)
        yield
    finally:
        with suppress(redis.RedisError):  # it may be dead
            primary.client_unpause()


def _have_all(primary: redis.Redis, sent: int, replicas: int) -> bool:
    told: Any = primary.info("replication")
    offsets = [told[f"slave{number}"]["offset"] for number in range(told["connected_slaves"])]
    return len(offsets) >= replicas and min(offsets) >= sent
