"""A process that runs `worker`; the argument is for how many seconds turns may finish.

Its flow prints which attempt begins, and takes as long as there is the file HOLD.
"""

import asyncio
import os
import sys
from pathlib import Path

from worker import main

from greentic_session import Claim

HOLD = Path(os.environ["HOLD"])


async def work(claim: Claim) -> None:
    print(claim.attempt, flush=True)  # noqa: T201  # whoever started it reads this
    while HOLD.exists():  # noqa: ASYNC110, ASYNC240  # another process removes it
        await asyncio.sleep(0.02)
    await claim.complete()


asyncio.run(main(work, float(sys.argv[1])))
