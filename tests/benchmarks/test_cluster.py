"""The benchmark of a cluster runs, and reports all its rows. Speed is not asserted."""

from pathlib import Path

import pytest
from runs.benchmarks import measure

CALLS = ("register_wait", "find_wait", "get_session", "update_session")


@pytest.mark.slow
def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    rows = measure(tmp_path, "benchmarks.cluster").report["rows"]
    assert [(row["measurement"], row["contestant"]) for row in rows] == [
        (f"{call}, {tasks}", contestant)
        for call in CALLS
        for tasks in ("1 task", "100 tasks")
        for contestant in ("one server", "cluster")
    ]
    assert all(row["value"] > 0 for row in rows)
    (aimed,) = [row for row in rows if row["target"] is not None]
    assert (aimed["measurement"], aimed["contestant"]) == ("find_wait, 100 tasks", "cluster")
    assert aimed["holds"] in {True, False}
