"""Groups of operations: one transaction for all that wait, and whose failure is whose."""

# ruff: noqa: ASYNC110, ASYNC240  # calls that block the event loop are fine in a test

import asyncio
import gc
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Self

import anyio
import pytest
import pytest_asyncio
from races.threads import in_threads, wait_until
from sqlite_notes import NOTES, Held, add, descriptors, texts, threads

from greentic_session import ConflictError, InternalError, UnavailableError
from greentic_session._sqlite.database import Database

pytestmark = pytest.mark.asyncio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


@pytest_asyncio.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = Database(path, [NOTES])
    yield database
    await database.aclose()


class Gate:
    """An operation that keeps the writer busy until the test lets it go on: others wait."""

    def __init__(self, database: Database) -> None:
        self._begun, self._open = threading.Event(), threading.Event()
        self._database = database

    def _work(self, _: sqlite3.Connection) -> None:
        self._begun.set()
        assert self._open.wait(60)

    async def __aenter__(self) -> Self:
        self.task = asyncio.ensure_future(self._database.write(self._work))
        while not self._begun.is_set():
            await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        await self.task


async def test_what_waits_is_committed_together(database: Database, path: Path) -> None:
    await database.write(add("first"))
    commits: list[int] = []

    def seen(connection: sqlite3.Connection, text: str) -> int:
        with sqlite3.connect(path) as other:
            commits.append(len(texts(other)))
        other.close()
        return add(text)(connection)

    async with Gate(database):
        waiting = [asyncio.ensure_future(database.write(partial(seen, text=f"n{number}"))) for number in range(10)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == list(range(2, 12))
    assert commits == [1] * 10
    assert len(await database.read(texts)) == 11


async def test_the_failure_of_one_is_its_own(database: Database) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise ConflictError("no")

    async with Gate(database):
        calls = [database.write(add("a")), database.write(refuse), database.write(add("a")), database.write(add("b"))]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
    first, refused, twice, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, second) == (1, 2)
    assert isinstance(refused, ConflictError)
    assert isinstance(twice, InternalError)
    assert isinstance(twice.__cause__, sqlite3.IntegrityError)
    assert await database.read(texts) == ["a", "b"]


async def test_one_that_fails_after_it_wrote_leaves_nothing(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        add("half")(connection)
        raise ConflictError("late")

    async with Gate(database):
        waiting = [
            asyncio.ensure_future(call)
            for call in (database.write(add("a")), database.write(half), database.write(add("b")))
        ]
        await asyncio.sleep(0)
    first, failed, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, second) == (1, 2)
    assert isinstance(failed, ConflictError)
    assert await database.read(texts) == ["a", "b"]


async def test_a_failure_of_the_storage_is_that_of_all_in_the_group(database: Database, path: Path) -> None:
    await database.write(add("first"))

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        add("x" * 100_000)(connection)

    async with Gate(database):
        waiting = [asyncio.ensure_future(database.write(work)) for work in (add("a"), fill, add("b"))]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3
    assert "full" in str(outcomes[0])
    assert str(path) in str(outcomes[0])
    assert await database.read(texts) == ["first"]
    assert await database.write(add("again")) > 1, "and the next one finds it well"


async def test_a_lock_that_lasts(path: Path) -> None:
    database = Database(path, [NOTES], timeout=0.02)
    await database.write(add("a"))
    with Held(path):
        with pytest.raises(UnavailableError, match="held the database's lock for too long"):
            await database.write(add("b"))
        assert await database.read(texts) == ["a"], "readers do not wait for writers"
    assert await database.write(add("c")) == 2
    await database.aclose()


