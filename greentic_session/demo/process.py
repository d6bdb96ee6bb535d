"""A runner in a process of its own: ``python -m greentic_session.demo.process PATH LEASE``.

It reads updates from its standard input, one a line, and writes what became of each to its standard
output, as JSON. With the word ``slow`` as a third argument its turns never end: it says that it has
claimed the wait, and goes on thinking until somebody kills it.
"""

import sys
from functools import partial
from typing import Final

import anyio
import msgspec
from anyio import to_thread

from greentic_session import create_session_store
from greentic_session.conversation import create_conversation_store

from .runner import Outcome, Runner
from .telegram import decode_update

__all__ = ["SLOW", "TTL_S", "Report"]

SLOW: Final = "slow"
"""The argument that makes turns endless."""
TTL_S: Final = 600.0
"""For how many seconds a question waits for its answer."""


class Report(msgspec.Struct):
    """What a runner says.

    Attributes:
        outcome: What became of a message; None where a turn has only begun.
    """

    outcome: Outcome | None = None


def _say(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


async def _think_for_ever() -> None:
    _say(Report())
    await anyio.sleep_forever()


async def _nothing() -> None:
    pass


async def _serve(path: str, lease: float, *, slow: bool) -> None:
    url = f"sqlite:///{path}"
    async with create_session_store(url) as store, create_conversation_store(url) as conversations:
        runner = Runner(store, conversations, TTL_S, lease=lease, think=_think_for_ever if slow else _nothing)
        while line := await to_thread.run_sync(sys.stdin.buffer.readline):
            _say(Report(await runner.handle(decode_update(line))))


if __name__ == "__main__":
    _, where, seconds, *words = sys.argv
    anyio.run(partial(_serve, where, float(seconds), slow=SLOW in words))
