"""Fixtures: a store that is closed after the test."""

from collections.abc import Iterator

import anyio
import pytest

from greentic_session import InMemorySessionStore


@pytest.fixture
def store() -> Iterator[InMemorySessionStore]:
    store = InMemorySessionStore()
    yield store
    anyio.run(store.aclose)
