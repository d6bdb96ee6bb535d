"""Two runs of one thread of langgraph: the one that was taken over is refused everywhere."""

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from greentic_session import (
    ConflictError,
    InMemorySessionStore,
    SessionData,
    SessionStore,
    TenantCtx,
)

pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
from frameworks.graphs import State, in_a_row, one, two
from langgraph.checkpoint.base import empty_checkpoint  # it needs the framework
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from greentic_session.integrations.langgraph import SessionSaver

pytestmark = pytest.mark.asyncio

CTX = TenantCtx.new("dev", "acme")
T1: Any = {"configurable": {"thread_id": "t1"}}
PATIENCE_S = 60


class Gate:
    """A node that stops the first run that comes to it."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.open = anyio.Event()

    async def __call__(self, state: State) -> Any:
        if not self.begun.is_set():
            self.begun.set()
            await self.open.wait()
            return {"said": ["first"]}
        return {"said": ["second"]}


@asynccontextmanager
async def stopped(gate: Gate, run: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Let a run go on behind its gate after the body; it must be refused."""
    refused: list[ConflictError] = []

    async def first() -> None:
        try:
            await run()
        except ConflictError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        with anyio.fail_after(PATIENCE_S):
            await gate.begun.wait()
        yield
        gate.open.set()
    assert len(refused) == 1


async def stored(store: SessionStore) -> list[Any]:
    """Return all that a thread has, in every namespace."""
    return [each async for each in SessionSaver(store, CTX).alist(T1)]


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_a_run_that_was_taken_over_cannot_write_on(store: SessionStore, durability: str) -> None:
    gate = Gate()

    def graph() -> Any:
        return in_a_row(one=one, slow=gate, two=two).compile(checkpointer=SessionSaver(store, CTX))

    second = graph()
    await second.ainvoke({"said": []}, T1, interrupt_before=["one"])
    async with stopped(gate, lambda: graph().ainvoke(None, T1, durability=durability)):
        assert (await second.ainvoke(None, T1))["said"] == ["one", "second", "two"]
        before = await stored(store)
    assert await stored(store) == before
    assert (await second.aget_state(T1)).values["said"] == ["one", "second", "two"]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("persistent", [True, None])
async def test_it_cannot_in_a_subgraph_that_the_other_run_did_not_touch(
    store: SessionStore, depth: int, *, persistent: bool | None
) -> None:
    gate = Gate()

    def graph() -> Any:
        inner = in_a_row(one=one, slow=gate, two=two)
        for _ in range(depth - 1):
            inner = in_a_row(inner=inner.compile(checkpointer=persistent), three=one)
        whole = in_a_row(inner=inner.compile(checkpointer=persistent), after=two)
        return whole.compile(checkpointer=SessionSaver(store, CTX))

    second = graph()
    async with stopped(gate, lambda: graph().ainvoke({"said": []}, T1, durability="sync")):
        assert (await stored(store))[0].config["configurable"]["checkpoint_ns"].count("|") == depth - 1
        await second.aupdate_state(T1, {"said": ["second"]}, as_node="after")
        before = await stored(store)
    assert await stored(store) == before
    assert (await second.aget_state(T1)).values["said"] == ["second"]


@pytest.mark.parametrize("persistent", [True, None])
async def test_it_cannot_begin_a_subgraph(store: SessionStore, *, persistent: bool | None) -> None:
    gate = Gate()
    inner = in_a_row(one=one).compile(checkpointer=persistent)

    async def calling(state: State) -> Any:
        await gate(state)
        return await inner.ainvoke({"said": []})

    second = in_a_row(calling=calling, two=two).compile(checkpointer=SessionSaver(store, CTX))
    first = in_a_row(calling=calling, two=two).compile(checkpointer=SessionSaver(store, CTX))
    async with stopped(gate, lambda: first.ainvoke({"said": []}, T1, durability="sync")):
        await second.aupdate_state(T1, {"said": ["second"]}, as_node="two")
        before = await stored(store)
    assert await stored(store) == before
    assert {each.config["configurable"]["checkpoint_ns"] for each in before} == {""}


