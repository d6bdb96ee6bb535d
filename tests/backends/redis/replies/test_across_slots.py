"""What is promised of replies and deadlines where users are in many slots, on several servers.

The contract runs on a cluster, too (`test_cluster_replies`). Here is what one user alone does not
show: whose turn it is across slots, one session key for many users, and everything once more on
replicas that have taken over.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import pytest
from cluster_servers import Cluster, slot_of

from greentic_session import (
    Claim,
    ConflictError,
    Delivery,
    InboxFullError,
    RedisSessionStore,
    ReplyScope,
    Runner,
    SessionStore,
    Start,
    TenantCtx,
)
from greentic_session.testing import later
from greentic_session.testing._sessions.calls import bodies
from greentic_session.testing._sessions.samples import CHAT, DAY, OTHER, ctx, data

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

TIMEOUT: Final = 20.0
"""Seconds for a call: a primary hands over, on a busy machine."""
CROWD: Final = 5000
BRIEF: Final = 0.05
LEASE: Final = 9.0


def person(number: int, tenant: str = "acme") -> TenantCtx:
    return ctx(f"u{number}", tenant=tenant)


def opened(cluster: Cluster, **options: Any) -> RedisSessionStore:
    return RedisSessionStore.from_url(cluster.url, timeout=TIMEOUT, **options)


async def deliver(store: SessionStore, who: TenantCtx, body: str, scope: ReplyScope = CHAT, **options: Any) -> Delivery:
    return await store.deliver(who, who.user_id or "", scope, body, **options)


async def park(store: SessionStore, who: TenantCtx, key: str, ttl: float = DAY, scope: ReplyScope = CHAT) -> None:
    """Park a flow of somebody's that is to be resumed at its deadline."""
    await store.register_wait(who, who.user_id or "", scope, key, data(who), ttl, on_timeout="resume")


def hand_over(cluster: Cluster) -> None:
    """Ask every replica to take its primary's place, one after the other."""
    for replica in [node for node in cluster.nodes if node.role() == "slave"]:
        replica.cluster("FAILOVER")
        cluster.wait_until(lambda: replica.role() == "master")  # noqa: B023  # called at once
        cluster.wait_until_well()


