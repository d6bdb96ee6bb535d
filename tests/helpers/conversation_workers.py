"""Processes that write conversations on one machine, into the store of a URL.

Run as a script, they say on standard output what was acknowledged.
"""

import asyncio
import random
import sys
from pathlib import Path

from greentic_session.conversation import create_conversation_store
from greentic_session.errors import ConflictError
from greentic_session.testing._conversations.samples import OPS, said


def say(*words: object) -> None:
    """Say something at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def append(url: str, writer: str, count: int) -> None:
    """Append so many messages, one by one."""
    async with create_conversation_store(url) as store:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        for index in range(count):
            await store.append(OPS, "c", *said(f"{writer} {index}"))
    say("done")


async def everything(url: str, writer: str, seed: int) -> None:
    """Append, update and save until killed; say after each what is certain now."""
    choose = random.Random(seed)
    appended = events = saved = 0
    async with create_conversation_store(url) as store:
        while True:
            kind = choose.choice("aaaus")
            if kind == "a":
                several = choose.randint(1, 4)
                size = choose.choice([1, 100, 20_000])
                await store.append(
                    OPS, "c", *said(*(f"{writer} {index} {'x' * size}" for index in range(appended, appended + several)))
                )
                appended += several
            elif kind == "u":
                await store.update_state(OPS, "c", custom={writer: events + 1})
                events += 1
            else:
                conversation = await store.load(OPS, "c")
                conversation.metadata[writer] = str(saved + 1)
                try:
                    await store.save(OPS, conversation)
                    saved += 1
                except ConflictError:
                    continue
            say(appended, events, saved)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    job, where, who, number = sys.argv[1:]
    asyncio.run({"append": append, "everything": everything}[job](where, who, int(number)))
