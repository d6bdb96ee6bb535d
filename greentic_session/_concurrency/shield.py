"""Finishing something that must be finished, although its caller is cancelled meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio import CancelScope

__all__ = ["shielded"]

T = TypeVar("T")


async def shielded(call: Callable[[], Awaitable[T]], *, persistent: bool = False) -> T:
    """Await `call` to its end; a cancellation that comes meanwhile is raised after it.

    Args:
        call: What is to be done.
        persistent: Whether it is begun anew when somebody cancels the very task that does it, as
            who cancels all tasks of an event loop does.

    A shielded scope keeps off the cancellations of anyio and trio. Those of plain asyncio
    (``Task.cancel``, and with it ``asyncio.timeout`` and ``asyncio.TaskGroup``) go through one;
    against them the call gets a task of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio
        with CancelScope(shield=True):
            return await call()
    task = asyncio.ensure_future(call())
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
            if persistent and task.cancelled():
                task = asyncio.ensure_future(call())
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen: what matters is the cancellation
        raise cancelled
    return task.result()
