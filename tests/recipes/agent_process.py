"""A process with an agent at work, until SIGTERM.

It notes in the file NOTES what it says and with which key it refunds, which takes as long as there
is a file called ``hold`` beside it. STORE_URL is the URL of its stores.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from agent_loop import Agent, Tool
from agent_script import scripted

from greentic_session import Runner, TenantCtx, create_session_store
from greentic_session.conversation import create_conversation_store

NOTES = Path(os.environ["NOTES"])


def note(line: str) -> None:
    with NOTES.open("a") as file:
        file.write(f"{line}\n")


async def say(ctx: TenantCtx, chat: str, text: str, use: str | None) -> None:
    note(f"say {text}")


async def look_up(key: str, input: Any) -> str:
    return "lost"


async def refund(key: str, input: Any) -> str:
    note(f"refund {key}")
    while NOTES.with_name("hold").exists():  # noqa: ASYNC110  # another process removes it
        await asyncio.sleep(0.02)
    return "paid"


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    url = os.environ["STORE_URL"]
    async with create_session_store(url) as store, create_conversation_store(url) as conversations:
        tools = {"look_up": Tool(look_up), "refund": Tool(refund, needs_approval=True)}
        async with Runner(store, Agent(conversations, scripted, tools, say).work):
            await stop.wait()


asyncio.run(main())
