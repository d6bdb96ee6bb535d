"""Replies and deadlines on a cluster: the contract, and what each operation costs."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
import redis
from cluster_servers import Cluster, slot_of
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from races.workers import plain_client
from time_passing import UNIT, OnACluster, passing

from greentic_session import RedisSessionStore, ReplyScope, SessionStore
from greentic_session._redis.scanning import walk
from greentic_session.backends.redis import cluster_slots
from greentic_session.testing import (
    MakeStore,
    ReplyContract,
    ReplyStoreMachine,
    later,
    session_store_machine,
)
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, OTHER, ctx, data

BOB = ctx("bob")


@pytest.fixture
def fresh(cluster: Cluster) -> Callable[[], str]:
    del cluster
    return lambda: f"test-{uuid.uuid4().hex}"


@pytest.fixture
def raw(cluster: Cluster) -> Iterator[redis.RedisCluster]:
    with plain_client(cluster.url) as client:
        assert isinstance(client, redis.RedisCluster)
        yield client


class TestReplies(OnACluster, ReplyContract):
    @pytest_asyncio.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[SessionStore]:
        async with make_store() as store:
            yield store

    @pytest.fixture
    def make_store(self, cluster: Cluster, fresh: Callable[[], str]) -> MakeStore:
        return lambda **options: RedisSessionStore.from_url(cluster.url, namespace=fresh(), **options)


@pytest.mark.slow
def test_state_machine(cluster: Cluster, fresh: Callable[[], str]) -> None:
    clients = cluster.clients()

    def make_store(**options: Any) -> RedisSessionStore:
        cluster.flush()
        return RedisSessionStore.from_url(cluster.url, namespace=fresh(), **options)

    machine = session_store_machine(make_store, passing(clients), base=ReplyStoreMachine, unit=UNIT)
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=40))


# -- what is left, and what is told of it


async def some_of_all(store: SessionStore) -> None:
    """Leave a queued reply, a kept one, a remembered id, a deadline, and a claim."""
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), DAY)
    await store.deliver(ALICE, "alice", CHAT, "one", delivery_id="d-1")
    await store.deliver(ALICE, "alice", CHAT, "two", delivery_id="d-2")
    await store.deliver(ALICE, "alice", OTHER, "early", keep_for=DAY)
    await store.register_wait(BOB, "bob", CHAT, "b", data(BOB), DAY, on_timeout="resume")
    await store.deliver(BOB, "bob", CHAT, "ready", claim=False)


@pytest.mark.asyncio
async def test_the_doctor_finds_nothing(cluster: Cluster, fresh: Callable[[], str]) -> None:
    async with RedisSessionStore.from_url(cluster.url, namespace=fresh()) as store:
        await some_of_all(store)
        inspector = store.backend.inspector()
        assert inspector is not None
        assert (await inspector.examine(lambda _: None)).findings == []
        [told] = await inspector.details(["b"])
        assert told is not None
        assert (told.resumes, told.replies) == (True, 1)
        tallies = await inspector.survey(lambda _: None)
        assert sum(tally.replies for tally in tallies.values()) == 3
        assert sum(tally.ready for tally in tallies.values()) == 1
        assert (await store.backend.readiness(None)).count == 1


@pytest.mark.asyncio
async def test_the_doctor_misses_an_entry(cluster: Cluster, fresh: Callable[[], str], raw: redis.RedisCluster) -> None:
    namespace = fresh()
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as store:
        await some_of_all(store)
        raw.zrem(f"{namespace}:{{:ready}}:ready:dev:acme:ops", "bob")
        inspector = store.backend.inspector()
        assert inspector is not None
        [finding] = (await inspector.examine(lambda _: None)).findings
        assert (finding.fault, finding.count) == (True, 1)


@pytest.mark.asyncio
async def test_a_purge_leaves_no_key(cluster: Cluster, fresh: Callable[[], str], raw: redis.RedisCluster) -> None:
    namespace = fresh()
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as store:
        await some_of_all(store)
        carol = ctx("carol", tenant="globex")
        await store.register_wait(carol, "carol", CHAT, "c", data(carol), DAY)
        await store.deliver(carol, "carol", CHAT, "hers", claim=False)
        assert await store.purge(ctx(None, team=None)) == 2
        left = [key.decode() for key in raw.scan_iter(f"{namespace}:*") if b":barred:" not in key]
        assert not [key for key in left if "acme" in key]
        assert [claim.reply.body for claim in await store.claim_ready(limit=9) if claim.reply] == ["hers"]


@pytest.mark.asyncio
async def test_a_purge_counts_what_came_before_a_step_that_was_undone(
    cluster: Cluster, fresh: Callable[[], str], raw: redis.RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal of a displaced claim makes ready at once what it held, and no entry says so."""

    async def walk_in_order(*words: Any) -> AsyncIterator[list[bytes]]:
        yield sorted([key async for found in walk(*words) for key in found])

    monkeypatch.setattr(cluster_slots, "walk", walk_in_order)
    namespace, large = fresh(), data(snapshot=json.dumps("x" * 300_000))  # as much as one script removes
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as store:
        await store.register_wait(ALICE, "alice", CHAT, "2 displaced", data(), DAY)
        await store.deliver(ALICE, "alice", CHAT, "one", lease=DAY / 2)
        await store.register_wait(ALICE, "alice", CHAT, "4 waits", data(), DAY)
        for key in ("1 large", "3 large"):
            await store.create_session(ALICE, large, key=key, ttl=DAY)
        assert await store.purge(ctx(None, team=None)) == 4
        assert not list(raw.scan_iter(f"{namespace}:owner:*")), "no pointer is left alone"


