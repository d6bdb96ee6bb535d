"""The benchmark of encryption runs and reports all that it promises. How fast anything is, no test asks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from redis_server import find_binary, require

CALLS = ("register_wait", "find_wait", "get_session", "update_session")
MEMORY = {f"{call} of 4 KiB, memory" for call in CALLS} | {"append of 1 KiB, memory"}
OTHERS = {f"{call} of 4 KiB, Redis, 100 tasks" for call in CALLS} | {"the last 20 messages of 1 KiB, memory"}


def run(*options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else ["-m", "benchmarks.encryption"]), *options]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)


def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    require(find_binary())
    there = tmp_path / "report.json"
    done = run("--quick", "--json", str(there))
    assert done.returncode == 0, done.stderr
    report = json.loads(there.read_bytes())
    measured: dict[str, set[str]] = {}
    for row in report["rows"]:
        measured.setdefault(row["measurement"], set()).add(row["contestant"])
        assert row["unit"] == "us"
        assert row["measurement"] in done.stdout
        assert row["contestant"] == "overhead, processor time" or row["value"] > 0
    assert measured == {name: {"plain", "encrypted", "overhead, processor time"} for name in MEMORY | OTHERS}
    aimed = {row["measurement"]: row for row in report["rows"] if row["target"] is not None}
    assert aimed.keys() == MEMORY
    for row in aimed.values():
        assert (row["target"], type(row["holds"])) == ({"field": "value", "bound": "max", "limit": 30.0}, bool)
    assert report["settings"]["snapshot"] == 4096
    assert report["machine"].keys() >= {"machine", "python", "cryptography"}


@pytest.mark.parametrize(
    ("hide", "code", "said"),
    [
        ("benchmarks.encryption.__main__.find_binary = lambda: None", 0, "nothing is measured in Redis"),
        ("sys.modules['cryptography'] = None", 2, "python -m pip install -e '.[bench]'"),
    ],
    ids=["a server", "the package"],
)
def test_what_is_missing_is_told(hide: str, code: int, said: str) -> None:
    quick = "sys.exit(benchmarks.encryption.__main__.main(['--quick']))"
    done = run(code=f"import sys, benchmarks.encryption.__main__; {hide}; {quick}")
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
