"""Fixtures: a conversation store on Redis, which a module's own fixture of that name overrides."""

from collections.abc import AsyncIterator

import pytest_asyncio

from greentic_session.conversation import Message, RedisConversationStore
from greentic_session.testing._conversations.samples import StandingClock


@pytest_asyncio.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[RedisConversationStore[Message]]:
    """A store in a namespace of the test's own, whose clock stands."""
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, clock=StandingClock()) as store:
        yield store