@pytest.mark.asyncio
async def test_time_passes_on_all_nodes_where_a_test_says_so(cluster: Cluster, fresh: Callable[[], str]) -> None:
    async with RedisSessionStore.from_url(cluster.url, namespace=fresh()) as store:
        for number in range(9):
            who = ctx(f"u{number}")
            await store.register_wait(who, f"u{number}", CHAT, f"k{number}", data(who), DAY, on_timeout="resume")
        assert await store.claim_ready(limit=10) == []
        await later(store, DAY)
        assert [claim.timed_out for claim in await store.claim_ready(limit=10)] == [True] * 9


# -- what operations cost


class Counted:
    """How many round trips the calls of a store take."""

    def __init__(self, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._trips = 0
        client = store.backend.client  # type: ignore[attr-defined]  # the Redis backend's
        call = client.call

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._trips += 1
            return await call(*args, **kwargs)

        monkeypatch.setattr(client, "call", counted)

    async def of(self, call: Awaitable[object]) -> int:
        before = self._trips
        await call
        return self._trips - before


@pytest.mark.asyncio
async def test_what_an_operation_costs(cluster: Cluster, fresh: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with RedisSessionStore.from_url(cluster.url, namespace=fresh()) as store:
        trips = Counted(store, monkeypatch)
        assert await trips.of(store.register_wait(ALICE, "alice", CHAT, "k", data(), DAY)) == 2  # as without replies
        assert await trips.of(store.deliver(ALICE, "alice", CHAT, "one")) == 2  # no entry was known
        assert await trips.of(store.deliver(ALICE, "alice", CHAT, "two")) == 1
        assert await trips.of(store.inbox(ALICE, "alice", CHAT)) == 1
        waiting = store.register_wait(BOB, "bob", CHAT, "b", data(BOB), DAY, on_timeout="resume")
        assert await trips.of(waiting) == 3
        dora = ctx("dora")
        waiting = store.register_wait(dora, "dora", CHAT, "d", data(dora), 90 * DAY, on_timeout="resume")
        assert await trips.of(waiting) == 3  # its entry lives as long
        assert await trips.of(store.claim_wait(BOB, "bob", CHAT)) == 1
        carol = ctx("carol")
        await store.register_wait(carol, "carol", CHAT, "c", data(carol))
        assert await trips.of(store.deliver(carol, "carol", CHAT, "one")) == 4  # an entry, as others have; one that lasts
        await later(store, 2)  # what is to last is asked for to a second
        assert await trips.of(store.deliver(carol, "carol", CHAT, "two")) == 1


@pytest.mark.asyncio
async def test_many_who_look_at_once_are_sent_to_different_users(
    cluster: Cluster, fresh: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all ask the user who is due first. Nobody is sent away while anything is ready."""
    async with RedisSessionStore.from_url(cluster.url, namespace=fresh()) as store:
        for number in range(30):
            who = ctx(f"u{number}")
            await store.register_wait(who, f"u{number}", CHAT, f"k{number}", data(who), DAY)
            await store.deliver(who, f"u{number}", CHAT, "work", claim=False)
        trips = Counted(store, monkeypatch)
        looking = asyncio.gather(*(store.claim_ready() for _ in range(30)))
        assert await trips.of(looking) < 30 * 4  # three each, but where a busy machine takes a second for one
        assert len({claim.key for [claim] in looking.result()}) == 30
        for number in range(8):
            await store.register_wait(ALICE, "alice", ReplyScope(f"c{number}"), f"a{number}", data(), DAY)
            await store.deliver(ALICE, "alice", ReplyScope(f"c{number}"), "work", claim=False)
        found = await asyncio.gather(*(store.claim_ready() for _ in range(8)))
        assert len({claim.key for [claim] in found}) == 8


@pytest.mark.asyncio
async def test_a_program_that_uses_none_of_this_has_no_key_of_it(
    cluster: Cluster, fresh: Callable[[], str], raw: redis.RedisCluster
) -> None:
    namespace = fresh()
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), DAY)
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.park(CHAT, data(), DAY)
    kinds = {key.decode().rpartition("}:")[2].split(":")[0] for key in raw.scan_iter(f"{namespace}:{{*")}
    assert kinds == {"session", "own", "waits"}


# -- while slots move


@pytest.mark.slow
@pytest.mark.asyncio
async def test_no_reply_is_lost_while_slots_move(cluster: Cluster, fresh: Callable[[], str]) -> None:
    people = [ctx(f"u{number}", tenant=f"t{number % 3}") for number in range(12)]
    worked, sent, over = Counter[str](), list[str](), False
    namespace = fresh()
    async with (
        RedisSessionStore.from_url(cluster.url, namespace=namespace, timeout=20) as store,
        RedisSessionStore.from_url(cluster.url, namespace=namespace, timeout=20) as other,
    ):
        for who in people:
            await store.register_wait(who, who.user_id or "", CHAT, f"k-{who.user_id}", data(who), DAY)

        async def send() -> None:
            for number in range(15):
                for who in people:
                    body = f"{who.user_id}-{number}"
                    await store.deliver(who, who.user_id or "", CHAT, body, claim=False, delivery_id=body)
                    sent.append(body)

        async def work() -> None:
            while not (over and sum(worked.values()) >= len(sent)):
                for claim in await other.claim_ready(limit=4, lease=DAY):
                    assert claim.reply is not None
                    worked[claim.reply.body] += 1
                    await claim.stay()
                await asyncio.sleep(0.005)

        async def move() -> None:
            slots = [slot_of(f"dev:{who.tenant}:ops:{who.user_id}") for who in people] + [slot_of(":ready")]
            while not over:
                for slot in slots:
                    there = cluster.primaries.index(cluster.owner(slot))
                    target = cluster.primaries[(there + 1) % 3]
                    await asyncio.to_thread(cluster.move, slot, target)

        async with asyncio.TaskGroup() as tasks:
            moving, working = tasks.create_task(move()), tasks.create_task(work())
            await send()
            over = True
            await asyncio.wait_for(working, 40)
            await moving
    assert worked == Counter(sent)
