"""The soak test of the Redis store runs, and says whether the memory is flat."""

import pytest
from redis_server import find_binary, require
from runs.benchmarks import run

from benchmarks.soak.growth import growth_of


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([90, 100, *[200] * 8], 0.0),
        ([*[1] * 20, *[100] * 60, *[150] * 20], 0.5),
        ([7], 0.0),
        ([100] * 80 + [99] * 20, -0.01),
    ],
)
def test_growth_is_from_after_the_warming_up_to_the_end(samples: list[float], expected: float) -> None:
    growth = growth_of(samples)
    assert growth.part == pytest.approx(expected)
    assert growth.is_flat is (expected < 0.02)


@pytest.mark.slow
def test_a_soak_prints_its_samples_and_its_verdict() -> None:
    require(find_binary())
    done = run("-m", "benchmarks.soak", "--operations", "8000")
    *samples, verdict = done.stdout.splitlines()
    assert len(samples) == 100, done.stderr
    assert all(line.endswith("MiB") for line in samples)
    assert verdict.startswith("resident set: ")
    # So short a run is no verdict on the store: only that the exit code says what the words say.
    assert done.returncode == (1 if "NOT FLAT" in verdict else 0)


@pytest.mark.slow
def test_a_longer_soak_leaves_the_memory_flat() -> None:
    require(find_binary())
    done = run("-m", "benchmarks.soak", "--operations", "300000", timeout=1500)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
