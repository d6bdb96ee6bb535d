"""The benchmark of telemetry runs and reports all that it promises. How fast anything is, no test asks."""

import json
import subprocess
import sys

from paths import ROOT

OBSERVED = {"no-op providers", "SDK, no span sampled", "SDK, spans in memory"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)


def test_everything_is_measured(redis_url: str) -> None:  # a server is to be had, then
    done = run("-m", "benchmarks.telemetry", "--quick", "--json", "-")
    assert done.returncode == 0, done.stderr
    measured: dict[str, set[str]] = {}
    for row in json.loads(done.stdout)["rows"]:
        measured.setdefault(row["measurement"], set()).add(row["contestant"])
    calls = {f"{where}: {call}" for where in ("in memory", "in Redis") for call in ("get_session", "find_wait")}
    assert measured == {call: OBSERVED | {"not instrumented"} for call in calls} | {
        f"{call} costs more": OBSERVED for call in calls
    }


def test_without_the_sdk_it_says_what_to_install() -> None:
    hide = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; "
        "from benchmarks.telemetry.__main__ import main; sys.exit(main([]))"
    )
    done = run("-c", hide)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install" in done.stderr