async def test_it_cannot_answer_what_the_other_has_answered(store: SessionStore) -> None:
    """An answer is written before anything runs: what the first has read is answered by then."""
    gate = Gate()

    async def ask(state: State) -> Any:
        return {"said": [interrupt("size?")]}

    def graph() -> Any:
        return in_a_row(ask=ask, slow=gate).compile(checkpointer=SessionSaver(store, CTX))

    await graph().ainvoke({"said": []}, T1)
    reader = SessionSaver(store, CTX)
    found = await reader.aget_tuple(T1)
    assert found is not None
    gate.begun.set()
    await graph().ainvoke(Command(resume="large"), T1)
    before = await stored(store)
    with pytest.raises(ConflictError):
        await reader.aput_writes(found.config, [("__resume__", ["small"])], "00000000-0000-0000-0000-000000000000")
    assert await stored(store) == before


async def test_it_cannot_add_to_the_history(store: SessionStore) -> None:
    """Its process remembers the thread as it was: nothing that is written relies on that."""
    first, second = SessionSaver(store, CTX), SessionSaver(store, CTX)
    config: Any = {"configurable": {"thread_id": "t1", "checkpoint_ns": "", "__pregel_runtime": None}}
    assert await first.aget_tuple(config) is None
    made: list[Any] = []
    for step in range(3):
        made.append(await first.aput(config, empty_checkpoint(), {"source": "loop", "step": step, "parents": {}}, {}))
        config = made[-1]
    await first.aput_writes(made[0], [("said", "mine")], "task")
    found = await second.aget_tuple(T1)
    assert found is not None
    await second.aput_writes(found.config, [("said", "theirs")], "task")
    before = await stored(store)
    assert [len(each.pending_writes) for each in before] == [1, 0, 1]
    for there in made:
        with pytest.raises(ConflictError):
            await first.aput_writes(there, [("said", "late")], "late")
    with pytest.raises(ConflictError):
        await first.aput(config, empty_checkpoint(), {"source": "loop", "step": 3, "parents": {}}, {})
    assert await stored(store) == before


async def test_two_runs_that_found_no_thread(store: SessionStore) -> None:
    """Both have read before there was a checkpoint: one of them may begin the thread."""
    savers = [SessionSaver(store, CTX) for _ in range(2)]
    configs: list[Any] = [{"configurable": {"thread_id": "t1", "checkpoint_ns": ""}} for _ in savers]
    for saver, config in zip(savers, configs, strict=True):
        assert await saver.aget_tuple(config) is None
    checkpoints = [empty_checkpoint() for _ in savers]
    await savers[0].aput(configs[0], checkpoints[0], {"source": "input", "step": -1, "parents": {}}, {})
    with pytest.raises(ConflictError):
        await savers[1].aput(configs[1], checkpoints[1], {"source": "input", "step": -1, "parents": {}}, {})
    late: Any = {"configurable": {**configs[1]["configurable"], "checkpoint_id": checkpoints[0]["id"]}}
    with pytest.raises(ConflictError):
        await savers[1].aput_writes(late, [("said", ["late"])], "task")
    found = await savers[1].aget_tuple({"configurable": {"thread_id": "t1"}})
    assert found is not None
    assert (found.checkpoint["id"], found.pending_writes) == (checkpoints[0]["id"], [])


@pytest.mark.parametrize("thread", ["t1", 1])
@pytest.mark.parametrize("persistent", [True, None])
async def test_subgraphs_of_one_run_do_not_refuse_each_other(
    store: SessionStore, thread: str | int, *, persistent: bool | None
) -> None:
    def inner() -> Any:
        return in_a_row(one=one, deeper=in_a_row(two=two).compile(checkpointer=persistent)).compile(checkpointer=persistent)

    graph: Any = StateGraph(State)
    for number in range(6):
        graph.add_node(f"n{number}", inner())
        graph.add_edge(START, f"n{number}")
        graph.add_edge(f"n{number}", "end")
    graph.add_node("end", one)
    compiled = graph.compile(checkpointer=SessionSaver(store, CTX))
    config: Any = {"configurable": {"thread_id": thread}}
    for turn in (1, 2):
        done = await compiled.ainvoke({"said": []}, config)
        assert done["said"].count("two") >= 6 * turn


