"""The saver for langgraph: its framework's own suite, and what that does not ask."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import pytest_asyncio

from greentic_session import ConflictError, InMemorySessionStore, RedisUrlWithNamespace, SessionStore, TenantCtx, create_session_store

pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
from langgraph.checkpoint.conformance import checkpointer_test, validate  # it needs the framework
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from greentic_session.integrations.langgraph import SessionSaver

pytestmark = pytest.mark.asyncio

CTX = TenantCtx.new("dev", "acme")
CAPABILITIES = {"put", "put_writes", "get_tuple", "list", "delete_thread", "delete_for_runs", "copy_thread", "prune"}


@pytest_asyncio.fixture
async def store(url: str, namespace: str) -> AsyncIterator[SessionStore]:
    async with opened(url, namespace) as store:
        yield store


def opened(url: str, namespace: str) -> SessionStore:
    return create_session_store(RedisUrlWithNamespace(url, namespace) if url.startswith("redis") else url)


def added(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    said: Annotated[list[str], added]


def graph_of(*nodes: Any) -> Any:
    """Return a graph of nodes that run one after the other."""
    graph: Any = StateGraph(State)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, node)
    for here, there in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(here, there)
    return graph


async def one(state: State) -> Any:
    return {"said": ["one"]}


async def two(state: State) -> Any:
    return {"said": ["two"]}


async def conforms(store: SessionStore) -> None:
    @checkpointer_test(name=store.backend.system)
    async def savers() -> AsyncIterator[SessionSaver]:
        yield SessionSaver(store, CTX, ttl=600)

    report = await validate(savers)
    for name, result in report.results.items():
        print(f"{store.backend.system:8} {name:16} {result.tests_passed:3} passed {result.tests_failed} failed")
    assert {name: result.failures for name, result in report.results.items()} == {name: [] for name in CAPABILITIES}
    assert all(result.passed for result in report.results.values())


async def test_conformance(store: SessionStore) -> None:
    await conforms(store)


async def test_conformance_on_a_cluster(cluster: Any, namespace: str) -> None:
    async with opened(cluster.url, namespace) as store:
        await conforms(store)
