"""The Redis conversation store on a cluster: the contract, and a partition to a slot."""

from collections.abc import Callable, Iterator

import pytest
from cluster_servers import Cluster
from time_passing import OnACluster

from greentic_session.conversation import RedisConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(replicas=False) as cluster:
        yield cluster


@pytest.fixture
def fresh(cluster: Cluster) -> Iterator[Callable[[], str]]:
    count = iter(range(1000))
    yield lambda: f"test-{next(count)}"
    cluster.flush()


class TestContract(OnACluster, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, cluster: Cluster, fresh: Callable[[], str]) -> MakeConversationStore:
        return lambda **options: RedisConversationStore.from_url(cluster.url, namespace=fresh(), **options)
