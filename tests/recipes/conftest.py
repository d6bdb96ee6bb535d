"""Fixtures: the stores that a recipe runs on."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from redis_server import Server

from greentic_session import InMemorySessionStore, RedisUrlWithNamespace, SessionStore, create_session_store

Open = Callable[[], AbstractAsyncContextManager[SessionStore]]
"""Opens the storage of the test, as a process does that begins; also again, or twice at once."""

DURABLE = ["sqlite", "redis"]
"""Storage that processes share, and that outlives them."""


@pytest.fixture(params=["memory", *DURABLE])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one storage: in memory, in a file, or in Redis."""
    memory = InMemorySessionStore()
    where: str | RedisUrlWithNamespace = f"sqlite:///{tmp_path}/bot.db"
    if request.param == "redis":
        where = RedisUrlWithNamespace(request.getfixturevalue("redis_url"), request.getfixturevalue("namespace"))

    @asynccontextmanager
    async def open() -> AsyncIterator[SessionStore]:
        if request.param == "memory":
            yield memory
        else:
            async with create_session_store(where) as store:
                yield store

    yield open
    anyio.run(memory.aclose)


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.slow), "redis"])
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a storage that processes share, empty."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bot.db"
    else:
        with Server() as server:
            yield server.url
