"""Several processes on one file: races, a fresh file that all open at once, and sudden ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


def run(command: str, path: Path, rounds: int) -> None:
    """Run a command of `sqlite_processes`."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/helpers'}"}
    program = ROOT / "tests/helpers/sqlite_processes.py"
    subprocess.run([sys.executable, program, command, path, str(rounds)], env=environment, check=True)


@pytest.mark.parametrize("rounds", [30, pytest.param(600, marks=pytest.mark.slow)])
def test_of_four_processes_one_wins_each_race(tmp_path: Path, rounds: int) -> None:
    run("race", tmp_path / "bot.db", rounds)


@pytest.mark.parametrize("rounds", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_of_four_processes_one_settles_each_answer(tmp_path: Path, rounds: int) -> None:
    run("answer", tmp_path / "bot.db", rounds)


@pytest.mark.parametrize("rounds", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_nothing_acknowledged_is_lost_when_processes_are_killed_under_load(tmp_path: Path, rounds: int) -> None:
    run("kill", tmp_path / "bot.db", rounds)


@pytest.mark.parametrize(
    "rounds", [3, *(pytest.param(25, marks=pytest.mark.slow, id=f"25, part {part}") for part in range(4))]
)
def test_eight_processes_open_a_fresh_file_at_once(tmp_path: Path, rounds: int) -> None:
    run("open", tmp_path / "bot.db", rounds)
