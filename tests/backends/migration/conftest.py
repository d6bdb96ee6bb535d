"""Fixtures: two places that a namespace is copied between."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from migration_places import Pair, Stores, close, opened, stores_of, url_of

ROUTES = [
    "sqlite-sqlite",
    "sqlite-server",
    "server-sqlite",
    "cluster-server",
    "sqlite-cluster",
    "server-cluster",
    *(pytest.param(kinds, marks=pytest.mark.slow) for kinds in ("server-server", "cluster-cluster")),
]


@pytest_asyncio.fixture
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two places; by default a server and a cluster."""
    source, target = getattr(request, "param", ("server", "cluster"))
    pair = Pair(opened(url_of(source, request)), opened(url_of(target, request)))
    yield pair
    await close(pair)


@pytest_asyncio.fixture(params=ROUTES)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """Two stores of any kind."""
    stores = stores_of(request.param, request, tmp_path)
    yield stores
    await stores.close()
