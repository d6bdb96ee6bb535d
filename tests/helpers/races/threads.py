"""Races between threads.

Event loops that work on one store at once, and the wait for what a thread does.
"""

import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio

from greentic_session._expiry.sweeper import IdleSweeper

__all__ = ["in_threads", "wait_until", "wait_until_ended"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a thread to do something; give up after a while."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def wait_until_ended(sweeper: IdleSweeper | None) -> None:
    """Wait until the thread of a store's sweeper has ended."""
    assert sweeper is not None
    thread = sweeper._thread
    assert thread is not None
    wait_until(lambda: not thread.is_alive())


def in_threads(
    count: int, work: Callable[[int], Coroutine[Any, Any, None]], *, backends: Sequence[str] = ("asyncio",)
) -> None:
    """Run `work(0)`, `work(1)`, ... at once, each in a thread and an event loop of its own.

    Args:
        count: How many threads.
        work: What each does, by its number.
        backends: The event loops of anyio, which the threads take in turn.
    """
    start = threading.Barrier(count)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            anyio.run(work, number, backend=backends[number % len(backends)])
        except BaseException as error:  # noqa: BLE001  # handed to the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
