"""Timeouts that a test waits out, and others that a busy machine cannot reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared_connection import PATIENCE

from greentic_session import SessionStore
from greentic_session._redis.client import RedisClient
from greentic_session.conversation import ConversationStore

__all__ = ["AT_ONCE", "PATIENT", "SHORT", "client_of", "impatient"]

SHORT = 0.3
"""A timeout that a test can wait out, in seconds."""
AT_ONCE = PATIENCE / 3
"""What a test calls "within the timeout" when that is SHORT, on a busy machine."""
PATIENT: dict[str, Any] = {"timeout": PATIENCE, "connect_timeout": PATIENCE}
"""Options of a store on Redis whose calls are to succeed, however busy the machine is."""


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
