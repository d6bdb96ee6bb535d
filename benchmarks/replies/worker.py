"""A process with a Runner, whose handler tells on stdout when its first line runs.

Run as a program with the URL of a store. Per turn it writes when it began, in nanoseconds of the
monotonic clock, then that it is busy, and goes on when it reads a line.
"""

import asyncio
import sys
import time

from greentic_session import Claim, Runner, create_session_store

__all__: list[str] = []  # run as a program


async def main(url: str) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    first = True

    async def handle(claim: Claim) -> None:
        nonlocal first
        began = time.monotonic_ns()
        sys.stdout.write("busy\n" if first else f"{began}\nbusy\n")
        sys.stdout.flush()
        first = False
        if await told.readline():
            await claim.stay()

    async with create_session_store(url) as store, Runner(store, handle):
        while not told.at_eof():  # noqa: ASYNC110  # the end of stdin has no event
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
