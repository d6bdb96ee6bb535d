"""Short ways beside the rules, on every backend: they answer and store what the rules say."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from cluster_servers import Cluster
from redis_invariants import Client, clear
from short_ways.comparing import compare
from short_ways.redis_worlds import on_redis
from short_ways.timed_worlds import in_memory, on_sqlite

pytestmark = pytest.mark.asyncio

STEPS = 45
WRITERS = pytest.mark.parametrize("others", [0.0, 0.25], ids=["alone", "among others"])


@pytest.fixture
def raw_cluster(bare_cluster: Cluster) -> Iterator[redis.RedisCluster]:
    """A plain client of the cluster."""
    host, port = "127.0.0.1", bare_cluster.primaries[0].port
    with redis.RedisCluster(host=host, port=port) as client:
        yield client


async def in_memory_all_of(seeds: range) -> None:
    for seed in seeds:
        await compare(in_memory(), seed, STEPS)


async def on_sqlite_all_of(directory: Path, seeds: range) -> None:
    for seed in seeds:
        place = directory / str(seed)
        place.mkdir()
        async with on_sqlite(place) as pair:
            await compare(pair, seed, STEPS)


async def on_redis_all_of(url: str, raw: Client, name: Callable[[], str], seeds: range, others: float = 0.0) -> None:
    for seed in seeds:
        names = [name(), name()]
        async with on_redis(url, raw, names, others=others) as pair:
            await compare(pair, seed, STEPS)
        for each in names:
            clear(raw, each)


async def test_in_memory() -> None:
    await in_memory_all_of(range(30))


async def test_on_sqlite(tmp_path: Path) -> None:
    await on_sqlite_all_of(tmp_path, range(3))


@WRITERS
async def test_on_redis(redis_url: str, raw: redis.Redis, namespaces: Callable[[], str], others: float) -> None:
    """With plain commands of the Rust crate, scripts of 0.1.0 and keys that somebody removes."""
    await on_redis_all_of(redis_url, raw, namespaces, range(10), others)


async def test_on_a_cluster(bare_cluster: Cluster, raw_cluster: redis.RedisCluster, namespaces: Callable[[], str]) -> None:
    await on_redis_all_of(bare_cluster.url, raw_cluster, namespaces, range(4))


@pytest.mark.slow
async def test_many_histories_in_memory() -> None:
    await in_memory_all_of(range(1_000, 1_600))


@pytest.mark.slow
async def test_many_histories_on_sqlite(tmp_path: Path) -> None:
    await on_sqlite_all_of(tmp_path, range(1_000, 1_060))


@pytest.mark.slow
@WRITERS
async def test_many_histories_on_redis(
    redis_url: str, raw: redis.Redis, namespaces: Callable[[], str], others: float
) -> None:
    await on_redis_all_of(redis_url, raw, namespaces, range(1_000, 1_200), others)


@pytest.mark.slow
async def test_many_histories_on_a_cluster(
    bare_cluster: Cluster, raw_cluster: redis.RedisCluster, namespaces: Callable[[], str]
) -> None:
    await on_redis_all_of(bare_cluster.url, raw_cluster, namespaces, range(1_000, 1_060))
