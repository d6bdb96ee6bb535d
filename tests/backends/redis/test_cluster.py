"""The Redis store on a cluster.

The contract, where things are, and what happens while the cluster changes.
"""

import asyncio
import functools
import re
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
import redis
from cluster_servers import SLOTS, Cluster, Node, make_node, slot_of
from cluster_traffic import SCOPE, Traffic
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from races.workers import plain_client
from readmes.blocks import READMES
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis_invariants import Spread, check
from time_passing import UNIT, OnACluster, passing

from greentic_session import (
    InvalidInputError,
    RedisSessionStore,
    ReplyScope,
    TenantCtx,
    UnavailableError,
    create_session_store,
)
from greentic_session.backends.redis.cluster import RedisClusterBackend
from greentic_session.backends.redis.owner_pointers import Reservation
from greentic_session.errors import ConflictError, OperationTimeoutError, TenantMismatchError
from greentic_session.testing import MakeStore, SessionStoreContract, session_store_machine
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

TIMEOUT = 10.0


@pytest.fixture
def fresh(cluster: Cluster) -> Callable[[], str]:
    return lambda: f"test-{uuid.uuid4().hex}"


@pytest.fixture
def namespace(fresh: Callable[[], str]) -> str:
    return fresh()


@pytest.fixture
def raw(cluster: Cluster) -> Iterator[redis.RedisCluster]:
    with plain_client(cluster.url) as client:
        assert isinstance(client, redis.RedisCluster)
        yield client


@pytest_asyncio.fixture
async def store(cluster: Cluster, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace, timeout=TIMEOUT) as store:
        yield store


class TestContract(OnACluster, SessionStoreContract):
    @pytest.fixture
    def make_store(self, cluster: Cluster, fresh: Callable[[], str]) -> MakeStore:
        return lambda **options: RedisSessionStore.from_url(cluster.url, namespace=fresh(), **options)


