"""The benchmark of callers whose server is held up runs, and reports all its rows."""

from pathlib import Path

import pytest
from runs.benchmarks import measure

from benchmarks.stalls.__main__ import ROWS


@pytest.mark.slow
def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "benchmarks.stalls", "--callers", "300").report
    expected = [(name, contestant) for name, contestants in ROWS.items() for contestant in contestants]
    assert [(row["measurement"], row["contestant"]) for row in report["rows"]] == expected
    assert report["settings"]["callers"] == 300
