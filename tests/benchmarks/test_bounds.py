"""The benchmark of a user with very many waits runs, and reports all its rows."""

from pathlib import Path

import pytest
from runs.benchmarks import measure

from benchmarks.bounds.situations import SITUATIONS


@pytest.mark.slow
def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "benchmarks.bounds", "--waits", "200").report
    names = ("longest script", "95 % of the scripts", "slowest PING", "takes")
    expected = [(situation, name) for situation in SITUATIONS for name in names]
    assert [(row["measurement"], row["contestant"]) for row in report["rows"]] == expected
    assert all(row["target"]["limit"] == 5.0 for row in report["rows"] if row["contestant"] == "longest script")
    assert report["settings"]["waits"] == 200
