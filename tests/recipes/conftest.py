"""Fixtures: the stores that a recipe runs on."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from greentic_session import InMemorySessionStore, SessionStore, create_session_store

Open = Callable[[], AbstractAsyncContextManager[SessionStore]]
"""Opens the storage of the test, as a process does that begins; also again, or twice at once."""


@pytest.fixture(params=["memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one storage: in memory, or in a file."""
    memory = InMemorySessionStore()

    @asynccontextmanager
    async def open() -> AsyncIterator[SessionStore]:
        if request.param == "memory":
            yield memory
        else:
            async with create_session_store(f"sqlite:///{tmp_path}/bot.db") as store:
                yield store

    yield open
    anyio.run(memory.aclose)
