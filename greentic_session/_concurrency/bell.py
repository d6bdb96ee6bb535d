"""A bell: whoever waits for something of this process to happen is woken at once, in any loop."""

import asyncio
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

__all__ = ["Bell", "Listener"]

T = TypeVar("T")


class Bell:
    """Wakes its listeners, from any thread.

    Attributes:
        is_heard: Whether anybody has ever listened. Most programs never do, and every operation
            rings: the hottest ones ask first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self.is_heard: bool = False

    def listener(self) -> "Listener":
        """Return a listener in the running event loop; it is forgotten when its caller drops it."""
        listener = Listener()
        with self._lock:
            self._listeners.add(listener)
            self.is_heard = True
        return listener

    def ring(self) -> None:
        """Wake every listener."""
        if not self.is_heard:
            return
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.wake()

    async def behind(self, work: Awaitable[T]) -> T:
        """Await work, then ring."""
        done = await work
        self.ring()
        return done


class Listener:
    """One who waits for a bell, in one event loop."""

    def __init__(self) -> None:
        self._rung = anyio.Event()
        self._thread = threading.get_ident()
        self._call_soon = _threadsafe_call()

    def reset(self) -> None:
        """Forget what has rung so far."""
        if self._rung.is_set():
            self._rung = anyio.Event()

    async def wait(self, seconds: float) -> None:
        """Return when the bell has rung since `reset`, or after so many seconds."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()

    def wake(self) -> None:
        """Be woken."""
        if threading.get_ident() == self._thread:
            self._rung.set()
            return
        try:
            self._call_soon(self._rung.set)
        except RuntimeError:
            pass  # its event loop is closed: nobody listens


def _threadsafe_call() -> Callable[[Callable[[], Any]], Any]:
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        trio = sys.modules["trio"]  # it is loaded: its loop runs
        call: Callable[[Callable[[], Any]], Any] = trio.lowlevel.current_trio_token().run_sync_soon
        return call
