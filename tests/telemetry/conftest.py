"""Fixtures of the tests of telemetry."""

import pytest
from observed import Observed


@pytest.fixture
def observed() -> Observed:
    """What OpenTelemetry is told during the test."""
    return Observed()
