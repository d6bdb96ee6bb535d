"""The saver for langgraph in programs without an event loop."""

from typing import Any

import pytest

from greentic_session import RedisUrlWithNamespace, TenantCtx

pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
from frameworks.graphs import State, in_a_row  # it needs the framework

from greentic_session.integrations.langgraph import SessionSaver

CTX = TenantCtx.new("dev", "acme")


def say_one(state: State) -> Any:
    return {"said": ["one"]}


def say_two(state: State) -> Any:
    return {"said": ["two"]}


def graph_of_two() -> Any:
    return in_a_row(one=say_one, two=say_two)


def test_without_an_event_loop(url: str, namespace: str) -> None:

    with SessionSaver.open(RedisUrlWithNamespace(url, namespace) if url.startswith("redis") else url, CTX) as saver:
        graph = graph_of_two().compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t1"}}
        assert graph.invoke({"said": []}, config)["said"] == ["one", "two"]
        assert [state.metadata["step"] for state in graph.get_state_history(config)] == [2, 1, 0, -1]
        saver.copy_thread("t1", "t2")
        saver.prune(["t1"])
        assert len(list(saver.list(config))) == 1
        saver.delete_thread("t1")
        saver.delete_for_runs(["nobody"])
        assert saver.get_tuple(config) is None
        saver.delete_thread("t2")
