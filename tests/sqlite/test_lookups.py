"""Lookups: what waits is read together, and each has a result or an error of its own."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from anyio.lowlevel import checkpoint
from sqlite_notes import NOTES, add

from greentic_session import InternalError, SQLiteSessionStore, UnavailableError
from greentic_session._sqlite.database import Database
from greentic_session.backends.sqlite.backend import SQLiteBackend
from greentic_session.backends.sqlite.lookups import placed
from greentic_session.backends.sqlite.rows import at_place, place_of
from greentic_session.models import ReplyScope
from greentic_session.testing._sessions.samples import ALICE, data

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "notes.db", [NOTES])
    await database.write(add("one"))
    await database.write(add("two"))
    yield database
    await database.aclose()


class Notes:
    """A kind of lookups, which notes the keys that were asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, str]:
        self.asked.append(list(keys))
        marks = ", ".join("?" * len(keys))
        return dict(connection.execute(f"SELECT id, text FROM notes WHERE id IN ({marks})", keys))


def loud(text: str | None) -> str:
    if text is None:
        raise InternalError("nothing is there")
    return text.upper()


async def test_what_waits_is_read_together(database: Database) -> None:
    select, begun, may_end = Notes(), threading.Event(), threading.Event()
    found: dict[int, str | None] = {}

    def hold(_: sqlite3.Connection) -> None:
        begun.set()
        assert may_end.wait(60)

    async def look_up(number: int, key: int) -> None:
        try:
            found[number] = await database.look_up(select, key, loud)
        except InternalError:
            found[number] = None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.read, hold)
        while not begun.is_set():
            await checkpoint()
        for number, key in enumerate([1, 2, 3, 1]):
            tasks.start_soon(look_up, number, key)
        async with anyio.create_task_group() as cancelled:
            cancelled.start_soon(look_up, 4, 2)
            await checkpoint()
            cancelled.cancel_scope.cancel()
        may_end.set()
    assert select.asked == [[1, 2, 3, 1]]
    assert found == {0: "ONE", 1: "TWO", 2: None, 3: "ONE"}


async def test_a_lookup_alone(database: Database) -> None:
    select = Notes()
    assert await database.look_up(select, 1, loud) == "ONE"
    assert await database.look_up(select, 7, lambda text: text) is None
    with pytest.raises(InternalError, match="nothing is there"):
        await database.look_up(select, 7, loud)
    await database.aclose()
    with pytest.raises(UnavailableError, match="closed"):
        await database.look_up(select, 1, loud)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 63, 64, 65, 130])
async def test_places_are_looked_up_in_few_statements(count: int, tmp_path: Path) -> None:
    """As one by one, whatever their number, with those where nothing waits."""
    scopes = [ReplyScope(f"c{number}") for number in range(count)]
    owner = ("dev", "acme", "ops", "alice")
    async with SQLiteSessionStore.open(tmp_path / "bot.db", durability="process") as store:
        async with anyio.create_task_group() as tasks:
            for number, scope in enumerate(scopes):
                if number % 3 != 1:
                    tasks.start_soon(store.register_wait, ALICE, "alice", scope, f"k{number}", data())
        backend = store.backend
        assert isinstance(backend, SQLiteBackend)
        places = [place_of(owner, scope.scope_hash()) for scope in scopes]
        statements: list[str] = []

        def look(connection: sqlite3.Connection) -> None:
            connection.set_trace_callback(statements.append)
            found = placed(connection, places)
            connection.set_trace_callback(None)
            assert len(found) == count - len(range(1, count, 3))
            for place in places:
                row = at_place(connection, place, text=True)
                assert (row is None) == (place not in found)
                if row is not None:
                    one = found[place]
                    assert (one.place, one.key, one.end, one.text) == (place, row.key, row.end, row.text)

        await backend.database.read(look)
        assert len(statements) == -(-count // 64)


async def test_each_of_many_finds_its_own(tmp_path: Path) -> None:
    found: dict[int, str | None] = {}
    async with SQLiteSessionStore.open(tmp_path / "bot.db", durability="process") as store:
        for number in range(0, 200, 2):
            await store.register_wait(
                ALICE, "alice", ReplyScope(f"c{number}"), f"k{number}", data(snapshot=f'{{"n":{number}}}')
            )

        async def find(number: int) -> None:
            wait = await store.find_wait(ALICE, "alice", ReplyScope(f"c{number}"))
            found[number] = None if wait is None else f"{wait.key} {wait.data.context_json}"

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(find, number)
    assert found == {number: f'k{number} {{"n":{number}}}' if number % 2 == 0 else None for number in range(200)}