async def test_one_that_was_cancelled_in_time_never_runs(database: Database) -> None:
    await database.write(add("a"))
    async with Gate(database):
        waiting = asyncio.ensure_future(database.write(add("b")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await database.read(texts) == ["a"]


@pytest.mark.parametrize("late", ["while it runs", "when it is done"])
async def test_one_that_was_cancelled_too_late_is_undone(database: Database, late: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> str:
        add("held")(connection)
        begun.set()
        assert go_on.wait(60)
        return "held"

    def undo(connection: sqlite3.Connection, text: str) -> None:
        connection.execute("DELETE FROM notes WHERE text = ?", (text,))
        add("given back")(connection)

    waiting = asyncio.ensure_future(database.write(slow, undo))
    while not begun.is_set():
        await asyncio.sleep(0)
    if late == "when it is done":
        go_on.set()
        with sqlite3.connect(database.path) as other:
            wait_until(lambda: texts(other) == ["held"])
        other.close()
    waiting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await database.write(lambda _: None)  # behind it
    await database.write(lambda _: None)
    assert await database.read(texts) == ["given back"]


async def test_a_caller_whose_event_loop_is_gone_holds_nothing(path: Path) -> None:
    database = Database(path, [NOTES])
    begun = threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        add("held")(connection)

    def run() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(
            database.write(slow, lambda connection, _: connection.execute("DELETE FROM notes WHERE id = 1"))
        )
        loop.run_until_complete(asyncio.sleep(0))
        assert begun.wait(60)
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    await anyio.to_thread.run_sync(run)
    await database.write(add("next"))
    await database.write(lambda _: None)
    assert await database.read(texts) == ["next"]
    await database.aclose()


async def test_closing_lets_everything_be_done(path: Path) -> None:
    database = Database(path, [NOTES])
    waiting = [asyncio.ensure_future(database.write(add(f"n{number}"))) for number in range(100)]
    await asyncio.sleep(0)
    await database.aclose()
    await database.aclose()
    assert await asyncio.gather(*waiting) == list(range(1, 101))
    for call in (database.write(add("late")), database.read(texts), database.read_apart(texts), database.read_alone(texts)):
        with pytest.raises(UnavailableError, match="the store is closed"):
            await call
    assert threads() == []
    assert descriptors(path.parent) == []
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["notes.db"], "its log is in the database"


async def test_without_closing_everything_ends_with_the_last_reference(path: Path) -> None:
    database = Database(path, [NOTES])
    await database.write(add("a"))
    await database.read(texts)
    assert len(threads()) == 2
    gone = weakref.ref(database)
    del database
    gc.collect()
    assert gone() is None
    await anyio.to_thread.run_sync(wait_until, lambda: not threads())
    assert descriptors(path.parent) == []
    gc.collect()  # a connection that was not closed would warn now


async def test_long_reads_keep_nobody_waiting(database: Database) -> None:
    await database.write(add("a"))
    begun, go_on = threading.Event(), threading.Event()

    def long(connection: sqlite3.Connection) -> list[str]:
        begun.set()
        assert go_on.wait(60)
        return texts(connection)

    apart, alone = asyncio.ensure_future(database.read_apart(long)), asyncio.ensure_future(database.read_alone(long))
    while not begun.is_set():
        await asyncio.sleep(0)
    next_one = asyncio.ensure_future(database.read_apart(texts))
    await database.write(add("b"))
    assert await database.read(texts) == ["a", "b"]
    assert len(threads()) == 4
    go_on.set()
    await asyncio.gather(apart, alone)
    assert await next_one == ["a", "b"]
    assert len(threads()) == 3


async def test_a_closed_one_that_was_never_used(path: Path) -> None:
    await Database(path, [NOTES]).aclose()
    assert not path.exists()


@pytest.mark.parametrize("rounds", [40, pytest.param(400, marks=pytest.mark.slow)])
async def test_threads_and_loops_of_both_kinds_share_one(path: Path, rounds: int) -> None:
    database = Database(path, [NOTES])

    async def run(number: int) -> None:
        async def one(part: int) -> None:
            for round_ in range(rounds):
                text = f"{number}-{part}-{round_}"
                await database.write(add(text))
                assert text in await database.read(texts)

        async with anyio.create_task_group() as tasks:
            for part in range(3):
                tasks.start_soon(one, part)

    await anyio.to_thread.run_sync(lambda: in_threads(4, run, backends=("asyncio", "trio")))
    assert len(set(await database.read(texts))) == 4 * 3 * rounds
    await database.aclose()


async def test_a_thread_that_cannot_be_started(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(path, [NOTES])

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(UnavailableError, match="no thread"):
            await database.write(add("a"))
    assert await database.write(add("b")) == 1
    await database.aclose()


async def test_upkeep_runs_by_itself_and_between_groups(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greentic_session._sqlite.worker._FIRST_UPKEEP_S", 0.0)
    kept: list[int] = []

    def keep(connection: sqlite3.Connection) -> float:
        kept.append(len(texts(connection)))
        return 0.001

    database = Database(path, [NOTES], upkeep=keep)
    await database.write(add("a"))
    await anyio.to_thread.run_sync(wait_until, lambda: len(kept) > 3)
    for number in range(20):
        await database.write(add(f"n{number}"))
    await anyio.to_thread.run_sync(wait_until, lambda: kept[-1] == 21)
    await database.aclose()
