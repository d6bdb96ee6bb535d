"""Fixtures: our store, a runtime of the reference on the same namespace, and time that passes."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import redis
from reference_fleet import Reference
from time_passing import pass_time

from greentic_session import RedisSessionStore


@pytest_asyncio.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


@pytest.fixture
def reference(raw: redis.Redis, namespace: str) -> Reference:
    return Reference(raw, namespace)


@pytest.fixture
def advance(raw: redis.Redis, namespace: str) -> Callable[[float], None]:
    """Lets so many seconds pass for the namespace."""
    return lambda seconds: pass_time(raw, seconds, f"{namespace}:")
