"""Fixtures: two places that a namespace is copied between."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from migration_places import Pair, close, opened, url_of


@pytest_asyncio.fixture
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two places; by default a server and a cluster."""
    source, target = getattr(request, "param", ("server", "cluster"))
    pair = Pair(opened(url_of(source, request)), opened(url_of(target, request)))
    yield pair
    await close(pair)
