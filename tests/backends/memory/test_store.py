"""The in-memory store: the contract on asyncio and on trio, and what is this backend's own."""

import gc
import threading
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from races.threads import in_threads, wait_until, wait_until_ended
from races.turns import counted_turns
from runs.machines import machine_tests
from short_ways.inboxes import all_inboxes, inbox_at
from time_passing import OnATimer, each_test_of, run_on_trio
from timers import Timer

from greentic_session import (
    ClaimedError,
    ConflictError,
    InMemorySessionStore,
    InvalidInputError,
    ReplyScope,
    SessionStore,
    TenantCtx,
    UnavailableError,
)
from greentic_session.backend import Creation, Parking
from greentic_session.ids import SessionKey
from greentic_session.testing import (
    ReplyContract,
    ReplyStoreMachine,
    SessionStoreContract,
    session_store_machine,
)
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data
from greentic_session.transitions import AtOnce


class TestContract(OnATimer, SessionStoreContract, ReplyContract):
    make = InMemorySessionStore


@each_test_of(TestContract)
def test_contract_on_trio(name: str) -> None:
    run_on_trio(TestContract(), name, InMemorySessionStore)


class Checked(ReplyStoreMachine):
    """The contract's model, and after every step a look inside.

    The indices agree, the short cuts tell the truth.
    """

    async def check_everything(self) -> None:
        await super().check_everything()
        check_indices(self.store)

    async def check_lookups(self, caller: TenantCtx, user: str, scope: ReplyScope) -> None:
        await super().check_lookups(caller, user, scope)
        assert await self.store.find_wait(caller, user, scope) == await SessionStore.find_wait(
            self.store, caller, user, scope
        )


def check_indices(store: InMemorySessionStore) -> None:
    """Check that every index entry leads to a session that knows of it, and the other way round."""
    memory = store._memory
    entries = {key: entry for shard in memory.shards for key, entry in shard.items()}
    waiting = {(owner, place): entry for owner, waits in memory.waits.items() for place, entry in waits.items()}
    assert all(memory.waits.values()), "an empty index was left behind"
    check_replies(store, entries)
    for key, entry in entries.items():
        assert entry.wait.key == key
        assert entry.end > 0
        if entry.wait.scope is not None:
            assert entry.owner is not None
            assert waiting[entry.owner, entry.wait.scope.normalized()] is entry
        if entry.pointer is not None:
            assert memory.latest[entry.pointer] is entry
        assert (entry.bucket is None) == (entry.end == float("inf"))
        assert entry.bucket is None or entry in entry.bucket
    for (owner, place), entry in waiting.items():
        assert entries[entry.wait.key] is entry
        assert entry.owner == owner
        assert entry.wait.scope is not None
        assert entry.wait.scope.normalized() == place
    for owner, entry in memory.latest.items():
        assert entries[entry.wait.key] is entry
        assert entry.pointer == owner
    filed = [item for bucket in memory._wheel._buckets.values() for item in bucket]
    deliveries = [known for names in memory.deliveries.values() for known in names.values()]
    items: list[Any] = [*entries.values(), *all_inboxes(memory), *deliveries]
    assert {id(item) for item in filed} == {id(item) for item in items if item.bucket is not None}


