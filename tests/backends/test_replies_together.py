"""Replies of many at once, on every backend: none is lost, each has one verdict, in order."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from greentic_session import (
    Claim,
    InMemorySessionStore,
    RedisSessionStore,
    ReplyScope,
    Runner,
    SessionStore,
    SQLiteSessionStore,
    TenantCtx,
)
from greentic_session.testing import later
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, ctx, data

Open = Callable[[], AbstractAsyncContextManager[SessionStore]]
"""Opens a store, as another process would; all that a test opens share what is stored."""
Run = Callable[[Callable[[Open], Awaitable[None]]], None]

CROWD = 300


@pytest.fixture(
    params=[
        ("memory", "asyncio"),
        ("memory", "trio"),
        ("sqlite", "asyncio"),
        ("redis", "asyncio"),
        pytest.param(("cluster", "asyncio"), marks=pytest.mark.slow),
    ],
    ids="-".join,
)
def run(request: pytest.FixtureRequest, databases: Callable[[], Path]) -> Run:
    """Runs a test on one backend and one event loop."""
    backend, loop = request.param
    opened: Open
    if backend == "memory":
        store = InMemorySessionStore(max_replies=1000)
        opened = lambda: nullcontext(store)  # there is one process only
    elif backend == "sqlite":
        path = databases()
        opened = lambda: SQLiteSessionStore.open(path, durability="process", max_replies=1000)
    else:
        url = request.getfixturevalue("redis_url") if backend == "redis" else request.getfixturevalue("cluster").url
        namespace = request.getfixturevalue("namespace")
        opened = lambda: RedisSessionStore.from_url(url, namespace=namespace, max_replies=1000)

    async def main(test: Callable[[Open], Awaitable[None]]) -> None:
        with anyio.fail_after(60):
            await test(opened)

    return lambda test: anyio.run(main, test, backend=loop)


async def some_turns(chance: random.Random) -> None:
    for _ in range(chance.randrange(4)):
        await anyio.lowlevel.checkpoint()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nothing else tells
        await anyio.sleep(0.002)


@pytest.mark.parametrize("places", [32, pytest.param(128, marks=pytest.mark.slow)])
def test_a_park_and_its_answer_meet_in_either_order(run: Run, places: int) -> None:
    """Two tasks a place, in four rounds: whichever comes first, the answer finds its wait."""
    heard: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    async def handle(claim: Claim) -> None:
        assert claim.reply is not None
        await claim.complete()
        heard[claim.reply.body] += 1

    async def park(store: SessionStore, chance: random.Random, number: int) -> None:
        await some_turns(chance)
        scope = ReplyScope(f"c{number}")
        await store.register_wait(ALICE, "alice", scope, f"k{number}", data(), DAY)

    async def answer(runner: Runner, chance: random.Random, number: int, body: str) -> None:
        await some_turns(chance)
        scope = ReplyScope(f"c{number}")
        delivery = await runner.deliver(ALICE, "alice", scope, body, delivery_id=body, keep_for=DAY)
        outcomes[delivery.outcome] += 1
        assert delivery.accepted

    async def test(opened: Open) -> None:
        chance = random.Random(7)
        async with opened() as store, Runner(store, handle) as runner:
            for round_ in range(4):
                async with anyio.create_task_group() as tasks:
                    for number in range(places):
                        calls = [
                            partial(park, store, chance, number),
                            partial(answer, runner, chance, number, f"{round_}-{number}"),
                        ]
                        chance.shuffle(calls)
                        for call in calls:
                            tasks.start_soon(call)
                expected = places * (round_ + 1)
                await until(lambda: heard.total() >= expected)  # noqa: B023  # awaited at once
            assert await store.claim_ready() == []
            for number in range(places):
                assert await store.inbox(ALICE, "alice", ReplyScope(f"c{number}")) == []

    run(test)
    assert len(heard) == 4 * places
    assert set(heard.values()) == {1}
    assert outcomes["kept"] > places // 4
    assert outcomes["claimed"] + outcomes["queued"] > places // 4


@pytest.mark.parametrize("bursts", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_bursts_are_turns_in_order(run: Run, bursts: int) -> None:
    """Bursts of three answers, while turns are under way: three turns each, in order."""
    heard: list[str] = []
    chance = random.Random(8)
    expected = [f"{burst}-{number}" for burst in range(bursts) for number in range(3)]

    async def handle(claim: Claim) -> None:
        assert len(claim.replies) == 1
        await some_turns(chance)
        heard.append(claim.replies[0].body)
        await claim.stay()

    async def test(opened: Open) -> None:
        async with opened() as store, Runner(store, handle, concurrency=4) as runner:
            await store.register_wait(ALICE, "alice", CHAT, "k", data(), DAY)
            for body in expected:
                await runner.deliver(ALICE, "alice", CHAT, body)
                if body.endswith("2"):
                    await some_turns(chance)
            await until(lambda: len(heard) >= 3 * bursts)

    run(test)
    assert heard == expected


def test_a_reminder_that_is_due_while_every_worker_is_down(run: Run) -> None:
    heard: list[tuple[str, bool]] = []

    async def remind(claim: Claim) -> None:
        heard.append((claim.key, claim.timed_out))
        await claim.complete()

    async def test(opened: Open) -> None:
        async with opened() as store, Runner(store, remind):
            await store.register_wait(ALICE, "alice", CHAT, "k", data(), 600, on_timeout="resume")
        async with opened() as store:
            await later(store, 3600)
            assert heard == []
        async with opened() as store, Runner(store, remind):
            await until(lambda: len(heard) > 0)
        assert heard == [("k", True)]

    run(test)


def test_a_neighbours_many_deadlines_keep_nobody_waiting(run: Run) -> None:
    """Of very many that are due, the last one, of another tenant, is within one limit."""
    crowd, single = ctx(tenant="crowd"), ctx(tenant="single")

    async def remind(store: SessionStore, owner: TenantCtx, number: int, ttl: float) -> None:
        key = f"{owner.tenant_id}-{number}"
        await store.register_wait(owner, "alice", ReplyScope(key), key, data(owner), ttl, on_timeout="resume")

    async def test(opened: Open) -> None:
        async with opened() as store:
            async with anyio.create_task_group() as tasks:
                for number in range(CROWD):
                    tasks.start_soon(remind, store, crowd, number, 600)
            await remind(store, single, 0, 1200)
            await later(store, 3600)
            claims = await store.claim_ready(limit=2)
            assert {claim.data.tenant_ctx.tenant_id for claim in claims} == {"crowd", "single"}
            claims = await store.claim_ready(limit=2)
            assert {claim.data.tenant_ctx.tenant_id for claim in claims} == {"crowd"}

    run(test)
