"""Fixtures: our store, and a runtime of the reference on the same namespace."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis
from reference_fleet import Reference

from greentic_session import RedisSessionStore


@pytest_asyncio.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


@pytest.fixture
def reference(raw: redis.Redis, namespace: str) -> Reference:
    return Reference(raw, namespace)
