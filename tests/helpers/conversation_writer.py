"""A process that appends to one conversation.

``conversation_writer.py url namespace name count``; a line lets it begin.
"""

import asyncio
import sys

from greentic_session.conversation import RedisConversationStore, TokenUsage
from greentic_session.testing._conversations.samples import OPS, said


async def write(url: str, namespace: str, name: str, count: int) -> None:
    async with RedisConversationStore.from_url(url, namespace=namespace, timeout=60, connect_timeout=60) as store:
        await store.health()
        print("ready", flush=True)  # noqa: T201  # to the test
        sys.stdin.readline()
        for number in range(count):
            await store.append(OPS, "c", *said(f"{name} {number}"))
            if number % 10 == 0:
                await store.update_state(OPS, "c", add_usage=TokenUsage(1, 2), add_events=1)


if __name__ == "__main__":
    url, namespace, name, count = sys.argv[1:]
    asyncio.run(write(url, namespace, name, int(count)))
