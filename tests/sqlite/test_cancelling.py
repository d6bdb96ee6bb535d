"""Operations whose callers are cancelled while they run."""

import sqlite3
import threading
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from sqlite_notes import NOTES, add, texts

from greentic_session._sqlite.database import Database


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_that_was_cancelled_while_it_runs_has_happened_when_it_returns(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "notes.db"
    database = Database(path, [NOTES])
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        add("kept")(connection)
        begun.set()
        assert go_on.wait(60)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.write, slow)
            while not begun.is_set():  # of a thread
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
            threading.Timer(0.05, go_on.set).start()
        with sqlite3.connect(path) as other:
            assert texts(other) == ["kept"]
        other.close()
        await database.aclose()

    anyio.run(run, backend=backend)