@pytest.mark.parametrize(
    ("examples", "steps"), [(3, 20), pytest.param(20, 50, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_state_machine(cluster: Cluster, fresh: Callable[[], str], examples: int, steps: int) -> None:
    clients = cluster.clients()

    def make_store() -> RedisSessionStore:
        cluster.flush()
        return RedisSessionStore.from_url(cluster.url, namespace=fresh())

    machine = session_store_machine(make_store, passing(clients), unit=UNIT)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))


# -- where things are


@pytest.mark.asyncio
async def test_all_of_a_user_is_in_one_slot_and_users_are_in_all(
    store: RedisSessionStore, raw: redis.RedisCluster, namespace: str
) -> None:
    people = [ctx(f"u{number}") for number in range(300)]
    for number, one in enumerate(people):
        for scope in ("a", "b"):
            await store.register_wait(one, f"u{number}", ReplyScope(scope), f"{scope}{number}", data(one), ttl=600)
        claim = await store.claim_wait(one, f"u{number}", ReplyScope("a"))
        assert claim is not None
        await store.create_session(one, data(one))
    spread = Spread(raw, namespace)
    assert spread.slots.keys() == {f"dev:acme:ops:u{number}" for number in range(300)}
    assert all(len(found) == 3 * 2 + 2 + 1 + 1 + 1 + 1 for found in spread.slots.values())
    slots = [slot_of(tag) for tag in spread.slots]
    assert min(Counter(slot * 3 // SLOTS for slot in slots).values()) > 60
    check(raw, namespace)


@pytest.mark.asyncio
async def test_a_removal_leaves_no_pointer(store: RedisSessionStore, raw: redis.RedisCluster, namespace: str) -> None:
    for number in range(5):
        await store.register_wait(ALICE, "alice", ReplyScope(f"c{number}"), f"k{number}", data(), ttl=600)
    await store.create_session(ALICE, data(), key="latest")
    await store.remove_session("k0")
    await store.clear_wait(ALICE, "alice", ReplyScope("c1"))
    claim = await store.claim_wait(ALICE, "alice", ReplyScope("c2"))
    assert claim is not None
    await claim.complete()
    assert Spread(raw, namespace).pointers.keys() == {"k3", "k4", "latest"}
    assert await store.purge(ALICE) == 3
    assert Spread(raw, namespace).pointers == {}
    assert Spread(raw, namespace).together() == {}


@pytest.mark.asyncio
async def test_sessions_without_a_user_are_spread_too(
    store: RedisSessionStore, raw: redis.RedisCluster, namespace: str
) -> None:
    nobody = ctx(None)
    for number in range(50):
        await store.create_session(nobody, data(nobody), key=f"k{number}")
    await store.create_session(ALICE, data(nobody), key="of alice's")
    slots = Spread(raw, namespace).slots
    assert len(slots) == 51
    assert "dev:acme:ops:alice" in slots
    assert await store.purge(nobody) == 51


@pytest.mark.asyncio
async def test_a_key_is_used_again_by_somebody_else(
    cluster: Cluster, store: RedisSessionStore, raw: redis.RedisCluster, namespace: str
) -> None:
    bob = ctx("bob", tenant="globex")
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as other:
        for _ in range(3):  # what each remembers of the key is old every time
            await store.register_wait(ALICE, "alice", CHAT, "k", data(snapshot="hers"), ttl=600)
            assert await other.get_session("k") == data(snapshot="hers")
            with pytest.raises(TenantMismatchError):
                await other.register_wait(bob, "bob", CHAT, "k", data(bob))
            with pytest.raises(ConflictError):
                await other.create_session(bob, data(bob), key="k")
            await other.remove_session("k")
            await other.register_wait(bob, "bob", CHAT, "k", data(bob, snapshot="his"), ttl=600)
            assert await store.get_session("k") == data(bob, snapshot="his")
            with pytest.raises(TenantMismatchError):
                await store.register_wait(ALICE, "alice", CHAT, "k", data())
            check(raw, namespace)
            await store.remove_session("k")
    assert Spread(raw, namespace).pointers == {}


@pytest.mark.asyncio
async def test_a_lone_pointer_answers_nothing_and_yields(
    store: RedisSessionStore, raw: redis.RedisCluster, namespace: str
) -> None:
    """As a client leaves it that reserves a key and dies."""
    raw.set(f"{namespace}:owner:k", "0123456789abcdef dev:globex:-:bob", px=600_000)
    assert await store.get_session("k") is None
    assert not await store.touch("k", 60)
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=600)
    check(raw, namespace)
    assert list(Spread(raw, namespace).slots["dev:globex:-:bob"]) == ["barred:0123456789abcdef"]


@pytest.mark.asyncio
@pytest.mark.parametrize("who", [ALICE, ctx("bob")], ids=["the same user", "somebody else"])
@pytest.mark.parametrize("stays", [True, False], ids=["and stays", "and is gone again"])
async def test_between_reserving_and_storing_somebody_takes_the_key(
    cluster: Cluster,
    store: RedisSessionStore,
    raw: redis.RedisCluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    who: TenantCtx,
    stays: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    backend = store._backend
    assert isinstance(backend, RedisClusterBackend)
    reserve, reservations = backend._pointers.reserve, []

    async def overtaken(*args: Any) -> Reservation:
        held = await reserve(*args)
        reservations.append(held.nonce)
        if len(reservations) == 1:
            await other.create_session(who, data(who, snapshot="theirs"), key="k", ttl=60)
            if not stays:
                await other.remove_session("k")
            check(raw, namespace)
        return held

    monkeypatch.setattr(backend._pointers, "reserve", overtaken)
    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as other:
        try:
            await store.register_wait(ALICE, "alice", CHAT, "k", data(snapshot="ours"), ttl=60)
            stored = "ours"
        except TenantMismatchError:
            stored = "theirs"
        check(raw, namespace)
        assert stored == ("theirs" if stays and who is not ALICE else "ours")
        for one in (store, other):
            found = await one.get_session("k")
            assert found is not None
            assert found.context_json == stored
    assert len(set(reservations)) == (1 if stays and who is ALICE else 2)


@pytest.mark.asyncio
@pytest.mark.parametrize("ttl", [1.0, 5000.0, None], ids=["short", "long", "for ever"])
async def test_a_pointer_outlives_its_session_however_that_is_lengthened(
    store: RedisSessionStore, raw: redis.RedisCluster, namespace: str, ttl: float | None
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=ttl)
    for lifetime in (20_000.0, 3.0, 7_200_000.0, None, 60.0, 100_000.0):
        assert await store.touch("k", lifetime)
        check(raw, namespace)
    claim = await store.claim_wait(ALICE, "alice", CHAT, lease=1_000_000.0)
    assert claim is not None
    check(raw, namespace)
    await claim.renew(30_000_000.0)
    check(raw, namespace)
    await claim.park(CHAT, data(snapshot="parked"), ttl=90_000_000.0)
    check(raw, namespace)
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=1_000_000_000.0)
    check(raw, namespace)


@pytest.mark.parametrize("namespace", ["{x}", "a{", "}"])
def test_a_namespace_with_braces_is_refused(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(InvalidInputError, match="brace"):
        RedisSessionStore.from_url(cluster.url, namespace=namespace)


@pytest.mark.parametrize(
    "key", ["{", "}", "{}", "a{b}c", "{dev:acme:ops:bob}", "x}:session:y", "ns:{t}:session:z", " \n*?["]
)
@pytest.mark.asyncio
async def test_a_session_key_may_hold_anything(
    store: RedisSessionStore, raw: redis.RedisCluster, namespace: str, key: str
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, key, data(), ttl=60)
    assert await store.get_session(key) == data()
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == [key]
    check(raw, namespace)
    assert await store.purge(ALICE) == 1


# -- how to get there


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster:///",
        "redis+cluster://a:1,",
        "redis+cluster://a:1,,b:2",
        "redis+cluster://a:x",
        "redis+cluster://a:1/3",
        "redis+cluster://a:1/0/1",
        "redis+cluster://a:1?db=2",
        "redis+cluster://a:1?nonsense=secret",
        "redis+cluster://user:secret@a:99999999",
    ],
)
def test_a_url_that_names_no_cluster_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        create_session_store(url)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.asyncio
async def test_a_client_of_the_callers_own(cluster: Cluster, namespace: str) -> None:
    nodes = [ClusterNode("127.0.0.1", node.port) for node in cluster.nodes]
    asked: list[tuple[str, int]] = []

    def remap(address: tuple[str, int]) -> tuple[str, int]:
        asked.append(address)
        return address

    client = RedisCluster(startup_nodes=nodes, address_remap=remap, decode_responses=True)
    async with RedisSessionStore(client, namespace=namespace) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        await store.health()
    assert asked
    assert await client.get("nothing") is None  # it is not closed
    await client.aclose()


@pytest.mark.asyncio
async def test_nodes_that_are_none(cluster: Cluster, namespace: str) -> None:
    async with RedisSessionStore.from_url(
        f"redis+cluster://127.0.0.1:1,{cluster.nodes[0].name}", namespace=namespace
    ) as store:
        assert await store.get_session("k") is None
    async with RedisSessionStore.from_url("redis+cluster://127.0.0.1:1,127.0.0.1:2", namespace=namespace) as store:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:[12]"):
            await store.get_session("k")
        with pytest.raises(UnavailableError):
            await store.health()


@pytest.mark.asyncio
async def test_replicas_are_read_only_if_asked_for(cluster: Cluster, namespace: str) -> None:
    def reads() -> int:
        """Return how many scripts and GETs the replicas have run."""
        total = 0
        for node in cluster.nodes:
            with node.client(decode_responses=True) as client:
                if node.role() == "slave":
                    stats = client.info("commandstats")
                    total += sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "get"))
        return total

    async def look(stale_reads: bool) -> int:  # noqa: FBT001  # the option itself
        url = cluster.url
        async with RedisSessionStore.from_url(url, namespace=namespace, stale_reads=stale_reads) as store:
            before = reads()
            for _ in range(5):
                assert await store.get_session("k") == data()
                assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
                assert (await store.find_wait(ALICE, "alice", CHAT)) is not None
                assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
            await store.touch("k", 600)
            return reads() - before

    async with RedisSessionStore.from_url(cluster.url, namespace=namespace) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=600)
        for client in cluster.clients():
            with client:
                client.wait(1, 5000)
    assert await look(stale_reads=False) == 0
    assert await look(stale_reads=True) >= 15


