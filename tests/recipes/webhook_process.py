"""A process that serves `fastapi_webhook` on a free port, and prints the port.

Its shop notes in the directory SHOP what it is asked for, one line a call, and does nothing while
there is a file called ``hold``. STORE_URL names the store.
"""

import asyncio
import os
import socket
from pathlib import Path

import uvicorn
from fastapi_webhook import make_app

SHOP = Path(os.environ["SHOP"])


class Shop:
    async def _note(self, what: str, order: str, key: str) -> None:
        with (SHOP / "calls").open("a") as file:  # one write of one line: processes do not mix theirs
            file.write(f"{what} {order} {key}\n")
        while (SHOP / "hold").exists():  # noqa: ASYNC110  # another process removes it
            await asyncio.sleep(0.02)
        with (SHOP / "done").open("a") as file:
            file.write(f"{what} {order} {key}\n")

    async def charge(self, order: str, key: str) -> str:
        await self._note("charge", order, key)
        return f"p-{order}"

    async def ship(self, order: str, key: str) -> None:
        await self._note("ship", order, key)

    async def refund(self, order: str, key: str) -> None:
        await self._note("refund", order, key)


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)  # noqa: T201  # whoever started it reads this
    uvicorn.Server(uvicorn.Config(make_app(Shop()), log_level="warning")).run([listener])
