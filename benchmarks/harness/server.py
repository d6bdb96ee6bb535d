"""A throw-away Redis for one run: its own, so that nobody else's data or load is in the way."""

from redis.asyncio import Redis

from greentic_session._servers import server
from greentic_session._servers.server import INSTALL, find_binary

__all__ = ["HOW_TO_GET_ONE", "Server", "empty", "find_binary"]

HOW_TO_GET_ONE = f"no Redis: {INSTALL}"


async def empty(client: Redis) -> None:
    """Make a server as it was when it began: what was measured before has filled the memory of its scripts, too."""
    await client.flushall()
    await client.script_flush()


class Server(server.Server):
    """A redis-server that says which one it is.

    Attributes:
        version: What it says of itself, once it is up.
    """

    version = ""

    def wait_until_up(self) -> None:
        super().wait_until_up()
        with self.client() as client:
            info = client.info("server")
        kind = "Valkey" if "valkey_version" in info else "Redis"
        self.version = f"{kind} {info.get('valkey_version') or info['redis_version']}"
