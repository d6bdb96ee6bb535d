"""Event loop in which the store of a saver is used, from any thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Home"]

T = TypeVar("T")


class Home:
    """Event loop of a saver: the first one that it is used in, or one in a thread of its own."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._used: tuple[int, asyncio.AbstractEventLoop] | None = None  # a loop in the thread of the caller, and that

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        """Return work to be awaited, which is done in the saver's loop."""
        used = self._used
        if used is not None and used[0] == threading.get_ident() and used[1].is_running():
            return work()  # mostly; to ask for the running loop takes longer
        return self._run(work)

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        here = asyncio.get_running_loop()
        with self._guard:
            if self._loop is None or not self._loop.is_running():
                self._loop = here
            home = self._loop
        if home is here:
            self._used = threading.get_ident(), home
            return await work()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), home))

    def wait(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Block until work is done in the saver's loop.

        Raises:
            RuntimeError: This is the thread of that loop.
        """
        with self._guard:
            if self._loop is None or not self._loop.is_running():
                self._begin()
            home = self._loop
        try:
            is_here = asyncio.get_running_loop() is home
        except RuntimeError:
            is_here = False
        if is_here or home is None:
            raise RuntimeError("in the event loop of the saver, await ainvoke, astream and the saver's async methods")
        return asyncio.run_coroutine_threadsafe(work(), home).result()

    def end(self) -> None:
        """End the thread, if there is one."""
        with self._guard:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = self._used = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _begin(self) -> None:
        loop = asyncio.new_event_loop()
        is_running = threading.Event()
        loop.call_soon(is_running.set)
        thread = threading.Thread(target=loop.run_forever, name="greentic-session-saver", daemon=True)
        thread.start()
        is_running.wait()
        self._loop, self._thread = loop, thread
