"""Closing of stores in synchronous fixtures, which serve tests on any async plugin."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any

from greentic_session.backends.sqlite.backend import SQLiteBackend
from greentic_session.conversation import ConversationStore
from greentic_session.store import SessionStore

__all__ = ["ClosedWithItsLoop", "close_file", "close_without_loop"]


class ClosedWithItsLoop:
    """Closer of a Redis store, in the event loop of its first use, before that loop is closed.

    A connection has to be closed in its own loop, which is gone when a fixture that is not async
    comes to its end. But asyncio finishes all async generators that are still open before it closes
    a loop. So the first operation leaves one behind, and that closes the store.

    Args:
        store: The store; nobody has used it yet.
    """

    def __init__(self, store: SessionStore | ConversationStore[Any]) -> None:
        self._store = store
        self._backend = store._backend  # noqa: SLF001  # every operation asks it first whether it is open
        self._backend.check_open = self._begin  # type: ignore[method-assign]  # of this one, until it is used
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: AsyncGenerator[None, None] | None = None

    def close(self) -> None:
        """Close the store, where its loop has not done so; to be called outside of any loop."""
        loop, end = self._loop, self._end
        if loop is None or end is None or loop.is_closed() or loop.is_running():
            with suppress(RuntimeError):  # its loop is gone, and never finished anything
                close_without_loop(self._store)
        else:
            loop.run_until_complete(end.aclose())

    def _begin(self) -> None:
        del self._backend.check_open  # from here on it is the backend's own again
        with suppress(RuntimeError):  # it is not asyncio; the operation itself says so
            self._loop = asyncio.get_running_loop()
            self._end = self._until_the_end()
            with suppress(StopIteration):
                self._end.__anext__().__await__().send(None)  # up to its yield; the loop knows of it now
        self._backend.check_open()

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._store.aclose()


def close_file(store: SessionStore) -> None:
    """Close a session store in SQLite; to be called outside of any loop."""
    backend = store.backend
    assert isinstance(backend, SQLiteBackend)
    backend.closed = True
    backend.database.close()


def close_without_loop(store: SessionStore | ConversationStore[Any]) -> None:
    """Close a store that waits for nothing when it is closed.

    One in memory, or one that was never used.
    """
    closing: Coroutine[Any, Any, None] = store.aclose()
    try:
        closing.send(None)
    except StopIteration:
        return
    finally:
        closing.close()
