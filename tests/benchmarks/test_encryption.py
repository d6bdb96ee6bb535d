"""The benchmark of encryption runs, and reports all its rows. Speed is not asserted."""

from pathlib import Path

import pytest
from runs.benchmarks import contestants_of, measure, without

CALLS = ("register_wait", "find_wait", "get_session", "update_session")
MEMORY = {f"{call} of 4 KiB, memory" for call in CALLS} | {"append of 1 KiB, memory"}
OTHERS = {f"{call} of 4 KiB, Redis, 100 tasks" for call in CALLS} | {"the last 20 messages of 1 KiB, memory"}
OVERHEAD = "overhead, processor time"


@pytest.mark.slow
def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "benchmarks.encryption").report
    assert contestants_of(report) == {name: {"plain", "encrypted", OVERHEAD} for name in MEMORY | OTHERS}
    for row in report["rows"]:
        assert row["unit"] == "us"
        assert row["contestant"] == OVERHEAD or row["value"] > 0
    aimed = {row["measurement"]: row for row in report["rows"] if row["target"] is not None}
    assert aimed.keys() == MEMORY
    for row in aimed.values():
        assert (row["target"], type(row["holds"])) == ({"field": "value", "bound": "max", "limit": 30.0}, bool)
    assert report["settings"]["snapshot"] == 4096
    assert report["machine"].keys() >= {"machine", "python", "cryptography"}


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("server", 0, "nothing is measured in Redis"),
        ("cryptography", 2, "python -m pip install -e '.[bench]'"),
    ],
)
def test_what_is_missing_is_told(missing: str, code: int, said: str) -> None:
    done = without(missing, "benchmarks.encryption", "--quick")
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
