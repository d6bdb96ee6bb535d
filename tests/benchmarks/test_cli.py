"""The benchmark of the command line runs, and reports all its rows."""

from pathlib import Path

import pytest
from runs.benchmarks import measure


@pytest.mark.slow
def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "benchmarks.cli", "--sessions", "300").report
    names = ("takes", "longest wait of another client", "longest script", "server's CPU for each script")
    expected = [(command, name) for command in ("stats", "doctor", "waits", "top", "purge") for name in names]
    assert [(row["measurement"], row["contestant"]) for row in report["rows"]] == expected
    assert all(row["value"] > 0 for row in report["rows"] if row["contestant"] == "takes")
    assert {row["measurement"]: row["target"]["limit"] for row in report["rows"] if row["target"]} == {"stats": 10.0}
    assert report["settings"]["sessions"] == 300
