"""The saver for langgraph: its framework's own suite, and what that does not ask."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio.to_thread
import pytest
import pytest_asyncio

from greentic_session import (
    ConflictError,
    InMemorySessionStore,
    RedisUrlWithNamespace,
    SessionStore,
    TenantCtx,
    create_session_store,
)
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.testing import later

pytest.importorskip("langgraph.checkpoint.conformance", reason="python -m pip install 'greentic-session[integrations]'")
from frameworks.graphs import State, in_a_row, one, two
from langgraph.checkpoint.base import empty_checkpoint  # it needs the framework
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from greentic_session.integrations.langgraph import SessionSaver

pytestmark = pytest.mark.asyncio

CTX = TenantCtx.new("dev", "acme")
CAPABILITIES = {"put", "put_writes", "get_tuple", "list", "delete_thread", "delete_for_runs", "copy_thread", "prune"}


def say(state: State) -> Any:
    return {"said": ["said"]}


async def conforms(store: SessionStore, title: str) -> None:
    @checkpointer_test(name=title)  # type: ignore[untyped-decorator]  # where it is not installed
    async def savers() -> AsyncIterator[SessionSaver]:
        yield SessionSaver(store, CTX, ttl=600)

    report = await validate(savers)
    for name, result in report.results.items():
        print(f"{title:8} {name:16} {result.tests_passed:3} passed {result.tests_failed} failed")  # noqa: T201  # the report
    assert {name: result.failures for name, result in report.results.items()} == {name: [] for name in CAPABILITIES}
    assert all(result.passed for result in report.results.values())


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
def config_of_any(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> RedisUrlWithNamespace | str:
    match request.param:
        case "cluster":
            return RedisUrlWithNamespace(request.getfixturevalue("cluster").url, namespace)
        case "redis":
            return RedisUrlWithNamespace(request.getfixturevalue("redis_url"), namespace)
        case system:
            return f"sqlite:///{tmp_path}/bot.db" if system == "sqlite" else "memory://"


@pytest_asyncio.fixture
async def any_store(config_of_any: RedisUrlWithNamespace | str) -> AsyncIterator[SessionStore]:
    async with create_session_store(config_of_any) as store:
        yield store


async def test_conformance(any_store: SessionStore, request: pytest.FixtureRequest) -> None:
    await conforms(any_store, request.node.callspec.params["config_of_any"])


async def test_a_thread_is_gone_when_nobody_has_written_to_it(
    any_store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("greentic_session.integrations._graphs.heads.time", SimpleNamespace(time=lambda: now))
    saver = SessionSaver(any_store, CTX, ttl=1000)
    graph = in_a_row(one=one, inner=in_a_row(one=one, two=two).compile(checkpointer=True)).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t1"}}
    for turn in range(1, 4):
        assert (await graph.ainvoke({"said": []}, config))["said"].count("two") >= turn
        await later(any_store, 600)
        now += 600
    found: list[Any] = [each async for each in saver.alist(config)]
    assert {each.config["configurable"]["checkpoint_ns"] for each in found} == {"", "inner"}
    assert sum(each.metadata["source"] == "input" for each in found) == 6
    await later(any_store, 600)
    assert [each async for each in saver.alist(config)] == []
    assert await saver.aget_tuple(config) is None
    assert [wait async for wait in any_store.iter_sessions(CTX)] == []
    assert (await graph.ainvoke({"said": []}, config))["said"] == ["one", "one", "one", "two"]


async def test_a_program_without_an_event_loop(config_of_any: RedisUrlWithNamespace | str) -> None:
    def work() -> None:
        with SessionSaver.open(config_of_any, CTX) as saver:
            graph = in_a_row(say=say).compile(checkpointer=saver)
            for thread in ("t1", "t2"):
                config: Any = {"configurable": {"thread_id": thread}}
                assert graph.invoke({"said": []}, config)["said"] == ["said"]
            assert [state.metadata["step"] for state in graph.get_state_history(config)] == [1, 0, -1]
            stale = saver.get_tuple(config)
            assert stale is not None
            graph.update_state(config, {"said": ["more"]})
            with pytest.raises(ConflictError):
                saver.put_writes(stale.config, [("said", ["late"])], "task")
            with pytest.raises(ConflictError):
                saver.put(stale.config, empty_checkpoint(), {"source": "loop", "step": 2, "parents": {}}, {})
            saver.prune(["t1"])
            saver.copy_thread("t2", "t3")
            assert [len(list(saver.list({"configurable": {"thread_id": thread}}))) for thread in ("t1", "t3")] == [1, 4]
            saver.delete_for_runs(["nobody"])
            for thread in ("t1", "t2", "t3"):
                saver.delete_thread(thread)
            assert saver.get_tuple(config) is None
            assert list(saver.list(None)) == []

    await anyio.to_thread.run_sync(work)


async def test_conformance_of_encrypted_threads(store: SessionStore) -> None:
    keyring = Keyring(EncryptionKey.generate("k1"))
    await conforms(EncryptedSessionStore(store, keyring), f"encrypted {store.backend.system}")


async def test_a_graph_goes_on_where_it_was_interrupted(store: SessionStore) -> None:
    async def ask(state: State) -> Any:
        return {"said": [interrupt("size?"), interrupt("colour?")]}

    config: Any = {"configurable": {"thread_id": "t1"}}
    for _ in range(2):  # each time as another process would
        graph = in_a_row(one=one, ask=ask, two=two).compile(checkpointer=SessionSaver(store, CTX))
        state = await graph.aget_state(config)
        if not state.created_at:
            await graph.ainvoke({"said": ["hi"]}, config)
    graph = in_a_row(one=one, ask=ask, two=two).compile(checkpointer=SessionSaver(store, CTX))
    await graph.ainvoke(Command(resume="large"), config)
    [task] = (await graph.aget_state(config)).tasks
    assert [asked.value for asked in task.interrupts] == ["colour?"]
    assert (await graph.ainvoke(Command(resume="red"), config))["said"] == ["hi", "one", "large", "red", "two"]
    steps = [state.metadata["step"] async for state in graph.aget_state_history(config)]
    assert steps == [3, 2, 1, 0, -1]


async def test_a_run_may_begin_anywhere_in_the_history(store: SessionStore) -> None:
    """As it does with the framework's own saver, whose versions differ in what that makes."""
    made: list[Any] = []
    for saver in (SessionSaver(store, CTX), InMemorySaver()):
        graph = in_a_row(one=one, two=two).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t1"}}
        await graph.ainvoke({"said": []}, config)
        history = [state async for state in graph.aget_state_history(config)]
        [after_one] = [state for state in history if state.next == ("two",)]
        forked = await graph.aupdate_state(after_one.config, {"said": ["other"]}, as_node="one")
        made.append(
            [
                (await graph.ainvoke(None, forked))["said"],
                (await graph.ainvoke(None, after_one.config))["said"],
                [(state.metadata["source"], state.next) async for state in graph.aget_state_history(config)],
            ]
        )
    assert made[0] == made[1]
    assert made[0][1] == ["one", "two"]
    assert len(made[0][2]) > len(history) - 1


