"""Many parks and deliveries at once: no answer is lost, and each gets one verdict, in order."""

import random
from collections import Counter
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from greentic_session import Claim, InMemorySessionStore, ReplyScope, Runner
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, data


async def some_turns(chance: random.Random) -> None:
    for _ in range(chance.randrange(4)):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_park_and_its_answer_meet_in_either_order(backend: str) -> None:
    """128 tasks in four rounds: whichever comes first, the answer finds its wait."""
    heard: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    async def handle(claim: Claim) -> None:
        assert claim.reply is not None
        await claim.complete()
        heard[claim.reply.body] += 1

    async def park(store: InMemorySessionStore, chance: random.Random, number: int) -> None:
        await some_turns(chance)
        scope = ReplyScope(f"c{number}")
        await store.register_wait(ALICE, "alice", scope, f"k{number}", data(), DAY)

    async def answer(runner: Runner, chance: random.Random, number: int, body: str) -> None:
        await some_turns(chance)
        scope = ReplyScope(f"c{number}")
        delivery = await runner.deliver(ALICE, "alice", scope, body, delivery_id=body, keep_for=DAY)
        outcomes[delivery.outcome] += 1
        assert delivery.accepted

    async def main() -> None:
        chance = random.Random(7)
        with anyio.fail_after(60):
            async with InMemorySessionStore(max_replies=100) as store, Runner(store, handle) as runner:
                for round_ in range(4):
                    async with anyio.create_task_group() as tasks:
                        for number in range(128):
                            calls = [
                                partial(park, store, chance, number),
                                partial(answer, runner, chance, number, f"{round_}-{number}"),
                            ]
                            chance.shuffle(calls)
                            for call in calls:
                                tasks.start_soon(call)
                    while sum(heard.values()) < 128 * (round_ + 1):  # noqa: ASYNC110  # nothing else tells
                        await anyio.sleep(0.001)
                assert await store.claim_ready() == []
                assert store._memory.inboxes == {}

    anyio.run(main, backend=backend)
    assert len(heard) == 512
    assert set(heard.values()) == {1}
    assert outcomes["kept"] > 50
    assert outcomes["claimed"] + outcomes["queued"] > 50


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_bursts_are_turns_in_order(backend: str) -> None:
    """100 bursts of three answers, while turns are under way: three turns each, in order."""
    heard: list[str] = []

    async def handle(claim: Claim) -> None:
        assert len(claim.replies) == 1
        await some_turns(chance)
        heard.append(claim.replies[0].body)
        await claim.stay()

    chance = random.Random(8)
    expected = [f"{burst}-{number}" for burst in range(100) for number in range(3)]

    async def main() -> None:
        with anyio.fail_after(60):
            async with InMemorySessionStore(max_replies=1000) as store, Runner(store, handle, concurrency=4) as runner:
                await store.register_wait(ALICE, "alice", CHAT, "k", data(), DAY)
                for body in expected:
                    await runner.deliver(ALICE, "alice", CHAT, body)
                    if body.endswith("2"):
                        await some_turns(chance)
                while len(heard) < 300:  # noqa: ASYNC110  # nothing else tells
                    await anyio.sleep(0.001)

    anyio.run(main, backend=backend)
    assert heard == expected
