"""Checkpoints that are archived in the step that accepts them, on one Redis: as anywhere else."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis

from greentic_session import ConflictError, InMemorySessionStore, RedisSessionStore, SessionStore, TenantCtx

pytest.importorskip("langgraph", reason="python -m pip install 'greentic-session[integrations]'")
from langgraph.checkpoint.base import empty_checkpoint  # it needs the framework

from greentic_session.integrations.langgraph import SessionSaver

pytestmark = pytest.mark.asyncio

CTX = TenantCtx.new("dev", "acme")
THREADS, NAMESPACES, RUNS = ("t1", "t2"), ("", "inner"), ("run-1", "run-2", None)
LARGE = "x" * 20_000


@pytest_asyncio.fixture
async def stores(redis_url: str, namespace: str) -> AsyncIterator[list[RedisSessionStore]]:
    """Those of two processes of a fleet."""
    async with (
        RedisSessionStore.from_url(redis_url, namespace=namespace) as one,
        RedisSessionStore.from_url(redis_url, namespace=namespace) as other,
    ):
        yield [one, other]


def config_of(thread: str, ns: str = "", id: str | None = None) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns} | ({} if id is None else {"checkpoint_id": id})}


async def put(saver: SessionSaver, config: Any, id: str, text: str = "", run: str | None = None) -> Any:
    checkpoint = empty_checkpoint()
    checkpoint.update({"id": id, "ts": id, "channel_values": {"text": text or id}, "channel_versions": {"text": "1"}})
    metadata: Any = {"source": "loop", "step": 1, "parents": {}} | ({} if run is None else {"run_id": run})
    return await saver.aput(config, checkpoint, metadata, {"text": "1"})


async def everything(saver: SessionSaver, threads: set[str]) -> list[Any]:
    """Return all that a reader gets to know, by lists and one by one."""
    found: list[Any] = []
    for thread in sorted(threads):
        for ns in NAMESPACES:
            latest = await saver.aget_tuple(config_of(thread, ns))
            found.append(latest and latest.config["configurable"]["checkpoint_id"])
            async for each in saver.alist(config_of(thread, ns)):
                id = each.config["configurable"]["checkpoint_id"]
                again = await saver.aget_tuple(config_of(thread, ns, id))
                parent = each.parent_config and each.parent_config["configurable"]["checkpoint_id"]
                assert again is not None
                assert again.checkpoint == each.checkpoint
                assert again.pending_writes == each.pending_writes
                found.append((thread, ns, id, parent, each.checkpoint, each.metadata, each.pending_writes))
    return found


async def history(stores: list[Any], seed: int, saves: list[bool]) -> AsyncIterator[list[Any]]:
    """Let processes do at random what there is to do; yield what is to be seen after each."""
    choose, savers = random.Random(seed), [SessionSaver(store, CTX, history=kept) for store in stores for kept in saves]
    threads, ids = set(THREADS), dict[tuple[str, str], list[str]]()
    for number in range(60):
        saver, thread, ns = choose.choice(savers), choose.choice(THREADS), choose.choice(NAMESPACES)
        known = ids.setdefault((thread, ns), [])
        match choose.choice(["put"] * 4 + ["writes"] * 5 + ["prune", "delete", "copy"]):
            case "writes" if known:
                text = LARGE if choose.random() < 0.1 else f"{number}"
                at = known[-1] if choose.random() < 0.7 else choose.choice(known)
                await saver.aput_writes(config_of(thread, ns, at), [("text", text)], f"task-{choose.randrange(2)}")
            case "prune":
                await saver.aprune([thread])
            case "delete":
                await saver.adelete_for_runs([choose.choice(RUNS[:2])])
            case "copy":
                threads.add(f"copy-{number}")
                await saver.acopy_thread(thread, f"copy-{number}")
            case _:
                id = known[-1] if known and choose.random() < 0.1 else f"{number:04}"
                parent = known[-1] if known else None
                if id != parent:
                    known.append(id)
                await put(saver, config_of(thread, ns, parent), id, f"{number}", choose.choice(RUNS))
        yield await everything(choose.choice(savers), threads)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("saves", [[True], [True, False]], ids=["history", "mixed"])
async def test_it_is_the_same_as_in_memory(stores: list[RedisSessionStore], seed: int, saves: list[bool]) -> None:
    async with InMemorySessionStore() as memory:
        expected = history([memory, memory], seed, saves)
        async for seen in history(stores, seed, saves):
            assert seen == await anext(expected)


async def test_a_text_travels_once(stores: list[SessionStore], raw: redis.Redis) -> None:
    saver, config = SessionSaver(stores[0], CTX), config_of("t1")
    before: Any = {}
    for number in range(20):
        before = raw.info("all")
        config = await put(saver, config, f"{number:04}", LARGE)
        await saver.aput_writes(config, [("text", "small")], "task")
    after: Any = raw.info("all")
    assert after["total_net_input_bytes"] - before["total_net_input_bytes"] < 1.7 * len(LARGE)  # in base64
    assert after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"] == 2


async def test_a_run_that_was_superseded_leaves_nothing(
    stores: list[SessionStore], raw: redis.Redis, namespace: str
) -> None:
    first, second = (SessionSaver(store, CTX) for store in stores)
    config = config_of("t1")
    for id in ("0001", "0002"):
        config = await put(first, config, id)
    stale = await first.aget_tuple(config_of("t1"))
    taken = await second.aget_tuple(config_of("t1"))
    assert stale is not None
    assert taken is not None
    await put(second, taken.config, "0003")
    before = sorted(raw.scan_iter(f"{namespace}:*"))
    with pytest.raises(ConflictError):
        await put(first, stale.config, "0004")
    with pytest.raises(ConflictError):
        await first.aput_writes(stale.config, [("text", "late")], "task")
    assert sorted(raw.scan_iter(f"{namespace}:*")) == before
    assert [each.config["configurable"]["checkpoint_id"] async for each in first.alist(config_of("t1"))] == [
        "0003",
        "0002",
        "0001",
    ]


async def test_a_latest_checkpoint_that_somebody_has_removed(
    stores: list[SessionStore], raw: redis.Redis, namespace: str
) -> None:
    saver, config = SessionSaver(stores[0], CTX), config_of("t1")
    for id in ("0001", "0002"):
        config = await put(saver, config, id)
    (key,) = list(raw.scan_iter(f"{namespace}:session:*0002"))
    await stores[0].remove_session(key.decode().removeprefix(f"{namespace}:session:"))
    other = SessionSaver(stores[1], CTX)
    assert await other.aget_tuple(config_of("t1")) is None
    await put(other, config_of("t1", id="0001"), "0003")
    found = await other.aget_tuple(config_of("t1"))
    assert found is not None
    assert found.config["configurable"]["checkpoint_id"] == "0003"