def move_slots(cluster: Cluster, slots: list[int]) -> None:
    """Let each slot go to the next primary."""
    for slot in slots:
        primaries = cluster.primaries
        there = primaries.index(cluster.owner(slot))
        cluster.move(slot, primaries[(there + 1) % len(primaries)])


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster with replicas; its primaries hand over, and its slots move."""
    with Cluster(node_timeout=60_000) as cluster:
        yield cluster


# -- whose turn it is


async def test_a_crowd_in_many_slots_keeps_no_other_tenant_waiting() -> None:
    """What of another tenant is due last of all comes with the next claims, however few."""
    numbers, single = iter(range(CROWD)), person(0, "single")

    async def park_some(store: SessionStore) -> None:
        for number in numbers:
            await park(store, person(number, "crowd"), f"crowd-{number}", BRIEF)

    with Cluster(replicas=False, node_timeout=60_000) as cluster:
        async with opened(cluster) as store:
            await asyncio.gather(*(park_some(store) for _ in range(100)))
            for limit in (2, 7):
                await park(store, single, f"single-{limit}", BRIEF)
                await asyncio.sleep(2 * BRIEF)
                claims = await store.claim_ready(limit=limit, lease=DAY)
                assert Counter([claim.key.split("-")[0] for claim in claims]) == {"single": 1, "crowd": limit - 1}
                for claim in claims:
                    await claim.complete()


# -- one key, many users


async def test_of_many_users_whose_flows_begin_with_one_key_one_does(cluster: Cluster) -> None:
    """The others have left nothing: neither a reply nor an id. Meanwhile slots move."""
    people = [person(number) for number in range(12)]
    over = anyio.Event()

    async def begin(store: SessionStore, who: TenantCtx, key: str) -> Claim | None:
        start = Start(data(who), key=key, ttl=DAY)
        try:
            return (await deliver(store, who, "hello", delivery_id=key, start=start)).claim
        except ConflictError:
            return None

    async def move() -> None:
        slots = [slot_of(f"dev:acme:ops:{who.user_id}") for who in people[:3]] + [slot_of(":ready")]
        while not over.is_set():
            await asyncio.to_thread(move_slots, cluster, slots)

    async with opened(cluster) as store, opened(cluster) as other, anyio.create_task_group() as tasks:
        tasks.start_soon(move)
        for round_ in range(10):
            key = f"flow-{round_}"
            stores = [store, other] * len(people)
            begun = await asyncio.gather(*(begin(at, who, key) for at, who in zip(stores, people, strict=False)))
            [claim] = [claim for claim in begun if claim is not None]
            assert claim.is_new
            assert await store.get_session(key) == claim.data
            for who, theirs in zip(people, begun, strict=True):
                assert bodies(await store.inbox(who, who.user_id or "", CHAT)) == (["hello"] if theirs else [])
            await claim.complete()
            loser = next(who for who, theirs in zip(people, begun, strict=True) if theirs is None)
            again = await begin(store, loser, key)  # neither a duplicate, nor is the key taken any more
            assert again is not None
            await again.complete()
        over.set()


# -- bounds


async def test_an_inbox_takes_so_many_replies_of_many_at_once(cluster: Cluster) -> None:
    """Of each of several users; what was refused was not remembered. Meanwhile slots move."""
    people, most, tried = [person(number) for number in range(4)], 20, 30

    async def send(store: SessionStore, who: TenantCtx, number: int) -> bool:
        try:
            await deliver(store, who, str(number), delivery_id=str(number), claim=False)
        except InboxFullError:
            return False
        return True

    async with opened(cluster, max_replies=most) as store, opened(cluster, max_replies=most) as other:
        for number, who in enumerate(people):
            await park(store, who, f"k{number}")
        moving = asyncio.create_task(
            asyncio.to_thread(move_slots, cluster, [slot_of(f"dev:acme:ops:{who.user_id}") for who in people])
        )
        calls = [(who, number) for who in people for number in range(tried)]
        random.Random(5).shuffle(calls)
        taken = await asyncio.gather(*(send((store, other)[n % 2], who, n) for who, n in calls))
        await moving
        accepted = Counter([who for (who, _), is_in in zip(calls, taken, strict=True) if is_in])
        assert accepted == dict.fromkeys(people, most)
        for who in people:
            assert len(await store.inbox(who, who.user_id or "", CHAT)) == most
        refused = [call for call, is_in in zip(calls, taken, strict=True) if not is_in]
        for claim in await store.claim_ready(limit=len(people)):
            await claim.take()
            await claim.stay()
        assert all([await send(store, who, number) for who, number in refused])


# -- on replicas that have taken over, and while they do


async def test_replicas_that_took_over_keep_every_promise(cluster: Cluster) -> None:
    """One wait of each kind; then all primaries hand over, and time passes."""
    alice, bob, carol, dora, emil, frida = (person(number) for number in range(6))
    async with opened(cluster) as store:
        for number, who in enumerate((alice, bob, carol, dora, emil)):
            await park(store, who, f"k{number}", 2 * DAY)
        await park(store, frida, "due", 600)
        for body in ("one", "two"):
            await deliver(store, alice, body, claim=False, delivery_id=body)
        held = (await deliver(store, bob, "held", lease=3600)).claim
        put_off = (await deliver(store, carol, "later")).claim
        stayed = (await deliver(store, dora, "done", delivery_id="d")).claim
        assert held is not None
        assert put_off is not None
        assert stayed is not None
        await put_off.release(delay=7200)
        await stayed.stay(data(dora, snapshot='"stayed"'))
        early = await deliver(store, emil, "early", OTHER, keep_for=DAY, delivery_id="e")

        await asyncio.to_thread(hand_over, cluster)

        first = {str(claim.key): claim for claim in await store.claim_ready(limit=9, lease=DAY)}
        assert set(first) == {"k0"}
        assert bodies(first["k0"].replies) == ["one"]
        assert bodies(await first["k0"].take()) == ["two"]
        assert (await deliver(store, alice, "one", delivery_id="one")).outcome == "queued"  # it is held
        await first["k0"].complete()
        assert (await deliver(store, alice, "two", delivery_id="two")).outcome == "duplicate"
        await held.renew(3600)
        assert (await deliver(store, dora, "again", delivery_id="d")).outcome == "duplicate"
        found = await store.find_wait(dora, "u3", CHAT)
        assert found is not None
        assert found.data.context_json == '"stayed"'
        assert (early.outcome, (await deliver(store, emil, "early", OTHER, delivery_id="e")).outcome) == ("kept", "kept")
        await store.register_wait(emil, "u4", OTHER, "k4", data(emil), 2 * DAY)
        assert [claim.key for claim in await store.claim_ready(limit=9, lease=2 * DAY)] == ["k4"]

        await later(store, 3700)
        second = {str(claim.key): claim for claim in await store.claim_ready(limit=9, lease=DAY)}
        assert set(second) == {"k1", "due"}
        assert (second["due"].timed_out, second["due"].attempt) == (True, 1)
        assert (second["k1"].attempt, second["k1"].idempotency_key) == (2, held.idempotency_key)
        with pytest.raises(ConflictError):
            await held.complete()

        await later(store, 3600)
        [third] = await store.claim_ready(limit=9, lease=DAY)
        assert (third.key, bodies(third.replies)) == ("k2", ["later"])
        assert (third.attempt, third.idempotency_key) == (2, put_off.idempotency_key)


async def test_a_claim_that_is_kept_alive_outlives_moves_and_successions(cluster: Cluster) -> None:
    """Blocks that last longer than their leases lose nothing to a slot that moves or a handover."""
    people = [person(number) for number in range(20)]

    async with opened(cluster) as store, opened(cluster) as other:
        for number, who in enumerate(people):
            await park(store, who, f"k{number}")
            await deliver(store, who, "work", delivery_id="w", claim=False)
        claims = await store.claim_ready(limit=len(people), lease=LEASE)
        assert len(claims) == len(people)
        async with AsyncExitStack() as blocks:
            for claim in claims:
                await blocks.enter_async_context(claim)
            began = anyio.current_time()
            await asyncio.to_thread(move_slots, cluster, [slot_of(f"dev:acme:ops:{who.user_id}") for who in people[:5]])
            await asyncio.to_thread(hand_over, cluster)
            while anyio.current_time() < began + 1.2 * LEASE:
                assert await other.claim_ready() == []
                await asyncio.sleep(0.2)
            for claim in claims:
                await claim.stay()
        assert {(await deliver(store, who, "work", delivery_id="w")).outcome for who in people} == {"duplicate"}


class Reminders:
    """Handlers of deadlines: each is heard twice, and completed then; some raise at first.

    Attributes:
        heard: How often each was heard, by session key and node.
        settled: How many verdicts were acknowledged.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.heard = Counter[tuple[str, str]]()
        self.settled = Counter[tuple[str, str]]()

    async def handle(self, claim: Claim) -> None:
        assert claim.timed_out
        which = (claim.key, claim.data.cursor.node_pointer)
        self.heard[which] += 1
        if claim.attempt == 1 and self._chance.random() < 0.1:
            raise RuntimeError
        if which[1] == "first":
            again = data(claim.data.tenant_ctx, "second")
            await claim.park(claim.scope, again, self._chance.choice((0.2, 1.0)))
        else:
            await claim.complete()
        self.settled[which] += 1


