"""The races of `test_races`, unchanged, on a cluster."""

from collections.abc import Callable, Iterator

import pytest
import redis_invariants
from cluster_servers import Cluster
from races import workers

from tests.backends.redis import test_races
from tests.backends.redis.test_races import Track, crew

__all__ = ["crew"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with Cluster(replicas=False) as cluster:
        yield cluster.url


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis_invariants.Client]:
    with workers.plain_client(redis_url) as client:
        yield client


@pytest.fixture
def track(crew: workers.Crew, redis_url: str, raw: redis_invariants.Client, namespace: str) -> Track:
    made = Track(crew, redis_url, raw, namespace)
    made.thinned = 3
    return made


@pytest.fixture
def namespace(raw: redis_invariants.Client, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test-{abs(hash(request.node.name))}"
    yield name
    redis_invariants.clear(raw, name)


def _races() -> dict[str, Callable[..., None]]:
    return {name: test for name, test in vars(test_races).items() if name.startswith("test_")}


globals().update(_races())
