"""What tests of commands share."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture
def children_heed_sigint() -> Iterator[None]:
    """Processes that the test starts end by SIGINT.

    A shell lets what it starts in the background ignore that, and children inherit it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