async def test_parallel_tasks_and_subgraphs(store: SessionStore) -> None:
    inner = in_a_row(one=one, two=two).compile()
    graph: Any = StateGraph(State)
    for number in range(8):
        graph.add_node(f"n{number}", one)
        graph.add_edge(START, f"n{number}")
        graph.add_edge(f"n{number}", "inner")
    graph.add_node("inner", inner)
    compiled = graph.compile(checkpointer=SessionSaver(store, CTX))
    config: Any = {"configurable": {"thread_id": "t1"}}
    done = await compiled.ainvoke({"said": []}, config)
    assert done["said"] == ["one"] * 16 + ["one", "two"] or done["said"].count("two") == 1
    await compiled.checkpointer.adelete_thread("t1")
    assert [found async for found in compiled.checkpointer.alist(None)] == []
    assert [wait async for wait in store.iter_sessions(CTX)] == []


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_every_durability(store: SessionStore, durability: str) -> None:
    async def ask(state: State) -> Any:
        return {"said": [interrupt("size?")]}

    graph = in_a_row(one=one, ask=ask).compile(checkpointer=SessionSaver(store, CTX, history=False))
    config: Any = {"configurable": {"thread_id": "t1"}}
    await graph.ainvoke({"said": []}, config, durability=durability)
    assert (await graph.ainvoke(Command(resume="large"), config, durability=durability))["said"] == ["one", "large"]


