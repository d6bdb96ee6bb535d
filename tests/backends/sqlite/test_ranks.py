"""Tenants take turns in SQLite, where a rank may stand too early, and never stands too late."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from races.threads import wait_until
from sqlite_raw import execute
from timers import Timer

from greentic_session import Claim, InMemorySessionStore, ReplyScope, SessionStore, SQLiteSessionStore
from greentic_session.backends.sqlite import ranks
from greentic_session.reply import OnTimeout
from greentic_session.testing._sessions.samples import CHAT, DAY, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

LEASE = 30.0
HOUR = 3600.0
ON_TIMEOUT: list[OnTimeout] = ["resume", "forget"]


async def park(
    store: SessionStore, tenant: str, key: str, scope: ReplyScope = CHAT, ttl: float = DAY, on_timeout: OnTimeout = "forget"
) -> None:
    who = ctx(tenant=tenant)
    await store.register_wait(who, "alice", scope, key, data(who), ttl, on_timeout=on_timeout)


async def answer(store: SessionStore, tenant: str, scope: ReplyScope = CHAT, **options: Any) -> Claim | None:
    return (await store.deliver(ctx(tenant=tenant), "alice", scope, "yes", lease=LEASE, **options)).claim


async def settle(store: SessionStore, tenant: str, scope: ReplyScope = CHAT) -> None:
    """Deliver an answer and complete the wait."""
    claim = await answer(store, tenant, scope)
    assert claim is not None
    await claim.complete()


async def come_and_go(store: SessionStore, tenant: str) -> None:
    """Let a tenant have something due, and have it settled: its rank is left behind."""
    await park(store, tenant, f"k-{tenant}")
    await settle(store, tenant)


async def heard(store: SessionStore, limit: int = 99) -> list[str]:
    """Return the keys of what is ready."""
    return [claim.key for claim in await store.claim_ready(limit=limit)]


def ranked(path: Path, timer: Timer) -> dict[str, float]:
    """Return in how many seconds each tenant's turn is, by the index."""
    return {tenant: round(rank - timer(), 3) for tenant, rank in execute(path, "SELECT tenant, rank FROM tenants")}


async def test_a_verdict_leaves_the_rank_and_who_meets_it_sets_it_right(
    store: SQLiteSessionStore, path: Path, timer: Timer
) -> None:
    await park(store, "idle", "k")
    await park(store, "later", "l")
    await park(store, "later", "resumed", OTHER, HOUR, on_timeout="resume")
    for tenant in ("idle", "later"):
        await settle(store, tenant)
    assert ranked(path, timer) == {"idle": LEASE, "later": LEASE}
    timer.advance(LEASE)
    assert await heard(store) == []
    assert ranked(path, timer) == {"later": HOUR - LEASE}
    timer.advance(HOUR - LEASE - 0.01)
    assert await heard(store) == []
    timer.advance(0.01)
    assert await heard(store) == ["resumed"]


async def test_a_poll_is_one_read_again_once_a_rank_was_set_right(
    store: SQLiteSessionStore, path: Path, timer: Timer
) -> None:
    await park(store, "idle", "k")
    await settle(store, "idle")
    timer.advance(LEASE)
    assert await heard(store) == []
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    assert await heard(store) == []  # it waits for no lock
    lock.close()


async def test_what_is_ready_is_found_behind_ranks_that_stand_too_early(
    store: SQLiteSessionStore, path: Path, timer: Timer
) -> None:
    """More of them than one search sets right."""
    for number in range(120):
        await come_and_go(store, f"t{number}")
    timer.advance(LEASE)
    await park(store, "ready", "k")
    await answer(store, "ready", claim=False)
    assert await heard(store, 1) == ["k"]
    assert ranked(path, timer) == {"ready": LEASE}


