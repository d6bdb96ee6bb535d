"""The benchmark of replies runs. Speed is not asserted."""

from pathlib import Path

import pytest
from runs.benchmarks import contestants_of, measure


@pytest.mark.slow
def test_it_has_every_row_and_target_that_is_promised(tmp_path: Path) -> None:
    options = ("--only", "replies", "--parts", "throughput", "deadlines", "idle", "plain")
    report = measure(tmp_path, "benchmarks", *options).report
    found = contestants_of(report)
    for backend in ("memory", "sqlite", "redis", "cluster"):
        assert found[f"{backend}: a claim, 100 tasks"] == {"deliver + complete", "claim_wait + complete"}
        assert len(found[f"{backend}: 1,000 deadlines due at once"]) == 2
    assert {"redis: an idle iter_ready, 10 waits with a deadline", "memory: register_wait"} <= set(found)
    assert {row["target"]["limit"] for row in report["rows"] if row["target"]} == {0.8, 2000, 128, 1.1}
