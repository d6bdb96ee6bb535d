"""The keyboard of a terminal: keys as they are pressed, without Enter and without an echo."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["pressed_keys"]


@contextmanager
def pressed_keys(hear: Callable[[str], None]) -> Iterator[None]:
    """Call `hear` with each key that is pressed within the block; the terminal is as before then.

    Where the standard input is no terminal, or where there is no termios, no key is heard: there
    Ctrl-C ends a program.
    """
    try:
        import termios  # noqa: PLC0415  # not on Windows
        import tty  # noqa: PLC0415
    except ImportError:  # pragma: no cover
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    file, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(file)

    def read() -> None:
        keys = os.read(file, 64).decode("utf-8", "replace")
        if not keys:  # the terminal is gone
            loop.remove_reader(file)
        for key in keys or "q":
            hear(key)

    tty.setcbreak(file)
    loop.add_reader(file, read)
    try:
        yield
    finally:
        loop.remove_reader(file)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
