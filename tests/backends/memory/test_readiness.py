"""Readiness in memory: the queue, turns of tenants, and costs that no neighbour pays."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from short_ways.inboxes import all_inboxes
from timers import Timer

from greentic_session import InMemorySessionStore, ReplyScope, TenantCtx
from greentic_session.backends.memory.ordered import OrderedQueue
from greentic_session.testing._sessions.samples import CHAT, ctx, data


@given(st.lists(st.tuples(st.sampled_from("pppd"), st.integers(0, 8), st.integers(0, 5))))
def test_a_queue_is_a_sorted_list(steps: list[tuple[str, int, int]]) -> None:
    queue: OrderedQueue[int] = OrderedQueue()
    model: list[tuple[int, int, int]] = []
    for serial, (step, item, rank) in enumerate(steps):
        there = [one for one in model if one[2] == item]
        if step == "d":
            queue.discard(item)
            model = [one for one in model if one[2] != item]
        elif not there or there[0][0] != rank:
            queue.put(item, rank)
            model = sorted([one for one in model if one[2] != item] + [(rank, serial, item)])
        else:
            queue.put(item, rank)  # keeps its place
        assert queue.first() == ((model[0][0], model[0][2]) if model else None)
        assert len(queue) == len(model)
        for bound in range(-1, 6):
            assert sorted(queue.until(bound)) == sorted((rank, item) for rank, _, item in model if rank <= bound)
        assert all((one in queue) == any(one == each[2] for each in model) for one in range(9))
    queue.clear()
    assert queue.first() is None


class Counting(Timer):
    """A timer that counts how often it is asked: about once a step of work on an entry."""

    asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return super().__call__()


async def fill(store: InMemorySessionStore, owner: TenantCtx, count: int, ttl: float) -> None:
    user = owner.effective_user or ""
    for number in range(count):
        await store.register_wait(
            owner, user, ReplyScope(f"c{number}"), f"{owner.tenant_id}-{number}", data(owner), ttl, on_timeout="resume"
        )


@pytest.mark.asyncio
async def test_a_neighbours_many_deadlines_keep_nobody_waiting() -> None:
    """Of deadlines due at once, the only one of another tenant is the second to be heard."""
    timer = Counting()
    store = InMemorySessionStore(timer=timer)
    crowd, single = ctx(tenant="crowd"), ctx(tenant="single")
    await fill(store, crowd, 5000, 60)
    await store.register_wait(single, "alice", CHAT, "single", data(single), 61, on_timeout="resume")
    timer.advance(62)
    timer.asked = 0
    claims = await store.claim_ready(limit=2)
    assert [claim.data.tenant_ctx.tenant_id for claim in claims] == ["crowd", "single"]
    assert timer.asked < 50
    timer.asked = 0
    [own] = await store.claim_ready(ctx(None, tenant="crowd"))
    assert own.timed_out
    assert timer.asked < 50


@pytest.mark.asyncio
async def test_all_deadlines_that_are_due_at_once_are_heard_once() -> None:
    timer = Timer()
    store = InMemorySessionStore(timer=timer)
    owners = [ctx(f"u{number % 7}", tenant=f"t{number % 3}", team=f"g{number % 2}") for number in range(42)]
    for number, owner in enumerate(owners):
        scope = ReplyScope(f"c{number}")
        await store.register_wait(
            owner, owner.effective_user or "", scope, f"k{number}", data(owner), 60 + number % 5, on_timeout="resume"
        )
    timer.advance(70)
    heard = []
    while claims := await store.claim_ready(limit=random.Random(1).randrange(1, 9)):
        heard += [str(claim.key) for claim in claims]
        for claim in claims:
            await claim.stay()
    assert sorted(heard) == sorted(f"k{number}" for number in range(42))
    assert store._memory.ready.first(None, timer()) is None
    assert store._memory.ready._queues == {}


@pytest.mark.asyncio
async def test_kept_replies_and_ids_are_freed_by_the_writes_that_follow() -> None:
    timer = Timer()
    store = InMemorySessionStore(timer=timer, dedupe_window=60, reply_grace=60)
    owner = ctx()
    for number in range(300):
        scope = ReplyScope(f"c{number}")
        await store.deliver(owner, "alice", scope, "x", keep_for=60, delivery_id=f"kept{number}")
        await store.register_wait(owner, "alice", ReplyScope("w"), "k", data(), 3600)
        claimed = await store.deliver(owner, "alice", ReplyScope("w"), "x", delivery_id=f"settled{number}")
        assert claimed.claim is not None
        await claimed.claim.stay()
    memory = store._memory
    assert len(memory.deliveries[owner.env, "acme", "ops", "alice"]) == 600
    timer.advance(70)
    for _ in range(100):
        await store.create_session(owner, data(), ttl=10)
    assert memory.deliveries == {}
    assert all_inboxes(memory) == []
    assert memory.kept == {}
