"""Signals: a thread sets one, a task of an event loop (asyncio or trio) waits for it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any

__all__ = ["Signal", "new_signal", "set_all"]


class Signal(ABC):
    """An event that one task waits for, and that any thread sets with `set_all`.

    Attributes:
        loop: The event loop of the task.
    """

    __slots__ = ("loop",)

    loop: Any

    @abstractmethod
    def __await__(self) -> Generator[Any, None, None]:
        """Wait until the signal is set."""

    async def wait(self) -> None:
        """Wait until the signal is set, for what takes an async function."""
        await self

    @abstractmethod
    def set(self) -> None:
        """Set the signal, in its event loop. A second time does nothing."""

    @abstractmethod
    def call_soon(self, signals: "list[Signal]") -> None:
        """Let the event loop set some signals of its tasks soon, from any thread.

        Raises:
            RuntimeError: The event loop has ended.
        """


class _AsyncioSignal(Signal):
    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._future: asyncio.Future[None] = loop.create_future()

    def __await__(self) -> Generator[Any, None, None]:
        return self._future.__await__()  # no coroutine of its own: a lookup waits once, and takes 20 us

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def call_soon(self, signals: list[Signal]) -> None:
        self.loop.call_soon_threadsafe(_set, signals)


class _TrioSignal(Signal):
    __slots__ = ("_event",)

    def __init__(self) -> None:
        import trio  # noqa: PLC0415  # optional, and there where trio runs

        self.loop = trio.lowlevel.current_trio_token()
        self._event = trio.Event()

    def __await__(self) -> Generator[Any, None, None]:
        waiting: Generator[Any, None, None] = self._event.wait().__await__()
        return waiting

    def set(self) -> None:
        self._event.set()

    def call_soon(self, signals: list[Signal]) -> None:
        self.loop.run_sync_soon(_set, signals)


def new_signal() -> Signal:
    """Return a signal for the task that runs now."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _TrioSignal()
    return _AsyncioSignal(loop)


def set_all(signals: Iterable[Signal]) -> None:
    """Set signals from any thread; each event loop is woken once.

    A loop that has ended is passed over: nobody waits there any more.
    """
    by_loop: dict[Any, list[Signal]] = {}
    for signal in signals:
        by_loop.setdefault(signal.loop, []).append(signal)
    for group in by_loop.values():
        with suppress(RuntimeError):  # trio.RunFinishedError is one, too
            group[0].call_soon(group)


def _set(signals: list[Signal]) -> None:
    for signal in signals:
        signal.set()
