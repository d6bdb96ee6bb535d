"""The benchmark of callers that wait runs, and tells what it promises."""

import json
import subprocess
import sys
from pathlib import Path

from paths import ROOT
from redis_server import find_binary, require

from benchmarks.stalls.__main__ import ROWS


def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    require(find_binary())
    there = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.stalls", "--quick", "--callers", "300", "--json", str(there)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(there.read_bytes())
    expected = [(name, contestant) for name, contestants in ROWS.items() for contestant in contestants]
    assert [(row["measurement"], row["contestant"]) for row in report["rows"]] == expected
    assert (report["settings"]["callers"], report["settings"]["quick"]) == (300, True)
    assert "too short to judge by" in done.stdout


def test_without_a_server_it_says_how_to_get_one() -> None:
    hide = "import sys; from benchmarks.stalls import __main__ as it; it.find_binary = lambda: None; sys.exit(it.main([]))"
    done = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no Redis" in done.stderr