_SAID = re.findall(r"A Redis user needs[^.]*[.]", READMES["greentic_session/backends/redis/README.md"])
RIGHTS = re.findall(r"[+]@?[a-z|]+", " ".join(_SAID))
"""What the README says that a user needs, for all that the Redis stores do."""


@pytest.mark.asyncio
async def test_a_user_needs_no_more_than_the_readme_says(cluster: Cluster, namespace: str) -> None:
    for node in cluster.nodes:
        with node.client() as client:
            client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pass", f"~{namespace}:*", *RIGHTS)
    url = cluster.url.replace("://", "://limited:pass@")
    async with RedisSessionStore.from_url(url, namespace=namespace, stale_reads=True, timeout=TIMEOUT) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=600)
        source = cluster.owner(slot_of(f"{namespace}:owner:k"))
        target = next(node for node in cluster.primaries if node is not source)

        async def look() -> None:  # while the pointer's slot is half way: once all has moved Redis answers ASK
            async with RedisSessionStore.from_url(url, namespace=namespace, timeout=TIMEOUT) as other:
                assert await other.get_session("k") == data()

        await asyncio.to_thread(cluster.move, slot_of(f"{namespace}:owner:k"), target, lambda: asyncio.run(look()))
        assert (await store.find_wait(ALICE, "alice", CHAT)) is not None
        await store.health()
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.complete()


