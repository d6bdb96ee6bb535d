"""The conversation store in files, used by several processes, some of which are killed."""

import os
from functools import partial
from pathlib import Path

import pytest
from conversation_files import make
from conversation_processes import check_forked_writers, check_killed_writers, check_two_writers

from greentic_session.conversation import FileConversationStore


def test_two_processes_append(tmp_path: Path) -> None:
    check_two_writers(tmp_path.as_uri(), partial(make, tmp_path), 300)


@pytest.mark.slow
def test_two_processes_append_at_length(tmp_path: Path) -> None:
    check_two_writers(tmp_path.as_uri(), partial(make, tmp_path), 10_000)


def crash(directory: Path, seed: int) -> None:
    check_killed_writers(directory.as_uri(), partial(make, directory), seed, "AB" if seed % 2 else "A")
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_killed_writers(seed: int, tmp_path: Path) -> None:
    crash(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_killed_writers_at_length(seed: int, tmp_path: Path) -> None:
    crash(tmp_path, seed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_does_not_share_its_parents_locks(tmp_path: Path) -> None:
    store = FileConversationStore(tmp_path, fsync=False)

    check_forked_writers(store)
