"""Graphs of langgraph whose nodes run one after the other, and say something each."""

from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

__all__ = ["State", "in_a_row", "one", "two"]


def _added(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    """State of a graph: all that was said."""

    said: Annotated[list[str], _added]


def in_a_row(**nodes: Any) -> Any:
    """Return a graph of these nodes, in their order."""
    graph: Any = StateGraph(State)
    last = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(last, name)
        last = name
    graph.add_edge(last, END)
    return graph


async def one(state: State) -> Any:
    return {"said": ["one"]}


async def two(state: State) -> Any:
    return {"said": ["two"]}