# -- while it changes


@pytest.mark.asyncio
async def test_slots_move_under_load(
    cluster: Cluster, store: RedisSessionStore, raw: redis.RedisCluster, namespace: str
) -> None:
    """There and back, all slots that the traffic is in; nothing fails, and nothing is lost."""
    slots = [slot_of(f"dev:acme:ops:u{number}") for number in range(5)]
    async with Traffic(store, 12, timeout=TIMEOUT) as traffic:
        for _ in range(2):
            for slot in slots:
                there = cluster.primaries.index(cluster.owner(slot))
                target = cluster.primaries[(there + 1) % 3]
                await asyncio.to_thread(cluster.move, slot, target)
                await traffic.more(10)
    assert traffic.failures == 0
    check(raw, namespace)


@pytest.mark.asyncio
@pytest.mark.parametrize("moved", [0, 5, 11], ids=["none is there", "some are there", "all are there"])
async def test_while_a_slot_is_half_way_its_users_wait_and_nothing_is_half_done(
    cluster: Cluster, namespace: str, raw: redis.RedisCluster, moved: int
) -> None:
    alice = ctx("alice", tenant=f"t-{moved}")
    async with (
        RedisSessionStore.from_url(cluster.url, namespace=namespace) as store,
        RedisSessionStore.from_url(cluster.url, namespace=namespace, timeout=0.3) as hasty,
    ):
        for number in range(3):
            key = f"k{number}"
            await store.register_wait(alice, "alice", ReplyScope(f"c{number}"), key, data(alice), ttl=600)
        slot = slot_of(f"dev:t-{moved}:ops:alice")
        source = cluster.owner(slot)
        target = next(node for node in cluster.primaries if node is not source)
        before = Spread(raw, namespace).together()

        def stop() -> None:
            raise InterruptedError

        steps = iter([*[lambda: None] * moved, stop])
        with suppress(InterruptedError):
            cluster.move(slot, target, lambda: next(steps)())  # noqa: PLW0108  # another one each time
        for call in (
            lambda: hasty.register_wait(alice, "alice", CHAT, "new", data(alice)),
            lambda: hasty.update_session("k0", data(alice, snapshot="changed")),
            lambda: hasty.remove_session("k1"),
            lambda: hasty.find_wait(alice, "alice", ReplyScope("c0")),
        ):
            with pytest.raises((UnavailableError, OperationTimeoutError)):
                await call()
        cluster.move(slot, target)
        after = Spread(raw, namespace).together()
        assert {key: entry.value for key, entry in after.items()} == {key: entry.value for key, entry in before.items()}
        check(raw, namespace)
        assert (await store.find_wait(alice, "alice", ReplyScope("c0"))) is not None
        assert await store.list_waits_for_user(alice, "alice") == ["k0", "k1", "k2"]
        await store.remove_session("k1")