def check_replies(store: InMemorySessionStore, entries: dict[str, Any]) -> None:
    """Check the same of inboxes, deliveries, and what is ready."""
    memory = store._memory
    assert all(memory.loose.values())
    assert all(memory.deliveries.values())
    kept = {id(inbox) for inboxes in memory.kept.values() for inbox in inboxes}
    for inbox in all_inboxes(memory):
        wait = memory.waits.get(inbox.owner, {}).get(inbox.scope)
        assert inbox.replies
        assert (wait is None) == (id(inbox) in kept) == (inbox.bucket is not None)
        assert wait is None or wait.lying is inbox or isinstance(wait.lying, AtOnce)
        assert memory.loose.get(inbox.owner, {}).get(inbox.scope) is (inbox if wait is None else None)
    for owner, inboxes in memory.loose.items():
        for scope, inbox in inboxes.items():
            assert (inbox.owner, inbox.scope) == (owner, scope)
            assert not any(inbox_at(wait) is inbox for wait in entries.values())
    for owner, deliveries in memory.deliveries.items():
        for name, known in deliveries.items():
            assert (known.owner, known.name) == (owner, name)
            assert (known.inbox is None) == (known.bucket is not None)
            assert known.inbox is None or known.reply_id in known.inbox.replies
    for entry in entries.values():
        lies = inbox_at(entry)
        assert entry.count == (0 if lies is None else len(lies.replies))
        if lies is not None:
            assert entry.wait.scope is not None
            assert (lies.owner, lies.scope) == (entry.owner, entry.wait.scope.normalized())
        if isinstance(entry.lying, AtOnce):
            assert (entry.lying.delivering.token, entry.lying.lease_end) == (entry.token, entry.lease_end)
            assert entry.lying is entry.turn
            assert entry.elsewhere == ()
    queued: dict[int, Any] = {}
    for (env, tenant), queues in memory.ready._queues.items():
        assert (env, tenant) in memory.ready._tenants
        for team, waits in queues.waits.items():
            assert team in queues.teams
            queued |= {id(entry): (rank, env, tenant, team) for rank, _, entry in waits._heap}
            assert all(waits._heap[(at - 1) >> 1][:2] <= waits._heap[at][:2] for at in range(1, len(waits)))
            assert waits._at == {item[2]: at for at, item in enumerate(waits._heap)}
    ready = memory.ready
    ends = ready._lent | ready.fresh
    lent = {id(entry): (end, *entry.owner[:3]) for entry, end in ends.items() if entry.owner is not None}
    assert not ready._lent.keys() & ready.fresh.keys()
    due = {id(entry): (entry.due, *entry.owner[:3]) for entry in entries.values() if entry.due != float("inf")}
    assert queued | lent == due
    assert not queued.keys() & lent.keys()
    assert {(end, id(entry)) for entry, end in ready._lent.items()} <= {(end, id(entry)) for end, _, entry in ready._ends}
    assert len(ready._ends) <= 2 * len(lent) + 64


CLOCK = Timer()
Machine = session_store_machine(partial(InMemorySessionStore, timer=CLOCK), CLOCK.advance, base=Checked)
TestMachine, TestMachineAtLength = machine_tests(Machine, 25, 120, steps=30)


def held(store: InMemorySessionStore) -> int:
    """Return how many entries the store holds, expired ones included."""
    return sum(len(shard) for shard in store._memory.shards)


@pytest.mark.asyncio
async def test_what_expired_is_freed_by_the_writes_that_follow() -> None:
    clock = Timer()
    store = InMemorySessionStore(timer=clock)
    for index in range(1000):
        await store.register_wait(ALICE, "alice", ReplyScope(f"c{index}"), f"k{index}", data(), ttl=60)
        await store.create_session(ALICE, data(), key=f"s{index}", ttl=3600)
    clock.advance(62)
    for _ in range(100):
        await store.create_session(ALICE, data())
    assert held(store) == 1000 + 100
    clock.advance(3600 * 1.02)
    for _ in range(100):
        await store.create_session(ALICE, data())
    assert held(store) == 200
    check_indices(store)


@pytest.mark.asyncio
async def test_lifetimes_that_change_leave_nothing_behind() -> None:
    clock = Timer()
    store = InMemorySessionStore(timer=clock)
    await store.create_session(ALICE, data(), key="k")
    for round_ in range(2000):
        await store.touch("k", 1 + round_ * 37 % 100_000)
        clock.advance(0.5)
    wheel = store._memory._wheel
    assert sum(len(bucket) for bucket in wheel._buckets.values()) == 1
    assert len(wheel._buckets) < 1000
    for index in range(2000):
        key = await store.create_session(ALICE, data(), ttl=7 * 86_400)
        clock.advance(0.01 * (index % 7))
        await store.remove_session(key)
    assert sum(len(bucket) for bucket in wheel._buckets.values()) == 1
    check_indices(store)