async def test_many_tasks_of_one_run_do_not_refuse_each_other(store: SessionStore) -> None:
    inner = in_a_row(one=one).compile()

    async def fan_out(state: State) -> Any:
        return Command(goto=[Send("inner", {"said": []}) for _ in range(20)])

    graph: Any = StateGraph(State)
    graph.add_node("fan_out", fan_out)
    graph.add_node("inner", inner)
    graph.add_edge(START, "fan_out")
    saver = SessionSaver(store, CTX)
    assert (await graph.compile(checkpointer=saver).ainvoke({"said": []}, T1))["said"] == ["one"] * 20
    found: list[Any] = await stored(store)
    assert len({each.config["configurable"]["checkpoint_ns"] for each in found}) == 21
    await saver.acopy_thread("t1", "t2")
    copied: Any = {"configurable": {"thread_id": "t2"}}
    copies: list[Any] = [each async for each in saver.alist(copied)]
    assert [(each.checkpoint, each.metadata) for each in copies] == [(each.checkpoint, each.metadata) for each in found]
    for name in ("t1", "t2"):
        await saver.adelete_thread(name)
    assert [wait async for wait in store.iter_sessions(CTX)] == []


async def test_runs_whose_operations_meet_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was accepted is lost, nothing that was refused is there, no two runs mingle."""
    chance = random.Random(1)
    heads: list[str] = []
    for name in ("create_session", "update_session", "register_wait", "get_versioned", "get_session"):
        operation = getattr(InMemorySessionStore, name)

        async def dawdling(self: Any, *args: Any, operation: Any = operation, **options: Any) -> Any:
            for _ in range(chance.randrange(6)):
                await anyio.lowlevel.checkpoint()
            done = await operation(self, *args, **options)
            if str(options.get("key", args[0])).startswith("langgraph-head:"):
                written = (each for each in args if isinstance(each, SessionData))
                heads.extend(each.context(dict[str, Any]).get("writer", "") for each in written)
            for _ in range(chance.randrange(6)):
                await anyio.lowlevel.checkpoint()
            return done

        monkeypatch.setattr(InMemorySessionStore, name, dawdling)

    async def run(saver: SessionSaver, accepted: dict[str, set[str]], refused: set[str]) -> None:
        config: Any = {"configurable": {"thread_id": "t1", "checkpoint_ns": "", "__pregel_runtime": None}}
        found = await saver.aget_tuple(config)
        there: Any = config if found is None else found.config
        for number in range(chance.randrange(1, 6)):
            ns = chance.choice(["", "a", "b"])
            here: Any = {"configurable": {**there["configurable"], "checkpoint_ns": ns}}
            checkpoint = empty_checkpoint()
            try:
                made = await saver.aput(here, checkpoint, {"source": "loop", "step": number, "parents": {}}, {})
                accepted.setdefault(ns, set()).add(checkpoint["id"])
                await saver.aput_writes(made, [("said", number)], checkpoint["id"])
            except ConflictError:
                refused.add(checkpoint["id"])
                return

    taken_over = 0
    for _ in range(15):
        heads.clear()
        accepted: dict[str, set[str]] = {}
        refused: set[str] = set()
        async with InMemorySessionStore() as store:
            savers = [SessionSaver(store, CTX) for _ in range(3)]
            async with anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(run, savers[number % 3], accepted, refused)
            made: dict[str, list[Any]] = {}
            for each in await stored(store):
                made.setdefault(each.config["configurable"]["checkpoint_ns"], []).append(each)
            assert {ns: {each.checkpoint["id"] for each in some} for ns, some in made.items()} == accepted
            for each in [each for some in made.values() for each in some]:
                lost = each.checkpoint["id"] in refused  # between the checkpoint and what its task wrote
                assert len(each.pending_writes) == (0 if lost else 1)
            taken_over += len(refused)
            turns = [writer for writer, _ in itertools.groupby(heads)]
            assert len(turns) == len(set(turns))
            await savers[0].adelete_thread("t1")
            assert [wait async for wait in store.iter_sessions(CTX)] == []
    assert taken_over > 15