@pytest.fixture
def broken() -> Iterator[Cluster]:
    """A cluster of the test's own, to be broken."""
    with Cluster() as cluster:
        yield cluster


def is_primary(node: Node) -> bool:
    return node.role() == "master"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_manual_failover_loses_nothing(broken: Cluster) -> None:
    async with (
        RedisSessionStore.from_url(broken.url, timeout=TIMEOUT) as store,
        Traffic(store, 20, timeout=TIMEOUT) as traffic,
    ):
        for replica in broken.nodes[3:]:
            replica.cluster("FAILOVER")
            await asyncio.to_thread(broken.wait_until, functools.partial(is_primary, replica))
            await traffic.more(200)
    broken.wait_until_well()
    with plain_client(broken.url) as raw:
        check(raw, "greentic:session")


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_primary_is_killed_under_load(broken: Cluster) -> None:
    """Acknowledged and replicated writes survive, all calls end in time, and the store goes on."""
    async with RedisSessionStore.from_url(broken.url, timeout=TIMEOUT) as store:
        people = [f"kept{number}" for number in range(60)]
        for user in people:
            await store.register_wait(ctx(user), user, SCOPE, user, data(ctx(user), snapshot=user), ttl=3600)
        for client in broken.clients():
            with client:
                assert client.wait(1, 5000) == 1
        async with Traffic(store, 20, timeout=TIMEOUT, exact=False) as traffic:
            broken.nodes[0].kill()
            successor = broken.nodes[3]
            await asyncio.to_thread(broken.wait_until, lambda: successor.role() == "master")
            await traffic.more(400)
        for user in people:
            found = await store.find_wait(ctx(user), user, SCOPE)
            assert found is not None
            assert found.data.context_json == user
        await store.health()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_silent_primary_costs_no_more_than_the_timeout(broken: Cluster) -> None:
    async with (
        RedisSessionStore.from_url(broken.url, timeout=1.0) as store,
        Traffic(store, 10, timeout=1.0, exact=False) as traffic,
    ):
        broken.nodes[1].signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(broken.wait_until, lambda: broken.nodes[4].role() == "master")
            failures = traffic.failures
            await traffic.more(200)
            assert failures > 0
        finally:
            broken.nodes[1].signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_node_is_added_and_another_one_leaves(broken: Cluster) -> None:
    newcomer = make_node()
    async with RedisSessionStore.from_url(broken.url, timeout=TIMEOUT) as store:
        try:
            async with Traffic(store, 12, timeout=TIMEOUT) as traffic:
                newcomer.start()
                newcomer.cluster("MEET", "127.0.0.1", broken.nodes[0].port)
                broken.nodes.append(newcomer)
                await asyncio.to_thread(
                    broken.wait_until, lambda: "cluster_known_nodes:7" in str(broken.nodes[2].cluster("INFO"))
                )
                await asyncio.to_thread(broken.wait_until_well)
                for number in range(12):
                    slot = slot_of(f"dev:acme:ops:u{number}")
                    await asyncio.to_thread(broken.move, slot, newcomer)
                await traffic.more(200)
            assert traffic.failures == 0
            assert all(link._dialer.node != "" for link in await store._backend.client.servers())  # type: ignore[attr-defined]  # the Redis backend's
        finally:
            newcomer.close()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_tens_of_thousands_of_users_are_spread_evenly(broken: Cluster) -> None:
    async with RedisSessionStore.from_url(broken.url, timeout=60) as store:

        async def park(start: int) -> None:
            for number in range(start, 40_000, 100):
                one = ctx(f"user-{number}")
                await store.register_wait(one, f"user-{number}", SCOPE, f"key-{number}", data(one))

        await asyncio.gather(*map(park, range(100)))
        sizes = [client.dbsize() for client in broken.clients()]
        assert max(sizes) < 1.1 * min(sizes)
        assert sum(sizes) == 40_000 * 5  # session, record, scope, set, owner pointer
        assert sum([1 async for _ in store.iter_sessions(ctx(None, team=None))]) == 40_000
