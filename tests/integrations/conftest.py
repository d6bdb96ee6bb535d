"""Stores for the adapters: each test runs on memory, SQLite and Redis."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from greentic_session import RedisUrlWithNamespace, SessionStore, create_session_store
from greentic_session.conversation import ConversationStore, create_conversation_store


@pytest.fixture(params=["memory", "sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "memory":
            return "memory://"
        case "sqlite":
            return f"sqlite:///{tmp_path}/bot.db"
        case _:
            return str(request.getfixturevalue("redis_url"))


@pytest.fixture
def config(url: str, namespace: str) -> str | RedisUrlWithNamespace:
    """Of a session store, which no other test uses."""
    return RedisUrlWithNamespace(url, namespace) if url.startswith("redis") else url


@pytest_asyncio.fixture
async def store(config: str | RedisUrlWithNamespace) -> AsyncIterator[SessionStore]:
    async with create_session_store(config) as store:
        yield store


@pytest_asyncio.fixture
async def conversations(url: str, namespace: str) -> AsyncIterator[ConversationStore[dict[str, Any]]]:
    async with create_conversation_store(url, message_type=dict[str, Any], namespace=namespace, ttl=600) as store:
        yield store
