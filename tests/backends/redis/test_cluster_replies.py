"""Replies and deadlines on a cluster: the contract, and what each operation costs."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from cluster_servers import Cluster
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from time_passing import UNIT, OnACluster, passing

from greentic_session import RedisSessionStore, SessionStore
from greentic_session.testing import (
    MakeStore,
    ReplyContract,
    ReplyStoreMachine,
    session_store_machine,
)


@pytest.fixture
def fresh(cluster: Cluster) -> Callable[[], str]:
    del cluster
    return lambda: f"test-{uuid.uuid4().hex}"


class TestReplies(OnACluster, ReplyContract):
    @pytest_asyncio.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[SessionStore]:
        async with make_store() as store:
            yield store

    @pytest.fixture
    def make_store(self, cluster: Cluster, fresh: Callable[[], str]) -> MakeStore:
        return lambda **options: RedisSessionStore.from_url(cluster.url, namespace=fresh(), **options)


@pytest.mark.parametrize(
    ("examples", "steps"), [(3, 20), pytest.param(20, 50, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_state_machine(cluster: Cluster, fresh: Callable[[], str], examples: int, steps: int) -> None:
    clients = cluster.clients()

    def make_store(**options: Any) -> RedisSessionStore:
        cluster.flush()
        return RedisSessionStore.from_url(cluster.url, namespace=fresh(), **options)

    machine = session_store_machine(make_store, passing(clients), base=ReplyStoreMachine, unit=UNIT)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
