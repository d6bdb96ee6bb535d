"""A process that runs a graph on a thread; it stops itself in its second step if it is told to.

Arguments: the URL of the store, its namespace (empty for none), ``stop`` or ``go``, and ``flat`` or
``nested``. The step of a nested graph is one of a subgraph that keeps its state; there the other
process does not touch it, but sets the state of the whole graph. It prints what the graph made, or
``refused``.
"""

import asyncio
import os
import signal
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from greentic_session import ConflictError, RedisUrlWithNamespace, TenantCtx, create_session_store
from greentic_session.integrations.langgraph import SessionSaver


def added(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    said: Annotated[list[str], added]


def graph_of(*, stops: bool, is_nested: bool) -> Any:
    async def begin(state: State) -> Any:
        return {"said": ["begun"]}

    async def work(state: State) -> Any:
        if stops:
            os.kill(os.getpid(), signal.SIGSTOP)
        return {"said": ["first" if stops else "second"]}

    inner: Any = StateGraph(State)
    inner.add_node("work", work)
    inner.add_edge(START, "work")
    graph: Any = StateGraph(State)
    graph.add_node("begin", begin)
    graph.add_node("work", inner.compile(checkpointer=True) if is_nested else work)
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "work")
    graph.add_edge("work", END)
    return graph


async def main(url: str, namespace: str, how: str, shape: str) -> None:
    async with create_session_store(RedisUrlWithNamespace(url, namespace) if namespace else url) as store:
        saver = SessionSaver(store, TenantCtx.new("dev", "acme"))
        graph = graph_of(stops=how == "stop", is_nested=shape == "nested").compile(checkpointer=saver)
        given: Any = {"said": []} if how == "stop" else None
        config: Any = {"configurable": {"thread_id": "t1"}}
        try:
            if how == "go" and shape == "nested":
                await graph.aupdate_state(config, {"said": ["second"]}, as_node="work")
                print(*(await graph.aget_state(config)).values["said"], flush=True)  # noqa: T201  # the test reads it
                return
            print(*(await graph.ainvoke(given, config, durability="sync"))["said"], flush=True)  # noqa: T201  # the test reads it
        except ConflictError:
            print("refused", flush=True)  # noqa: T201  # the same


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