async def test_without_history_only_the_latest_checkpoint_is_kept(store: SessionStore) -> None:
    graph = in_a_row(one=one, two=two).compile(checkpointer=SessionSaver(store, CTX, history=False))
    config: Any = {"configurable": {"thread_id": "t1"}}
    for _ in range(3):
        await graph.ainvoke({"said": []}, config)
    [state] = [state async for state in graph.aget_state_history(config)]
    assert state.values["said"] == ["one", "two"] * 3
    assert len([wait async for wait in store.iter_sessions(CTX)]) == 2  # the head and its marker


async def test_a_long_history_is_listed_whole(store: SessionStore) -> None:
    saver = SessionSaver(store, CTX)
    graph = in_a_row(one=one).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t1"}}
    for _ in range(30):
        await graph.ainvoke({"said": []}, config)
    found: list[Any] = [each async for each in saver.alist(config)]
    assert len(found) == 90
    assert [each.metadata["step"] for each in found] == list(range(88, -2, -1))
    page: list[Any] = [each async for each in saver.alist(config, before=found[40].config, limit=3)]
    assert [each.config["configurable"]["checkpoint_id"] for each in page] == [
        each.config["configurable"]["checkpoint_id"] for each in found[41:44]
    ]


async def test_tenants_do_not_meet(store: SessionStore) -> None:
    mine, theirs = SessionSaver(store, CTX), SessionSaver(store, TenantCtx.new("dev", "globex"))
    config: Any = {"configurable": {"thread_id": "t1"}}
    await in_a_row(one=one).compile(checkpointer=mine).ainvoke({"said": []}, config)
    assert await theirs.aget_tuple(config) is None
    assert [found async for found in theirs.alist(None)] == []
    await theirs.adelete_thread("t1")
    assert await mine.aget_tuple(config) is not None


async def test_a_thread_that_was_deleted_is_not_revived(store: SessionStore) -> None:
    saver, other = SessionSaver(store, CTX), SessionSaver(store, CTX)

    async def deleting(state: State) -> Any:
        await other.adelete_thread("t1")
        return {"said": ["late"]}

    config: Any = {"configurable": {"thread_id": "t1"}}
    with pytest.raises(ConflictError):
        await (
            in_a_row(one=one, deleting=deleting, two=two)
            .compile(checkpointer=saver)
            .ainvoke({"said": []}, config, durability="sync")
        )
    assert [found async for found in saver.alist(config)] == []


async def test_a_target_of_a_copy_is_new(store: SessionStore) -> None:
    saver = SessionSaver(store, CTX)
    graph = in_a_row(one=one, two=two).compile(checkpointer=saver)
    for thread in ("t1", "t2"):
        await graph.ainvoke({"said": [thread]}, {"configurable": {"thread_id": thread}})
    with pytest.raises(ConflictError):
        await saver.acopy_thread("t1", "t2")
    await saver.acopy_thread("t1", "t3")
    copied: Any = {"configurable": {"thread_id": "t3"}}
    assert (await graph.ainvoke({"said": ["more"]}, copied))["said"] == ["t1", "one", "two", "more", "one", "two"]


async def test_blocking_methods_are_refused_in_the_loop_that_they_would_block() -> None:
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX)
        config: Any = {"configurable": {"thread_id": "t1"}}
        await saver.aget_tuple(config)
        with pytest.raises(RuntimeError, match="ainvoke"):
            saver.get_tuple(config)


async def test_what_is_refused() -> None:
    wrong: Any = "memory://"
    with pytest.raises(TypeError):
        SessionSaver(wrong, CTX)
    async with InMemorySessionStore() as store:
        with pytest.raises(ValueError, match="longer than zero"):
            SessionSaver(store, CTX, ttl=0)
        with pytest.raises(ValueError, match="strategy"):
            await SessionSaver(store, CTX).aprune(["t1"], strategy="all")
