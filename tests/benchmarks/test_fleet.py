"""The benchmark of a large fleet runs, and reports all its rows. Speed is not asserted."""

from pathlib import Path

import pytest
from runs.benchmarks import contestants_of, measure


@pytest.mark.slow
def test_a_quick_run_has_every_row_and_target_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "benchmarks.fleet").report
    observed = {"longest step", "99 % of the steps", "longest PING", "longest PING of an idle server", "takes"}
    expected = {}
    for kind in ("cluster", "server"):
        expected[f"{kind}: memory of a wait"] = {"without a deadline", "with one", "what it adds"}
        expected[f"{kind}: the next 100 that are ready"] = {"all steps of the servers", *observed}
        for command in ("nothing", "stats", "top", "waits --ready", "waits --overdue"):
            expected[f"{kind}: {command}"] = observed
    assert contestants_of(report) == expected
    limits = {row["contestant"]: row["target"]["limit"] for row in report["rows"] if row["target"]}
    assert limits == {"longest step": 5.0, "longest PING": 20.0}
    assert all(row["value"] > 0 for row in report["rows"] if row["contestant"] in {"takes", "what it adds"})
