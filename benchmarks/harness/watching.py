"""Watching ``top`` in a terminal."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["watch"]

_SIZE = struct.pack("HHHH", 24, 80, 0, 0)
_COUNTED = b"counted "
"""It stands in the last line once everything has been counted."""


async def watch(command: Sequence[str], seconds: float) -> int:
    """Run a command in a terminal of 80 x 24 until everything is counted, and for a while more.

    Returns:
        Its exit code, after q was pressed.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, _SIZE)
    loop, counted = asyncio.get_running_loop(), asyncio.Event()
    environment = {**os.environ, "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(*command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)

    def read() -> None:
        try:
            written = os.read(ours, 65536)
        except OSError:  # it has ended
            written = b""
        if not written:
            loop.remove_reader(ours)
        if not written or _COUNTED in written:
            counted.set()

    loop.add_reader(ours, read)
    try:
        await counted.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
        if process.returncode is None:
            os.write(ours, b"q")
        return await process.wait()
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
