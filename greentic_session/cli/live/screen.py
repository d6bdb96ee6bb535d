"""The screen of the live view: drawn anew until somebody has seen enough."""

import asyncio
import signal
import sys
from contextlib import suppress
from datetime import datetime

from rich.console import Console
from rich.live import Live

from .keys import pressed_keys
from .picture import draw
from .watcher import Watcher

__all__ = ["show", "show_once"]

_QUITS = frozenset("qQ\x03")


async def show(watcher: Watcher, every: float) -> None:
    """Show what a watcher knows on the terminal's other screen, until q is pressed.

    Args:
        watcher: Who knows.
        every: For how many seconds a picture stands.
    """
    console, done = Console(file=sys.stdout, highlight=False), asyncio.Event()
    loop = asyncio.get_running_loop()
    watching = loop.create_task(watcher.run())
    watching.add_done_callback(lambda _: done.set())
    with suppress(NotImplementedError):  # not on Windows
        loop.add_signal_handler(signal.SIGTERM, done.set)
    try:
        with (
            Live(console=console, screen=True, auto_refresh=False) as live,
            pressed_keys(lambda key: done.set() if key in _QUITS else None),
        ):
            while not done.is_set():
                live.update(draw(watcher.view(), console, _clock()), refresh=True)
                with suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), every)
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
        watching.cancel()
        await asyncio.wait([watching])
    if not watching.cancelled() and (error := watching.exception()):
        raise error


async def show_once(watcher: Watcher) -> None:
    """Write one picture, once everything has been counted."""
    await watcher.count()
    await watcher.look()
    console = Console(file=sys.stdout, highlight=False)
    console.print(draw(watcher.view(), console, _clock()))


def _clock() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"
