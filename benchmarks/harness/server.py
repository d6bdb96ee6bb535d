"""Throw-away Redis server of one run, without data or load of anybody else."""

from redis.asyncio import Redis

from greentic_session._servers import server
from greentic_session._servers.server import INSTALL, find_binary

__all__ = ["HOW_TO_GET_ONE", "TIMEOUT_S", "Server", "find_binary", "flush", "open_client"]

HOW_TO_GET_ONE = f"no Redis: {INSTALL}"
TIMEOUT_S = 300.0
"""Timeout of all stores and clients: a busy machine takes long for 1,000 connections."""


def open_client(url: str) -> Redis:
    """Return a client of redis.asyncio."""
    return Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


async def flush(client: Redis) -> None:
    """Remove all keys and all cached scripts of a server: both take memory."""
    await client.flushall()
    await client.script_flush()


class Server(server.Server):
    """Redis server that knows its version.

    Attributes:
        version: Product and version, such as ``Redis 7.0.15``; empty until the server is up.
    """

    version = ""

    def wait_until_up(self) -> None:
        super().wait_until_up()
        with self.client() as client:
            info = client.info("server")
        product = "Valkey" if "valkey_version" in info else "Redis"
        self.version = f"{product} {info.get('valkey_version') or info['redis_version']}"