async def test_ranks_that_would_soon_be_met_too_early_are_set_right_together(
    store: SQLiteSessionStore, path: Path, timer: Timer
) -> None:
    """Each would take the lock otherwise, and sync the disk."""
    for number in range(10):
        await come_and_go(store, f"t{number}")
        timer.advance(1)
    timer.advance(LEASE - 10)
    assert await heard(store) == []
    assert ranked(path, timer) == {}


async def test_a_rank_comes_forward_for_what_is_due_earlier(store: SQLiteSessionStore, path: Path, timer: Timer) -> None:
    await park(store, "acme", "resumed", OTHER, HOUR, on_timeout="resume")
    assert ranked(path, timer) == {"acme": HOUR}
    await park(store, "acme", "k")
    claim = await answer(store, "acme")
    assert claim is not None
    assert ranked(path, timer) == {"acme": LEASE}
    timer.advance(1)
    await claim.release()
    assert ranked(path, timer) == {"acme": 0.0}
    assert await heard(store) == ["k"]


async def test_a_lease_that_ends_is_heard_of_in_time(store: SQLiteSessionStore, timer: Timer) -> None:
    """The claim is the tenant's second one, and its rank still that of the first."""
    await park(store, "acme", "k")
    await park(store, "acme", "l", OTHER)
    await settle(store, "acme")
    timer.advance(10)
    assert await answer(store, "acme", OTHER) is not None
    timer.advance(LEASE - 0.01)
    assert await heard(store) == []
    timer.advance(0.01)
    assert await heard(store) == ["l"]


@pytest.mark.parametrize("waits", [0, 1])
async def test_an_answer_is_heard_where_the_clock_was_set_back(
    store: SQLiteSessionStore, path: Path, timer: Timer, waits: int
) -> None:
    """The tenant's last turn is in the future now, and its rank would be, too."""
    for number in range(waits):
        await park(store, "acme", f"w{number}", OTHER, DAY, on_timeout="resume")
    await park(store, "acme", "k")
    await answer(store, "acme", claim=False)
    async with SQLiteSessionStore.open(path, timer=timer, durability="process") as runner:
        [claim] = await runner.claim_ready()
        await claim.complete()
    timer.advance(-HOUR)
    await park(store, "acme", "l")
    await answer(store, "acme", claim=False)
    assert await heard(store) == ["l"]


async def test_a_lost_rank_does_not_keep_a_tenant_from_its_own_runner(store: SQLiteSessionStore, path: Path) -> None:
    await park(store, "acme", "k")
    await answer(store, "acme", claim=False)
    execute(path, "DELETE FROM tenants")  # somebody else's doing
    assert [claim.key for claim in await store.claim_ready(ctx(None, tenant="acme"))] == ["k"]
    assert list(execute(path, "SELECT tenant FROM tenants")) == [("acme",)]


async def test_upkeep_frees_the_ranks_of_tenants_that_have_nothing(
    path: Path, timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greentic_session._sqlite.worker._FIRST_UPKEEP_S", 0.0)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._FREED_ROWS", 3)  # so that it takes many steps
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._FREEING_PAUSE_S", 0.001)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._SHORTEST_SLEEP_S", 0.001)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._LONGEST_SLEEP_S", 0.001)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._TENANTS_EVERY_S", 0.0)
    async with SQLiteSessionStore.open(path, timer=timer, durability="process") as store:
        for number in range(10):
            await park(store, f"busy{number}", "b" + str(number))
            await answer(store, f"busy{number}", claim=False)
        for number in range(10):
            await come_and_go(store, f"idle{number}")
        left = {f"busy{number}": 0.0 for number in range(10)}
        await anyio.to_thread.run_sync(wait_until, lambda: ranked(path, timer) == left)


async def test_a_purged_tenant_is_named_nowhere(store: SQLiteSessionStore, path: Path, timer: Timer) -> None:
    for tenant in ("acme", "other"):
        await park(store, tenant, tenant)
        await answer(store, tenant, claim=False)
    assert await store.purge(ctx(None, tenant="acme", team=None)) == 1
    assert ranked(path, timer) == {"other": 0.0}


