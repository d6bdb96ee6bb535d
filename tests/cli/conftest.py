"""Fixtures of the tests of commands."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs.cli import fill, in_file


@pytest.fixture
def url(databases: Callable[[], Path]) -> str:
    """A SQLite file with a few waits."""
    url = f"sqlite:///{databases()}"
    in_file(url, fill)
    return url


@pytest.fixture
def children_heed_sigint() -> Iterator[None]:
    """Processes that the test starts end by SIGINT.

    A shell lets what it starts in the background ignore that, and children inherit it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
