"""The tests of somebody's project, run where they would be.

In a directory of its own, by a pytest of its own.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

PROJECT = Path(__file__).with_name("own_project")
# An installed greentic_session brings its plugin along. One that merely lies on the path has to be
# asked for it.
INSTALLED = any(point.value == "greentic_session.pytest_plugin" for point in entry_points(group="pytest11"))


def test_the_suite_of_a_users_project(redis_url: str, tmp_path: Path) -> None:
    project = shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    plugin = [] if INSTALLED else ["-p", "greentic_session.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "--strict-markers", *plugin]
    environment = os.environ | {"REDIS_URL": redis_url}
    if not INSTALLED:
        environment["PYTHONPATH"] = str(PROJECT.parent.parent.parent)
    run = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 passed" in run.stdout
