"""Sweeper thread: removes the expired entries of a store in memory that nobody calls."""

import queue
import threading
import weakref
from typing import Protocol

__all__ = ["IdleSweeper"]


class Sweepable(Protocol):
    """A backend whose expired entries are removed in steps."""

    closed: bool

    def sweep(self) -> float:
        """Remove some expired entries; return the seconds until the next sweep."""
        ...


class IdleSweeper:
    """Sweeper of an idle backend: a daemon thread that sleeps until the next entry expires.

    The store is right without it: every operation compares ends with the timer, and every write
    removes some expired entries. Without it an idle store would only keep its memory. It does not
    keep the store alive.
    """

    def __init__(self, backend: Sweepable) -> None:
        # A queue, for its put() may be called at any moment, in the middle of another one too: by
        # the garbage collector.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._backend = weakref.ref(backend, lambda _: self._wake.put(None))
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Let the thread sweep earlier, because an entry now expires before all others.

        Called with the store's lock held.
        """
        self._wake.put(None)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="greentic-session-expiry", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no thread to be had, or the interpreter shuts down: the writes go on freeing
                self._thread = None

    def stop(self) -> None:
        """Let the thread see that the store is closed."""
        self._wake.put(None)

    def _run(self) -> None:
        while True:
            backend = self._backend()
            delay = None if backend is None or backend.closed else backend.sweep()
            if backend is None or backend.closed:
                return
            del backend  # or it would live as long as this sleep
            try:
                self._wake.get(timeout=delay)
            except queue.Empty:
                pass
