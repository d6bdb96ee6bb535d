"""Frees what expires in a store that nobody calls any more."""

import queue
import threading
import weakref
from typing import Protocol

__all__ = ["IdleSweeper"]


class Sweepable(Protocol):
    """What is swept."""

    closed: bool

    def sweep(self) -> float:
        """Free some of what has expired; return in how many seconds to come back."""
        ...


class IdleSweeper:
    """Frees what expires in a store that nobody calls any more.

    A daemon thread that sleeps until something is due. The store is right without it (every
    operation looks at the clock, every write frees some); without it, an idle store would only keep
    its memory. It does not keep the store alive.
    """

    def __init__(self, backend: Sweepable) -> None:
        # A queue, for its put() may be called at any moment, in the middle of another one too: by
        # the garbage collector.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._backend = weakref.ref(backend, lambda _: self._wake.put(None))
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look again.

        Something is due earlier than anything before. Called with the store's lock held.
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
