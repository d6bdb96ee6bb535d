"""Lifetimes of threads, what is pruned, and what crashes leave, in the saver for langgraph."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import anyio
import pytest

from greentic_session import InMemorySessionStore, SessionStore, SQLiteSessionStore, TenantCtx
from greentic_session.testing import later

pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
from langgraph.checkpoint.base import empty_checkpoint  # it needs the framework
from langgraph.graph import END, START, StateGraph

from greentic_session.integrations._graphs.known import Known, KnownHeads
from greentic_session.integrations._graphs.models import Entry, Head, Place
from greentic_session.integrations._graphs.threads import Threads
from greentic_session.integrations.langgraph import SessionSaver

pytestmark = pytest.mark.asyncio

CTX = TenantCtx.new("dev", "acme")
T1: Any = {"configurable": {"thread_id": "t1"}}


def appended(value: list[str], writes: Sequence[list[str]]) -> list[str]:
    return value + [text for write in writes for text in write]


async def say(state: Any) -> Any:
    return {"said": [f"{len(state['said'])}"]}


def graph_of(saver: SessionSaver, channel: Any) -> Any:
    class State(TypedDict):
        said: Annotated[list[str], channel]

    graph: Any = StateGraph(State)
    graph.add_node("say", say)
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph.compile(checkpointer=saver)


async def put(saver: SessionSaver, parent: Any = None, thread: str = "t1", run: str | None = None, ns: str = "") -> Any:
    """Store a checkpoint as a caller does who has read nothing; return its config."""
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": parent}}
    metadata: Any = {"source": "loop", "step": 0, "parents": {}} | ({} if run is None else {"run_id": run})
    return await saver.aput(config, empty_checkpoint(), metadata, {})


async def ids(saver: SessionSaver, thread: str = "t1") -> list[str]:
    config: Any = {"configurable": {"thread_id": thread}}
    found: list[Any] = [each async for each in saver.alist(config)]
    return [each.config["configurable"]["checkpoint_id"] for each in found]


@pytest.mark.parametrize("history", [True, False])
async def test_values_that_are_made_of_their_ancestors(*, history: bool) -> None:
    """Neither pruning nor a saver without history removes what a value is made of."""
    delta = pytest.importorskip("langgraph.channels.delta", reason="this version has no DeltaChannel")
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX, history=history)
        graph = graph_of(saver, delta.DeltaChannel(appended, snapshot_frequency=4))
        for number in range(9):
            await graph.ainvoke({"said": ["in"]}, T1)
            await saver.aprune(["t1"])
            said = (await graph.aget_state(T1)).values["said"]
            assert said == [text for turn in range(number + 1) for text in ("in", f"{2 * turn + 1}")]
        assert len(await ids(saver)) < 12  # of 27


async def test_pruning_ends_where_parents_go_round(tmp_path: Path) -> None:
    async with SQLiteSessionStore.open(tmp_path / "bot.db") as store:
        threads, place = Threads(store, CTX, None, history=True), Place("t1", "")
        for id, parent in (("1", "2"), ("2", "1"), ("3", "2")):
            await threads.put(place, None, Entry(id, parent, "msgpack", b"", "msgpack", b"", delta=["said"]))
            with anyio.fail_after(10):
                await threads.prune("t1")
        assert [entry.id async for _, entry in threads.entries("t1", None)] == ["3", "2", "1"]


async def test_a_thread_lives_for_as_long_as_it_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("greentic_session.integrations._graphs.heads.time", SimpleNamespace(time=lambda: now))
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX, ttl=100)
        first = second = await put(saver)
        for _ in range(5):
            await later(store, 50)
            now += 50
            second = await put(saver, second["configurable"]["checkpoint_id"])
        assert len(await ids(saver)) == 6
        assert await saver.aget_tuple(first) is not None
        await later(store, 101)
        assert (await ids(saver), await saver.aget_tuple(T1)) == ([], None)
        assert await sessions(store) == 0


async def test_without_a_lifetime_it_lives_for_ever() -> None:
    async with InMemorySessionStore(default_session_ttl=10, default_wait_ttl=10) as store:
        saver = SessionSaver(store, CTX)
        await put(saver, (await put(saver))["configurable"]["checkpoint_id"])
        await later(store, 1000)
        assert len(await ids(saver)) == 2


async def test_a_process_remembers_only_so_many_bytes() -> None:
    def head(thread: str, size: int) -> Known:
        entry = Entry("1", None, "msgpack", b"." * size, "msgpack", b"")
        return Known(Head(thread, "", "birth", latest=entry), "version", {})

    known = KnownHeads(max_bytes=1000)
    for thread in ("a", "b", "c"):
        known.put(thread, head(thread, 400))
    assert [known.get(thread) is not None for thread in "abc"] == [False, True, True]
    known.put("b", head("b", 500))
    known.put("d", head("d", 300))
    assert [known.get(thread) is not None for thread in "bcd"] == [True, False, True]
    known.put("e", head("e", 1001))
    assert [known.get(thread) is not None for thread in "bde"] == [False, False, False]
    for number in range(1000):
        known.put(f"{number}", head(f"{number}", 0))
        known.drop("0")
    assert sum(known.get(f"{number}") is not None for number in range(1000)) == 256


async def test_checkpoints_that_nobody_remembers_are_written_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownHeads, "put", lambda *_: None)
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX)
        made = [await put(saver, ns=ns) for ns in ("", "inner", "", "inner", "inner")]
        assert len(await ids(saver)) == len(made)
        await saver.adelete_thread("t1")
        assert await sessions(store) == 0


async def sessions(store: SessionStore) -> int:
    return len([wait async for wait in store.iter_sessions(CTX)])


async def test_removed_runs_leave_the_newest_of_the_others() -> None:
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX)
        made = [await put(saver, run=run) for run in ("a", "b", "a", "b", "b")]
        await saver.aput_writes(made[2], [("said", "late")], "task")
        kept = [config["configurable"]["checkpoint_id"] for config in made]
        await saver.adelete_for_runs(["b", "nobody"])
        assert await ids(saver) == [kept[2], kept[0]]
        found = await saver.aget_tuple(T1)
        assert found is not None
        assert found.checkpoint["id"] == kept[2]
        assert found.pending_writes == [("task", "said", "late")]
        await saver.adelete_for_runs(["a"])
        assert (await ids(saver), await saver.aget_tuple(T1)) == ([], None)
        await saver.adelete_thread("t1")
        assert await sessions(store) == 0


@pytest.mark.parametrize("history", [True, False])
async def test_nothing_is_left_of_a_thread_and_its_runs(*, history: bool) -> None:
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX, history=history)
        last: Any = None
        for run in ("a", "a", "b", "c", "c"):
            last = (await put(saver, last, run=run))["configurable"]["checkpoint_id"]
        await saver.acopy_thread("t1", "t2")
        await saver.adelete_for_runs(["a"])
        assert len(await ids(saver, "t2")) == (3 if history else 1)
        await saver.aprune(["t1", "t2"])
        assert await ids(saver) == await ids(saver, "t2") == [last]
        assert await sessions(store) == 6  # of each thread a head, its marker, and the mark of its run
        for thread in ("t1", "t2"):
            await saver.adelete_thread(thread)
        assert await sessions(store) == 0


async def test_writes_that_come_before_or_after_their_checkpoint() -> None:
    """Saves of one run are in the background, and come in any order."""
    async with InMemorySessionStore() as store:
        saver = SessionSaver(store, CTX)
        config: Any = {"configurable": {"thread_id": "t1", "checkpoint_ns": ""}}
        assert await saver.aget_tuple(config) is None
        checkpoints = [empty_checkpoint() for _ in range(4)]
        for number, checkpoint in enumerate(checkpoints):
            here: Any = {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}
            await saver.aput_writes(here, [("said", f"early {number}")], "early")
            await saver.aput(config, checkpoint, {"source": "loop", "step": number, "parents": {}}, {})
            config = here
        for number, checkpoint in enumerate(checkpoints):
            here = {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}
            for _ in range(2):
                await saver.aput_writes(here, [("said", f"late {number}")], "late")
        found = [each.pending_writes async for each in saver.alist(T1)]
        assert found == [
            [("early", "said", f"early {number}"), ("late", "said", f"late {number}")] for number in (3, 2, 1, 0)
        ]
        await saver.acopy_thread("t1", "t2")
        assert [each.pending_writes async for each in saver.alist({"configurable": {"thread_id": "t2"}})] == found


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("applied", [True, False])
async def test_a_process_that_dies_between_any_two_operations(
    monkeypatch: pytest.MonkeyPatch, *, history: bool, applied: bool
) -> None:
    """No checkpoint that was stored is lost, and none is there twice or half."""
    for deadly in range(30):
        async with InMemorySessionStore() as store:
            stored = [(await put(SessionSaver(store, CTX, history=history)))["configurable"]["checkpoint_id"]]
            with monkeypatch.context() as patched:
                _die_at(patched, deadly, applied=applied)
                dying_saver = SessionSaver(store, CTX, history=history)
                try:
                    for _ in range(4):
                        stored.append((await put(dying_saver, stored[-1]))["configurable"]["checkpoint_id"])
                except ConnectionResetError:
                    pass
            saver = SessionSaver(store, CTX, history=history)
            found = await ids(saver)
            if applied and found[0] not in stored:  # its writer died before it heard of it
                stored.append(found[0])
            assert found[0] == stored[-1]
            assert found == stored[::-1] or not history
            stored.append((await put(saver, stored[-1]))["configurable"]["checkpoint_id"])
            assert await ids(saver) == (stored[::-1] if history else stored[-1:])
            await saver.adelete_thread("t1")
            assert await sessions(store) == 0


async def test_a_process_that_dies_between_any_two_operations_on_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written to one namespace never takes anything from another one."""
    names = ("", "inner", "inner|deeper")
    for deadly in range(0, 60, 3):
        for applied in (True, False):
            async with InMemorySessionStore() as store:
                stored: dict[str, list[str]] = {ns: [] for ns in names}
                with monkeypatch.context() as patched:
                    _die_at(patched, deadly, applied=applied)
                    dying_saver = SessionSaver(store, CTX)
                    try:
                        for number in range(9):
                            ns = names[number % 3]
                            made = await put(dying_saver, ns=ns)
                            stored[ns].append(made["configurable"]["checkpoint_id"])
                            await dying_saver.aput_writes(made, [("said", "late")], "task")
                            if stored[ns][0] != stored[ns][-1]:
                                made["configurable"]["checkpoint_id"] = stored[ns][0]
                                await dying_saver.aput_writes(made, [("said", "later")], "other")
                    except ConnectionResetError:
                        pass
                saver, lost = SessionSaver(store, CTX), 0
                for ns in names:
                    found: list[Any] = [
                        each async for each in saver.alist({"configurable": {"thread_id": "t1", "checkpoint_ns": ns}})
                    ]
                    there = [each.config["configurable"]["checkpoint_id"] for each in found][::-1]
                    assert there[: len(stored[ns])] == stored[ns]
                    lost += len(there) - len(stored[ns])
                    for each in found[1:]:
                        assert ("task", "said", "late") in each.pending_writes
                assert lost <= applied  # its writer died before it heard of it
                await put(saver)
                await saver.adelete_thread("t1")
                assert await sessions(store) == 0


def _die_at(patched: pytest.MonkeyPatch, deadly: int, *, applied: bool) -> None:
    """Let the store fail in an operation, before or after it has taken effect."""
    left = deadly
    for name in ("create_session", "update_session", "register_wait", "remove_session", "get_versioned"):
        operation = getattr(InMemorySessionStore, name)

        async def dying(self: Any, *args: Any, operation: Any = operation, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0 and not applied:
                raise ConnectionResetError
            done = await operation(self, *args, **options)
            if left < 0:
                raise ConnectionResetError
            return done

        patched.setattr(InMemorySessionStore, name, dying)
