"""The benchmark of OpenTelemetry runs, and reports all its rows. Speed is not asserted."""

from pathlib import Path

import pytest
from runs.benchmarks import contestants_of, measure, without

OBSERVED = {"no-op providers", "SDK, no span sampled", "SDK, spans in memory"}


@pytest.mark.slow
def test_everything_is_measured(tmp_path: Path) -> None:
    calls = {f"{where}: {call}" for where in ("in memory", "in Redis") for call in ("get_session", "find_wait")}
    assert contestants_of(measure(tmp_path, "benchmarks.telemetry").report) == {
        call: OBSERVED | {"not instrumented"} for call in calls
    } | {f"{call} costs more": OBSERVED for call in calls}


def test_without_the_sdk_it_says_what_to_install() -> None:
    done = without("opentelemetry.sdk", "benchmarks.telemetry")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install" in done.stderr