async def test_every_deadline_is_heard_while_primaries_hand_over_and_slots_move(cluster: Cluster) -> None:
    """In order, first and second, and no verdict is taken twice."""
    chance, waits = random.Random(6), 200
    people = [person(number, f"tenant-{number % 7}") for number in range(waits)]
    reminders = Reminders(chance)
    slots = [slot_of(":ready")] + [slot_of(f"dev:{who.tenant_id}:ops:{who.user_id}") for who in people[:4]]

    async def is_over(store: SessionStore) -> bool:
        return not any([await store.get_session(f"k{number}") for number in range(waits)])

    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(cluster)) for _ in range(2)]
        for number, who in enumerate(people):
            first = data(who, "first")
            ttl = chance.uniform(0.1, 6)
            await stores[0].register_wait(who, who.user_id or "", CHAT, f"k{number}", first, ttl, on_timeout="resume")
        for store in stores:
            await stack.enter_async_context(Runner(store, reminders.handle, lease=LEASE))
        await asyncio.to_thread(move_slots, cluster, slots)
        await asyncio.to_thread(hand_over, cluster)
        await asyncio.to_thread(move_slots, cluster, slots)
        with anyio.fail_after(120):
            while not await is_over(stores[0]):  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.5)
    assert set(reminders.heard) == {(f"k{number}", node) for number in range(waits) for node in ("first", "second")}
    assert set(reminders.settled.values()) == {1}
