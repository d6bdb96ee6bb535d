"""Time that passes."""

from collections.abc import Callable

import pytest
import redis
from time_passing import pass_time


@pytest.fixture
def advance(raw: redis.Redis, namespace: str) -> Callable[[float], None]:
    """Lets so many seconds pass for the namespace."""
    return lambda seconds: pass_time(raw, seconds, f"{namespace}:")
