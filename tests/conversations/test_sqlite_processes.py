"""The conversation store in a database, used by several processes, some of which are killed."""

import os
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from conversation_databases import connected, make, rows
from conversation_processes import check_forked_writers, check_killed_writers, check_two_writers
from races.threads import wait_until

from greentic_session.testing._conversations.samples import OPS


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_two_processes_append(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    check_two_writers(url_of(path), partial(make, path), 300)


@pytest.mark.slow
def test_two_processes_append_at_length(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    check_two_writers(url_of(path), partial(make, path), 10_000)


def crash(path: Path, seed: int, names: str) -> None:
    """Kill writers, and look at what they leave behind."""
    check_killed_writers(url_of(path), partial(make, path), seed, names)
    with connected(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    async def wait_for_upkeep() -> None:
        """Of conversations that were saved again the old messages are freed by and by."""
        async with make(path) as store:
            await store.purge(OPS)  # a write, after which there is upkeep
            await anyio.to_thread.run_sync(wait_until, lambda: sum(rows(path).values()) == 0)

    anyio.run(wait_for_upkeep)


@pytest.mark.parametrize("seed", range(3))
def test_killed_writers(seed: int, tmp_path: Path) -> None:
    crash(tmp_path / "bot.db", seed, "AB" if seed % 2 else "A")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_killed_writers_at_length(seed: int, tmp_path: Path) -> None:
    crash(tmp_path / "bot.db", seed, "ABCD")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_with_a_connection_of_its_own(tmp_path: Path) -> None:
    store = make(tmp_path / "bot.db")

    check_forked_writers(store)