@pytest.mark.asyncio
async def test_a_delivery_that_comes_again_when_it_is_forgotten_leaves_nothing_behind() -> None:
    timer = Timer(0.5)  # what ends is swept at the next full second
    store = InMemorySessionStore(timer=timer, dedupe_window=100)
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    for _ in range(3):
        delivery = await store.deliver(ALICE, "alice", CHAT, "yes", delivery_id="d")
        assert delivery.claim is not None
        await delivery.claim.stay()
        timer.advance(100)
        check_indices(store)


def test_an_idle_store_frees_what_expires() -> None:
    store = InMemorySessionStore()

    async def fill() -> None:
        await store.create_session(ALICE, data(), key="stays", ttl=3600)
        for index in range(3000):
            await store.register_wait(ALICE, "alice", ReplyScope(f"c{index}"), f"k{index}", data(), ttl=0.2)

    anyio.run(fill)
    wait_until(lambda: held(store) == 1)
    check_indices(store)
    assert list(store._memory.waits) == []
    anyio.run(store.aclose)
    wait_until_ended(store._memory._sweeper)


def test_the_idle_sweeper_does_not_keep_a_forgotten_store_alive() -> None:
    store = InMemorySessionStore()
    anyio.run(partial(store.create_session, ALICE, data(), ttl=3600))
    sweeper = store._memory._sweeper
    assert sweeper is not None
    thread = sweeper._thread
    assert thread is not None
    forgotten = weakref.ref(store._memory)
    del store

    def is_gone() -> bool:
        gc.collect()
        return forgotten() is None and not thread.is_alive()

    wait_until(is_gone)


