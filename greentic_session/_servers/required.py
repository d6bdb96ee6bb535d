"""A redis-server that a test cannot do without.

Where there is none it is skipped, or fails where CI is set.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import server
from .server import INSTALL, find_binary

__all__ = ["HOW_TO_GET_ONE", "Server", "require", "serve"]

HOW_TO_GET_ONE = f"no Redis: set REDIS_URL, {INSTALL}"


def require(found: str | None) -> str:
    """Return what was found; without it fail where CI is set, and skip elsewhere."""
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(HOW_TO_GET_ONE)
    return found


class Server(server.Server):
    """A throw-away server that looks for its binary itself, and requires it."""

    def __init__(self, *options: str) -> None:
        super().__init__(require(find_binary()), *options)


@contextmanager
def serve() -> Iterator[str]:
    """Yield the URL in REDIS_URL, or that of a server which is started and ended with the block."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with Server() as server:
        yield server.url
