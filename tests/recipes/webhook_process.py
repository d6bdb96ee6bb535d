"""A process that serves `fastapi_webhook` on a free port, and prints the port.

It counts in Redis how often the flow has run. STORE_URL names the Redis, COUNTER the key of the
counter.
"""

import asyncio
import os
import socket

import redis.asyncio
import uvicorn
from fastapi_webhook import book, make_app


async def count_and_book(number: str, guests: str) -> str:
    async with redis.asyncio.Redis.from_url(os.environ["STORE_URL"]) as client:
        await client.incr(os.environ["COUNTER"])
    await asyncio.sleep(0.2)  # long enough for the same delivery to come in meanwhile
    return await book(number, guests)


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)  # noqa: T201  # whoever started it reads this
    uvicorn.Server(uvicorn.Config(make_app(count_and_book), log_level="warning")).run([listener])