@pytest.mark.asyncio
async def test_without_a_thread_to_be_had_the_store_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    async with InMemorySessionStore() as store:
        await store.create_session(ALICE, data(), key="k", ttl=0.01)
        await anyio.sleep(0.06)
        assert await store.get_session("k") is None
        await store.create_session(ALICE, data(), key="l", ttl=3600)
        assert held(store) == 1


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("rounds", [100, pytest.param(5000, marks=pytest.mark.slow)])
def test_of_many_threads_one_wins_the_claim(rounds: int) -> None:
    store = InMemorySessionStore()
    won = [0] * rounds

    async def run(_: int) -> None:
        for index in range(rounds):
            scope = ReplyScope(f"c{index}")
            try:
                if await store.find_wait(ALICE, "alice", scope) is None:
                    await store.register_wait(ALICE, "alice", scope, f"k{index}", data(), on_conflict="fail")
                claim = await store.claim_wait(ALICE, "alice", scope)
                assert claim is not None
                won[index] += 1
            except ClaimedError:
                pass

    in_threads(4, run)
    assert won == [1] * rounds
    check_indices(store)


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("rounds", [100, pytest.param(5000, marks=pytest.mark.slow)])
def test_versioned_updates_from_many_threads_lose_nothing(rounds: int) -> None:
    store = InMemorySessionStore()
    anyio.run(lambda: store.create_session(ALICE, data(snapshot="0"), key="k"))

    async def run(_: int) -> None:
        done = 0
        while done < rounds:
            found = await store.get_versioned("k")
            assert found is not None
            try:
                total = int(found.data.context_json) + 1
                await store.update_session("k", data(snapshot=str(total)), if_version=found.version)
                done += 1
            except ConflictError:
                pass

    in_threads(4, run)
    final = anyio.run(store.get_session, "k")
    assert final is not None
    assert final.context_json == str(4 * rounds)


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("rounds", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_readers_without_the_lock_see_nothing_half_done(rounds: int) -> None:
    """One thread moves a wait between two places; readers find the data of the place."""
    store = InMemorySessionStore()
    places = [ReplyScope("c0"), ReplyScope("c1")]
    over = threading.Event()

    async def run(number: int) -> None:
        if number == 0:
            for index in range(rounds):
                at = index % 2
                await store.register_wait(ALICE, "alice", places[at], f"k{index % 3}", data(snapshot=str(at)))
                if index % 5 == 0:
                    await store.remove_session(f"k{index % 3}")
            over.set()
            return
        while not over.is_set():
            for at, place in enumerate(places):
                found = await store.find_wait(ALICE, "alice", place)
                assert found is None or (found.data.context_json == str(at) and found.scope == place)

    in_threads(3, run)
    check_indices(store)


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("rounds", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_everything_at_once_leaves_the_indices_in_order(rounds: int) -> None:
    store = InMemorySessionStore()

    async def run(number: int) -> None:
        owner = ctx("alice" if number % 2 else "bob")
        user = owner.user_id or ""
        for index in range(rounds):
            key, scope = f"{user}{index % 5}", ReplyScope(f"c{index % 3}")
            await store.register_wait(owner, user, scope, key, data(owner), ttl=0.001 * (1 + index % 4))
            claim = None
            try:
                claim = await store.claim_wait(owner, user, scope, lease=0.005)
            except ClaimedError:
                pass
            try:
                if claim is not None and index % 2:
                    await claim.complete()
                elif claim is not None:
                    await claim.park(ReplyScope("elsewhere"), data(owner))
                await store.remove_session(key)
                await store.create_session(owner, data(owner), key=key)
            except (ConflictError, LookupError):
                pass
            await store.clear_wait(owner, user, scope)

    in_threads(4, run)
    check_indices(store)


@pytest.mark.asyncio
async def test_the_short_cuts_refuse_what_the_operation_refuses() -> None:
    """The fast path accepts neither an object like a context nor a legacy team that is reserved."""
    store = InMemorySessionStore()
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    dash = TenantCtx(
        env="dev", tenant="acme", tenant_id="acme", team="-", team_id="ops", user="alice", user_id="alice", attempt=0
    )
    lookalike: Any = SimpleNamespace(env="dev", tenant_id="acme", team="ops", team_id="ops", user_id="alice", user="alice")
    with pytest.raises(InvalidInputError, match="reserved"):
        await store.find_wait(dash, "alice", CHAT)
    with pytest.raises(InvalidInputError, match="reserved"):
        await store.get_session("k", ctx=dash)
    with pytest.raises(TypeError):
        await store.find_wait(lookalike, "alice", CHAT)
    with pytest.raises(TypeError):
        await store.get_session("k", ctx=lookalike)


@pytest.mark.asyncio
async def test_a_walk_of_a_store_that_is_closed_meanwhile() -> None:
    store = InMemorySessionStore()
    await store.create_session(ALICE, data(), key="k")
    await store.create_session(ALICE, data(), key="l")
    begun, waiting = store.iter_sessions(ALICE), store.iter_sessions(ALICE)
    await anext(begun)
    await store.aclose()
    for walk in (begun, waiting):
        with pytest.raises(UnavailableError):
            _ = [wait async for wait in walk]


@pytest.mark.asyncio
async def test_nothing_is_written_into_a_closed_store() -> None:
    """A writer in another thread may have passed the first check when the store is closed."""
    store = InMemorySessionStore()
    await store.aclose()
    for call in (
        lambda: store._memory.create(Creation(SessionKey("k"), data(), None, None)),
        lambda: store._memory.park(Parking(("dev", "acme", "ops", "alice"), CHAT, SessionKey("k"), data(), None)),
    ):
        with pytest.raises(UnavailableError):
            await call()
    assert held(store) == 0


def test_one_store_serves_one_loop_after_another() -> None:
    store = InMemorySessionStore()
    anyio.run(lambda: store.register_wait(ALICE, "alice", CHAT, "k", data()))
    assert anyio.run(lambda: store.list_waits_for_user(ALICE, "alice")) == ["k"]
    assert anyio.run(lambda: store.list_waits_for_user(ALICE, "alice"), backend="trio") == ["k"]


@pytest.mark.asyncio
async def test_administration_lets_others_run() -> None:
    store = InMemorySessionStore()
    for index in range(3000):
        await store.create_session(ALICE, data(), key=f"k{index}")
    async with counted_turns() as turns:
        assert len([wait async for wait in store.iter_sessions(ALICE)]) == 3000
        walked = turns.count
        assert await store.purge(ALICE) == 3000
        purged = turns.count - walked
    assert walked >= 200
    assert purged >= 200
