"""Fixtures.

A server and a proxy before it; nothing may be left of a test, and no loop may complain.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from patience import PATIENCE
from redis_server import Server
from shared_connection import connections


@pytest.fixture(scope="module")
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client() as raw:
        yield raw


@pytest.fixture(autouse=True)
def nothing_is_left(shared: Server, raw: redis.Redis) -> Iterator[None]:
    """Whatever a test does: no connection outlives its client."""
    raw.flushall()
    yield
    give_up = time.monotonic() + PATIENCE
    while connections(raw):
        assert time.monotonic() < give_up, "connections are left"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def complaints(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Whatever a test does.

    No loop has anything to complain of, such as an exception that nobody asked for.
    """
    found: list[dict[str, Any]] = []

    def note(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        found.append(context)

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_exception_handler", note)
    yield found
    gc.collect()
    assert found == []
