"""Fixtures: a file, and a store on it whose time stands until it is told to go on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from timers import Timer

from greentic_session import SQLiteSessionStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest_asyncio.fixture
async def store(path: Path, timer: Timer) -> AsyncIterator[SQLiteSessionStore]:
    async with SQLiteSessionStore.open(path, timer=timer, durability="process") as store:
        yield store
