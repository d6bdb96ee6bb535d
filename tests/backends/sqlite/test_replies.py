"""Replies in SQLite: the file's version, what they cost, other stores on it, expiry."""

# calls that block the event loop are fine in a test

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from races.threads import wait_until
from sqlite_raw import execute
from timers import Timer

from greentic_session import (
    Claim,
    ReplyScope,
    SQLiteSessionStore,
    Start,
)
from greentic_session._sqlite.database import Database
from greentic_session._sqlite.schema import SchemaPart
from greentic_session.admin import Examination
from greentic_session.backends.sqlite.inboxes import to_complete
from greentic_session.backends.sqlite.schema import SESSIONS
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.errors import InternalError
from greentic_session.limits import ReplyLimits
from greentic_session.store import SessionStore
from greentic_session.testing import later
from greentic_session.testing._sessions.calls import answer, beside, bodies, claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

TABLES = ("sessions", "turns", "tenants", "replies", "deliveries")


@pytest.fixture
def timer() -> Timer:
    return Timer(time.time())


def counts(path: Path) -> dict[str, int]:
    """Return how many rows there are."""
    return {table: execute(path, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def examine(store: SessionStore) -> Examination:
    """Examine the file, as doctor does."""
    inspector = store.backend.inspector()
    assert inspector is not None
    return await inspector.examine(lambda _: None)


# -- the version of the file


def in_version_1(path: Path) -> None:
    """Make a file as a program of version 1 has left it."""
    first = SchemaPart("sessions", 0, SESSIONS.steps[:1])

    async def run() -> None:
        database = Database(path, [first])
        for number, end in enumerate((9e999, 9e999, time.time() + 3600)):
            values = (f"k{number}", end, data(node=f"k{number}").to_json())
            await database.write(
                lambda c, values=values: c.execute(  # type: ignore[misc]  # mypy infers no default
                    "INSERT INTO sessions (key, env, tenant, team, user, end, token, lease_end, text) "
                    "VALUES (?, 'dev', 'acme', 'ops', 'alice', ?, '--------------------------------', 0.5, ?)",
                    values,
                )
            )
        await database.aclose()

    anyio.run(run)


async def test_a_file_of_version_1_is_upgraded(path: Path) -> None:
    await anyio.to_thread.run_sync(in_version_1, path)
    assert execute(path, "PRAGMA user_version") == [(1,)]
    async with SQLiteSessionStore.open(path) as store:
        assert [wait.key async for wait in store.iter_sessions(ALICE)] == ["k0", "k1", "k2"]
        assert isinstance(await store.remaining_ttl("k2"), float)
        assert await store.register_wait(ALICE, "alice", CHAT, "k1", data(node="parked")) is None
        claim = await claim_answer(store)
        assert (claim.key, bodies(claim.replies)) == ("k1", ["yes"])
        assert (await examine(store)).findings == []
    assert execute(path, "PRAGMA user_version") == [(2,)]


async def test_an_upgrade_that_fails_half_way_has_not_happened(path: Path) -> None:
    await anyio.to_thread.run_sync(in_version_1, path)
    execute(path, "CREATE TABLE replies (something TEXT)")  # somebody's own: it is in the way
    before = execute(path, "SELECT name FROM sqlite_master ORDER BY name")
    async with SQLiteSessionStore.open(path) as store:
        with pytest.raises(InternalError):
            await store.get_session("k0")
    assert execute(path, "PRAGMA user_version") == [(1,)]
    assert execute(path, "SELECT name FROM sqlite_master ORDER BY name") == before
    execute(path, "DROP TABLE replies")
    async with SQLiteSessionStore.open(path) as store:
        assert await store.get_session("k0") == data(node="k0")


# -- what it costs


class Statements:
    """The statements that a store executes: its threads' connections are watched from here on."""

    def __init__(self, store: SQLiteSessionStore) -> None:
        self._database = store.backend.database  # type: ignore[attr-defined]  # SQLite's
        self.seen: list[str] = []

    async def of(self, call: Callable[[], Any]) -> list[str]:
        """Return what a call executes, without what frames a transaction."""
        for run in (self._database.write, self._database.read):
            await run(lambda connection: connection.set_trace_callback(self.seen.append))
        self.seen.clear()
        await call()
        frames = ("BEGIN", "COMMIT", "PRAGMA")
        return [statement for statement in self.seen if not statement.startswith(frames) and " min(" not in statement]


async def test_a_program_that_uses_none_of_it_pays_no_statement_for_it(store: SQLiteSessionStore) -> None:
    """One to look at each row that an operation is about, one to change it: as without replies."""
    statements = Statements(store)
    expected: list[tuple[int, Callable[[], Any]]] = [
        (3, lambda: park(store)),
        (2, lambda: park(store)),
        (1, lambda: store.find_wait(ALICE, "alice", CHAT)),
        (1, lambda: store.remaining_ttl("k")),
        (2, lambda: store.touch("k", DAY)),
        (2, lambda: store.claim_wait(ALICE, "alice", CHAT)),
        (4, lambda: park(store, "l", CHAT)),
        (2, lambda: store.clear_wait(ALICE, "alice", CHAT)),
        (2, lambda: store.remove_session("k")),
        (2, lambda: store.create_session(ALICE.with_user(None), data(ctx(None)), key="s")),
    ]
    for number, (count, call) in enumerate(expected):
        executed = await statements.of(call)
        assert len(executed) == count, (number, executed)
    await park(store)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    assert len(await statements.of(lambda: claim.renew(30))) == 2
    assert len(await statements.of(claim.complete)) == 2


async def test_the_usual_delivery_and_its_verdict_take_four_statements_each(store: SQLiteSessionStore) -> None:
    """One looks at the wait with all that lies there, three change session, turn and reply."""
    await park(store, "first", OTHER)
    await (await claim_answer(store, scope=OTHER)).complete()  # its tenant has a rank from now on
    await park(store)
    statements, claims = Statements(store), list[Claim]()

    async def deliver() -> None:
        claims.append(await claim_answer(store))

    assert len(await statements.of(deliver)) == 4
    assert len(await statements.of(claims[0].complete)) == 4


async def test_a_verdict_on_many_replies_counts_them_once(tmp_path: Path) -> None:
    """Not once for each of them: with a thousand, that would hold the lock for long."""
    steps = list[int]()
    for number in (100, 400):
        path = tmp_path / f"{number}.db"
        async with SQLiteSessionStore.open(path, durability="process", max_replies=number) as store:
            await park(store)
            for _ in range(number):
                await answer(store, claim=False)
            claim = await ready(store)
            assert len(await claim.take(number)) == number - 1
        with closing(sqlite3.connect(path)) as connection:
            connection.set_progress_handler(lambda: steps.append(number), 100)  # noqa: B023  # called in this turn
            found = to_complete(connection, "k")
        assert found is not None
        assert found.held == len(found.letters) == number
    assert steps.count(400) < 6 * steps.count(100)


async def test_an_idle_poll_is_one_read_of_an_index_and_waits_for_no_lock(store: SQLiteSessionStore, path: Path) -> None:
    for number in range(3):
        await park(store, f"k{number}", ReplyScope(f"c{number}"), ttl=3600, on_timeout="resume")
    assert await store.claim_ready() == []
    statements = Statements(store)
    for asker in (None, ctx(None), ctx(None, team=None)):
        executed = await statements.of(lambda asker=asker: store.claim_ready(asker))  # type: ignore[misc]  # as above
        assert len(executed) == 1
        [plan] = execute(path, f"EXPLAIN QUERY PLAN {executed[0]}")
        assert "COVERING INDEX" in plan[3]
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    assert await store.claim_ready() == []
    lock.close()


async def test_no_statement_looks_at_all_rows(store: SQLiteSessionStore, path: Path) -> None:
    statements = Statements(store)
    seen: list[str] = []

    async def run(call: Callable[[], Any]) -> Any:
        result: list[Any] = []

        async def keep() -> None:
            result.append(await call())

        seen.extend(await statements.of(keep))
        return result[0]

    await run(lambda: answer(store, "early", keep_for=DAY))
    await run(lambda: park(store, on_timeout="resume", ttl=60))
    first = await run(lambda: answer(store, delivery_id="d"))
    assert first.claim is not None
    await run(lambda: answer(store, "later", delivery_id="e"))
    await run(first.claim.take)
    await run(first.claim.stay)
    await run(lambda: answer(store, delivery_id="e"))
    await run(lambda: store.inbox(ALICE, "alice", CHAT))
    [claim] = await run(store.claim_ready) or [None]
    assert claim is None
    await later(store, 61)
    for call in (store.claim_ready, lambda: store.claim_ready(ctx(None))):
        [claim] = await run(call)
        await run(claim.release)
    [claim] = await run(store.claim_ready)
    await run(claim.complete)
    await run(lambda: answer(store, start=Start(data(), key="begun"), claim=False))
    await run(lambda: store.remove_session("begun"))
    assert len(seen) > 60
    for statement in set(seen):
        for *_, plan in execute(path, f"EXPLAIN QUERY PLAN {statement}".replace(" Inf", " 9e999").replace("=Inf", "=9e999")):
            looks_at_all = plan.startswith("SCAN") and not plan.startswith(("SCAN CONSTANT", "SCAN (", "SCAN tenants"))
            assert not looks_at_all, (statement, plan)
            assert "TEMP B-TREE" not in plan, (statement, plan)


# -- other stores on the file


async def test_another_stores_reply_is_seen_within_poll(path: Path) -> None:
    async with SQLiteSessionStore.open(path) as mine, SQLiteSessionStore.open(path) as other:
        await park(mine)
        got: list[str] = []

        async def work() -> None:
            async for claim in mine.iter_ready(poll=0.02):
                got.extend(bodies(claim.replies))
                await claim.complete()
                return

        async with beside(work):
            await answer(other, claim=False)
        assert got == ["yes"]


async def test_time_moved_for_a_file(path: Path) -> None:
    """For all stores on it, wrapped ones too; what was told of moments stays."""
    ring = Keyring(EncryptionKey.generate("k"))
    async with SQLiteSessionStore.open(path) as mine, SQLiteSessionStore.open(path) as other:
        sealed = EncryptedSessionStore(mine, ring)
        await park(sealed, ttl=3600, on_timeout="resume")
        await park(sealed, "l", OTHER, ttl=3600)
        accepted = (await answer(sealed, scope=OTHER, claim=False)).reply
        await later(sealed, 3599)
        [claim] = await other.claim_ready(limit=9)  # the reply's
        assert claim.key == "l"
        assert accepted is not None
        assert claim.reply is not None
        assert claim.reply.accepted_at == accepted.accepted_at
        await later(sealed, 2)
        [claim] = await sealed.claim_ready(limit=9)
        assert (claim.key, claim.timed_out, claim.attempt) == ("k", True, 1)
        key = claim.idempotency_key
        await later(sealed, 31)  # its lease
        again = next(one for one in await sealed.claim_ready(limit=9) if one.key == "k")
        assert (again.timed_out, again.attempt, again.idempotency_key) == (True, 2, key)
        assert (await examine(other)).findings == []


# -- what cannot be read


async def test_a_session_that_cannot_be_read_rests(
    store: SQLiteSessionStore, path: Path, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    await park(store)
    await park(store, "fine", OTHER)
    await answer(store, "1", claim=False)
    await answer(store, "2", scope=OTHER, claim=False)
    execute(path, "UPDATE sessions SET text = x'7b7d' WHERE key = 'k'")
    with caplog.at_level(logging.WARNING):
        [claim] = await store.claim_ready(limit=9)
    assert claim.key == "fine"
    await claim.complete()
    assert len(caplog.records) == 1
    assert (await answer(store, "3")).outcome == "queued"
    execute(path, "UPDATE sessions SET text = ? WHERE key = 'k'", data(ctx("bob")).to_json())
    timer.advance(300)
    assert (await answer(store, "4")).outcome == "queued"  # somebody else's text
    execute(path, "UPDATE sessions SET text = ? WHERE key = 'k'", data().to_json())
    timer.advance(299)
    assert await store.claim_ready() == []
    timer.advance(1)
    taken = await ready(store)
    assert (bodies(taken.replies), taken.attempt) == (["1"], 3)


# -- expiry and removal


@pytest.fixture
def kept_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let upkeep come at once, and again and again."""
    monkeypatch.setattr("greentic_session._sqlite.worker._FIRST_UPKEEP_S", 0.0)
    for name in ("_SHORTEST_SLEEP_S", "_LONGEST_SLEEP_S", "_FREEING_PAUSE_S"):
        monkeypatch.setattr(f"greentic_session.backends.sqlite.backend.{name}", 0.001)


@pytest.mark.usefixtures("kept_up")
async def test_what_has_run_out_goes_by_itself(path: Path, timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._FREED_ROWS", 3)  # so that it takes many steps
    options: dict[str, Any] = {"reply_grace": 10, "timeout_grace": 10, "dedupe_window": 20}
    async with SQLiteSessionStore.open(path, timer=timer, durability="process", **options) as store:
        for number in range(10):
            scope = ReplyScope(f"c{number}")
            await park(store, f"k{number}", scope, ttl=5, on_timeout="resume" if number % 2 else "forget")
            await answer(store, scope=scope, delivery_id="d", claim=False)
            await answer(store, scope=ReplyScope(f"early{number}"), delivery_id="d", keep_for=15)
            await park(store, f"plain{number}", ReplyScope(f"p{number}"), ttl=5)
        await park(store, "stays", CHAT)
        await answer(store, claim=False)
        timer.advance(15.5)
        done = {"sessions": 1, "turns": 1, "tenants": 1, "replies": 1, "deliveries": 10}
        await anyio.to_thread.run_sync(wait_until, lambda: counts(path) == done)
        timer.advance(5)  # what expired with a wait is remembered for longer
        await park(store, "stays", CHAT)
        await anyio.to_thread.run_sync(wait_until, lambda: counts(path)["deliveries"] == 0)
        assert (await examine(store)).findings == []


async def test_one_search_frees_so_much_and_no_more(store: SQLiteSessionStore, path: Path, timer: Timer) -> None:
    """Many waits have expired unheard: what is ready behind them is found all the same."""
    for number in range(120):
        await park(store, f"k{number}", ReplyScope(f"c{number}"), ttl=1, on_timeout="resume")
    timer.advance(1 + ReplyLimits().timeout_grace_ms / 1000)
    await park(store)
    await answer(store, claim=False)
    assert (await ready(store)).key == "k"
    assert counts(path)["turns"] == 1


async def test_purging_a_user_leaves_nothing_of_it(store: SQLiteSessionStore, path: Path) -> None:
    bob = ctx("bob")
    for number in range(3):
        scope = ReplyScope(f"c{number}")
        await park(store, f"k{number}", scope)
        await (await claim_answer(store, "settled", scope=scope, delivery_id="s")).stay()
        await answer(store, "left", scope=scope, delivery_id="l", claim=False)
        await answer(store, "early", scope=ReplyScope(f"e{number}"), delivery_id="k", keep_for=DAY)
    await store.register_wait(bob, "bob", CHAT, "b", data(bob))
    await store.deliver(bob, "bob", CHAT, "bobs", delivery_id="b", claim=False)
    assert await store.purge(ctx(None), user="alice") == 3
    assert counts(path) == {"sessions": 1, "turns": 1, "tenants": 1, "replies": 1, "deliveries": 1}
    for table in TABLES:
        assert "alice" not in str(execute(path, f"SELECT * FROM {table}"))
    assert (await examine(store)).findings == []
    assert bodies((await ready(store)).replies) == ["bobs"]


async def test_doctor_tells_what_does_not_agree(store: SQLiteSessionStore, path: Path) -> None:
    await park(store)
    await answer(store, claim=False, delivery_id="d")
    await answer(store, scope=OTHER, keep_for=DAY)
    assert (await examine(store)).findings == []
    damage = {
        "UPDATE replies SET kept = NULL": {"stranded", "unheard"},
        "UPDATE replies SET kept = 9e9": {"stranded"},
        "UPDATE turns SET due = 9e999": {"unheard"},
        "DELETE FROM tenants": {"unheard"},
        "UPDATE tenants SET rank = rank + 1": {"unheard"},
        "DELETE FROM turns": {"unheard"},
        "DELETE FROM deliveries": {"forgotten"},
        "UPDATE deliveries SET reply = 99": {"forgotten"},
        "UPDATE deliveries SET reply = NULL": {"forgotten"},
        "DELETE FROM replies": {"unheard", "forgotten"},
        "DELETE FROM sessions": {"stranded", "unheard"},
    }
    backup = path.with_suffix(".copy")
    for statement, names in damage.items():
        backup.unlink(missing_ok=True)
        execute(path, f"VACUUM INTO '{backup}'")
        execute(backup, statement)
        async with SQLiteSessionStore.open(backup) as damaged:
            assert {finding.name for finding in (await examine(damaged)).findings} == names, statement


async def test_no_body_is_in_a_file_of_an_encrypted_store(path: Path) -> None:
    ring = Keyring(EncryptionKey.generate("k"))
    async with EncryptedSessionStore(SQLiteSessionStore.open(path), ring) as store:
        await park(store)
        await answer(store, "the body of the reply", claim=False)
        await answer(store, "the body of an early one", scope=OTHER, keep_for=DAY)
        for file in path.parent.iterdir():
            assert b"the body" not in file.read_bytes()
        found = [one.reply.body async for one in store.backend.lying(ALICE)]
        assert found == ["the body of the reply", "the body of an early one"]
        assert bodies((await ready(store)).replies) == ["the body of the reply"]
