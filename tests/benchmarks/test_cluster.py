"""The benchmark of a cluster runs and reports all that it promises. How fast anything is, no test asks."""

import json
import subprocess
import sys
from pathlib import Path

from paths import ROOT
from redis_server import find_binary, require

CALLS = ("register_wait", "find_wait", "get_session", "update_session")


def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    require(find_binary())
    there = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.cluster", "--quick", "--json", str(there)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(there.read_bytes())["rows"]
    assert [(row["measurement"], row["contestant"]) for row in rows] == [
        (f"{call}, {tasks}", contestant)
        for call in CALLS
        for tasks in ("1 task", "100 tasks")
        for contestant in ("one server", "cluster")
    ]
    assert all(row["value"] > 0 for row in rows)
    (aimed,) = [row for row in rows if row["target"] is not None]
    assert (aimed["measurement"], aimed["contestant"]) == ("find_wait, 100 tasks", "cluster")
