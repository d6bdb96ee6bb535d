"""Runners at work on many places, with a record of all that they do: one process of several.

Run as a program: its URL, its number, and the file of its record, which a later process of the same
number goes on with. It ends when it is told by SIGTERM.
"""

import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from greentic_session import NEVER, Claim, GreenticError, ReplyScope, Runner, TenantCtx, create_session_store
from greentic_session.store import SessionStore
from greentic_session.testing._sessions.samples import data

from .recording import History, RecordingBackend

__all__ = ["LEASE_S", "PROCESSES", "Herd", "begun_at", "deliveries_of", "name", "owner_of", "park_all", "scope_of"]

PROCESSES = 4
LEASE_S = 1.0
_TASKS = 16
_CONCURRENCY = 64
_TENANTS = 5
_RETRY_S = 0.5
_MAX_ATTEMPTS = 100_000
"""No turn is given up: it would rest for minutes."""


def name(place: int) -> str:
    """Return the name of a place: the conversation of its scope, and its session's key."""
    return f"chat-{place}"


def owner_of(place: int) -> TenantCtx:
    """Return whose place it is."""
    return TenantCtx.new("dev", f"tenant-{place % _TENANTS}", user=f"user-{place}")


def scope_of(place: int) -> ReplyScope:
    return ReplyScope(name(place))


async def park_all(store: SessionStore, places: int) -> None:
    """Park a wait at each place, without a lifetime."""
    for place in range(places):
        owner = owner_of(place)
        await store.register_wait(owner, owner.user_id or "", scope_of(place), name(place), data(owner), NEVER)


class Herd:
    """The tasks of one process: a Runner, and senders who repeat a delivery until it is accepted.

    Args:
        store: Its backend records.
        deliveries: What to deliver: the place, and an id for it.
        chance: Decides what handlers do.
    """

    def __init__(self, store: SessionStore, deliveries: Iterator[tuple[int, str]], chance: random.Random) -> None:
        self._store = store
        self._deliveries = deliveries
        self._chance = chance

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Let the Runner be at work; the block begins when all is delivered."""
        async with Runner(
            self._store, self._handle, concurrency=_CONCURRENCY, lease=LEASE_S, max_attempts=_MAX_ATTEMPTS
        ) as runner:
            async with anyio.create_task_group() as tasks:
                for _ in range(_TASKS):
                    tasks.start_soon(self._send, runner)
            yield

    async def _send(self, runner: Runner) -> None:
        for place, delivery_id in self._deliveries:
            owner = owner_of(place)
            while True:
                try:
                    await runner.deliver(owner, owner.user_id or "", scope_of(place), delivery_id, delivery_id=delivery_id)
                    break
                except GreenticError:  # the store is away
                    await anyio.sleep(_RETRY_S)

    async def _handle(self, claim: Claim) -> None:
        await anyio.sleep(self._chance.choice((0, 0, 0.001, 0.003)))
        fate = self._chance.random()
        if fate < 0.01 and claim.attempt == 1:
            raise RuntimeError
        if fate < 0.03:
            await claim.release()
        elif fate < 0.3:
            await claim.park(claim.scope, claim.data, NEVER)
        else:
            await claim.stay()


def deliveries_of(number: int, places: int, each: int, done: set[str]) -> Iterator[tuple[int, str]]:
    """Yield what one process has to deliver; every place has replies of all of them."""
    for reply in range(each):
        for place in range(places):
            delivery_id = f"{place}:{reply}"
            if (place + reply) % PROCESSES == number and delivery_id not in done:
                yield place, delivery_id


def appender(path: str) -> Callable[[str], object]:
    """Return what puts a line at the end of a file, all at once."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return lambda line: os.write(file, line.encode())


def begun_at(path: str, pid: int) -> Path:
    """Return the file that is there once the process with a record heeds SIGTERM."""
    return Path(f"{path}.{pid}")


def read(path: str) -> list[str]:
    """Return the lines of a record."""
    there = Path(path)
    return there.read_text().splitlines(keepends=True) if there.exists() else []


async def work(url: str, number: int, path: str, places: int, each: int) -> None:
    """Deliver, and work on what is ready, until SIGTERM."""
    done = History(read(path)).accepted
    process = f"{number}.{os.getpid()}"
    async with create_session_store(url) as inner:
        store = SessionStore(RecordingBackend(inner.backend, appender(path), process))
        herd = Herd(store, deliveries_of(number, places, each, done), random.Random(process))
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            begun_at(path, os.getpid()).touch()
            async with herd.serving():
                async for _ in signals:
                    break


if __name__ == "__main__":
    logging.disable()  # handlers raise on purpose
    url, number, path, places, each = sys.argv[1:]
    anyio.run(work, url, int(number), path, int(places), int(each))
