"""Timeouts that a busy machine cannot reach, others that a test waits out, and how tests wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from greentic_session import SessionStore
from greentic_session._redis.client import RedisClient
from greentic_session.conversation import ConversationStore

__all__ = ["AT_ONCE", "PATIENCE", "PATIENT", "PROMPT", "SHORT", "SLACK", "client_of", "impatient", "timed", "until"]

PATIENCE = 60.0
"""Seconds that a call may take on a busy machine; no test waits for the end of them."""
SLACK = PATIENCE / 3
"""Seconds by which a busy machine may miss a deadline; the benchmarks measure the true number."""
PROMPT = PATIENCE / 3
"""Seconds within which a step that waits for nothing is done.

A step that waited for a call's timeout would take longer.
"""
SHORT = 0.3
"""A timeout that a test can wait out, in seconds."""
AT_ONCE = PATIENCE / 3
"""What a test calls "within the timeout" when that is SHORT, on a busy machine."""
PATIENT: dict[str, Any] = {"timeout": PATIENCE, "connect_timeout": PATIENCE}
"""Options of a store on Redis whose calls are to succeed, however busy the machine is."""


async def until(holds: Callable[[], bool], message: str, *, within: float = PATIENCE / 2) -> None:
    """Return as soon as something holds."""
    give_up = time.monotonic() + within
    while not holds():
        assert time.monotonic() < give_up, message
        await asyncio.sleep(0.002)


async def timed(work: Awaitable[object]) -> tuple[object, float]:
    """Return what something returns or raises, and how many seconds it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    [end] = await asyncio.gather(work, return_exceptions=True)
    return end, loop.time() - started


def client_of(store: SessionStore | ConversationStore[Any]) -> RedisClient:
    """Return what a store on one Redis makes its calls with."""
    backend: Any = store.backend
    client = backend._client
    assert isinstance(client, RedisClient)
    return client


@contextmanager
def impatient(*stores: SessionStore | ConversationStore[Any]) -> Iterator[None]:
    """Give calls that begin in this block a timeout of SHORT; calls before and after have time."""
    clients = [client_of(store) for store in stores]
    for client in clients:
        client._timeout = SHORT
    yield
    for client in clients:
        client._timeout = PATIENCE
