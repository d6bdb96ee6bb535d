"""Fixtures.

One Redis for the whole run, a namespace of its own for each test, and servers to be broken.
"""

import gc
import itertools
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from cluster_servers import Cluster
from hypothesis import settings
from namespaces import Namespaces
from redis_server import Server
from tcp_proxy import TcpProxy

from greentic_session._servers.required import serve
from greentic_session._servers.server import erase

pytest.register_assert_rewrite("greentic_session.testing._sessions")

# A machine that is busy with something else is no defect of ours.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run all tests in one process more than there are cores.

    They wait a lot. The longer proofs in two, a few tests in one.
    """
    if config.args_source == pytest.Config.ArgsSource.ARGS:
        return 0
    return {"not slow": min((os.cpu_count() or 1) + 1, 4), "slow": 2}.get(config.option.markexpr, 0)


def pytest_collection_finish() -> None:
    """Freeze what is loaded, so that the garbage collector looks only at what tests make."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that tests share.

    Each touches a random namespace only, and nothing flushes or reconfigures it.
    """
    with serve() as url:
        yield url


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client of the shared Redis, for looking at what the store does."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def namespaces(redis_url: str) -> Iterator[Namespaces]:
    """Makes random namespaces, which are emptied after the test."""
    namespaces = Namespaces()
    yield namespaces
    for namespace in namespaces.made:
        erase(redis_url, namespace)


@pytest.fixture
def namespace(namespaces: Callable[[], str]) -> str:
    """A namespace of the test's own."""
    return namespaces()


@pytest.fixture
def server() -> Iterator[Server]:
    """A redis-server of the test's own, to be flushed, reconfigured or killed."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """A redis-server that the tests of one module share; no other test uses it."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Redis Cluster with replicas that the tests of one module share; no other test uses it."""
    with Cluster() as cluster:
        yield cluster


@pytest_asyncio.fixture
async def proxy(shared: Server) -> AsyncIterator[TcpProxy]:
    """The way to the server that a module's tests share, to be broken."""
    async with TcpProxy(shared.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    """A Redis Cluster without replicas that tests share: each touches a random namespace only."""
    with Cluster(replicas=False) as cluster:
        yield cluster


@pytest.fixture
def databases(tmp_path: Path) -> Callable[[], Path]:
    """Names files for databases, which are not there yet."""
    numbers = itertools.count()
    return lambda: tmp_path / f"{next(numbers)}.db"


@pytest.fixture
def switch_often() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
