"""A worker that takes what is ready until SIGTERM, and finishes what it has begun. Run it with::

STORE_URL=redis://localhost python worker.py
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from greentic_session import Claim, Runner, create_session_store


async def work(claim: Claim) -> None:
    """Your flow."""
    await claim.complete()


async def main(work: Callable[[Claim], Awaitable[None]] = work, shutdown_timeout: float = 25) -> None:
    """Serve until SIGTERM or SIGINT.

    Then nothing new is taken. Turns have `shutdown_timeout` seconds to finish, less than whoever
    sent the signal waits before SIGKILL (Kubernetes: 30); what is cancelled then is ready at once,
    for the next worker, as if it had not been begun.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        create_session_store(os.environ["STORE_URL"]) as store,
        Runner(store, work, shutdown_timeout=shutdown_timeout),
    ):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
