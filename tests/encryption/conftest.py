"""Fixtures: a store that is not encrypted, on each backend."""

from typing import Any

import pytest
import pytest_asyncio

from greentic_session import InMemorySessionStore, RedisSessionStore, SessionStore


@pytest_asyncio.fixture(params=["memory", "redis"])
async def plain(request: pytest.FixtureRequest) -> Any:
    """A store that is not encrypted."""
    if request.param == "memory":
        store: SessionStore = InMemorySessionStore()
    else:
        url, namespace = request.getfixturevalue("redis_url"), request.getfixturevalue("namespace")
        store = RedisSessionStore.from_url(url, namespace=namespace)
    async with store:
        yield store
