"""A real redis-server for the tests.

That of the package's own fixtures, by the name that the tests know.
"""

import asyncio
from collections.abc import Awaitable, Callable

from greentic_session._servers.required import HOW_TO_GET_ONE, Server, require
from greentic_session._servers.server import find_binary, free_port

__all__ = ["HOW_TO_GET_ONE", "Server", "find_binary", "free_port", "kill_under_load", "require"]


async def kill_under_load(server: Server, write: Callable[[int], Awaitable[None]], kills: int) -> None:
    """Kill a server while writers are at work, and start it again, `kills` times.

    `write` returns when so many more writes have been acknowledged.
    """
    for _ in range(kills):
        await write(60)
        server.kill()
        await asyncio.to_thread(server.start)
    await write(60)