async def test_freeing_looks_at_so_many_tenants_and_goes_on_behind_them(store: SQLiteSessionStore, path: Path) -> None:
    for number in range(5):
        await park(store, f"t{number}", f"k{number}")
        if number in {1, 4}:
            await answer(store, f"t{number}", claim=False)
        else:
            await settle(store, f"t{number}")
    with closing(sqlite3.connect(path)) as connection:
        first, second, third, fourth, _ = [id for (id,) in connection.execute("SELECT id FROM tenants ORDER BY id")]
        found = list[tuple[int, list[str]]]()
        for after in (0, second, fourth):
            goes_on = ranks.free_idle(connection, after, 2)
            left = connection.execute("SELECT tenant FROM tenants ORDER BY id").fetchall()
            found.append((goes_on, [tenant for (tenant,) in left]))
    assert first < second < third < fourth
    assert found == [(second, ["t1", "t2", "t3", "t4"]), (fourth, ["t1", "t4"]), (0, ["t1", "t4"])]


# -- histories


class _Twins:
    """A store in SQLite and one in memory, whose index has other rules: all is told to both."""

    def __init__(self, file: SQLiteSessionStore, memory: InMemorySessionStore, timer: Timer, chance: random.Random) -> None:
        self.stores: tuple[SessionStore, SessionStore] = (file, memory)
        self.timer = timer
        self.chance = chance
        self.claims: list[tuple[Claim, Claim]] = []

    def keep(self, one: Claim | None, other: Claim | None) -> None:
        assert (one and one.key) == (other and other.key)
        if one is not None and other is not None:
            self.claims.append((one, other))

    async def step(self, number: int) -> None:
        chance = self.chance
        self.timer.advance(chance.choice([0.001, 0.001, 0.01, 1.0, 7.0, 31.0]) + number / 1e6)
        tenant, scope = f"t{chance.randrange(4)}", ReplyScope(f"c{chance.randrange(3)}")
        kind = chance.randrange(6)
        if kind == 0:
            ttl, on_timeout = chance.choice([5, 40, DAY]), chance.choice(ON_TIMEOUT)
            for store in self.stores:
                await park(store, tenant, f"{tenant}{scope.conversation}", scope, ttl, on_timeout)
        elif kind == 1:
            claims = chance.random() < 0.7
            self.keep(*[await answer(store, tenant, scope, claim=claims) for store in self.stores])
        elif kind in {2, 3}:
            found = [await store.claim_ready(lease=LEASE) for store in self.stores]
            assert [claim.key for claim in found[0]] == [claim.key for claim in found[1]]
            self.claims += zip(*found, strict=True)
        elif self.claims:
            verdict = chance.choice(["complete", "complete", "stay", "release", "put off", "none"])
            both = self.claims.pop(chance.randrange(len(self.claims)))
            outcomes = []
            for claim in both:
                try:
                    if verdict == "put off":
                        await claim.release(delay=9)
                    elif verdict != "none":
                        await getattr(claim, verdict)()
                    outcomes.append("done")
                except Exception as error:  # noqa: BLE001  # compared
                    outcomes.append(type(error).__name__)
            assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(100, 300), marks=pytest.mark.slow)], ids=["some", "many"])
async def test_tenants_take_turns_as_they_do_in_memory(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        timer, chance = Timer(), random.Random(seed)
        path = tmp_path / f"{seed}.db"
        async with (
            SQLiteSessionStore.open(path, timer=timer, durability="process") as file,
            InMemorySessionStore(timer=timer) as memory,
        ):
            twins = _Twins(file, memory, timer, chance)
            for number in range(120):
                await twins.step(number)
            inspector = file.backend.inspector()
            assert inspector is not None
            assert (await inspector.examine(lambda _: None)).findings == []
