"""Conversations in files, as a `ConversationBackend`.

Every operation one call in a worker thread.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from threading import get_ident
from typing import Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar

from greentic_session._concurrency.shield import shielded
from greentic_session._concurrency.workers import Crew, Steps
from greentic_session._expiry.expiring import Timer
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.backends.file import listing
from greentic_session.conversation.backends.file.disk import check_usable, refused, warn_if_exposed
from greentic_session.conversation.backends.file.handles import Busy
from greentic_session.conversation.backends.file.names import conversation_name, partition_name
from greentic_session.conversation.backends.file.partitions import Partitions
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Expected, Header, Lifetime
from greentic_session.errors import GreenticError, OperationTimeoutError
from greentic_session.tenancy import Partition

__all__ = ["FileConversationBackend"]

T = TypeVar("T")

_WORKERS: Final = 1
"""For brief calls.

Two would wait for each other at every call of the system, and do a third less together.
"""
_TOGETHER: Final = 128
_SLOW_WORKERS: Final = 8
"""For what may take long: others should not have to wait for it."""
_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.02
_STEP: Final = 64
"""How many conversations a purge removes at a time."""
_FEW: Final = 1000
"""So many messages are read without others having to wait long for it."""


_CREWS: Final[RunVar["WeakKeyDictionary[FileConversationBackend, tuple[Crew, Crew]]"]] = RunVar("greentic_session crews")
"""Of this event loop, for each backend.

The one for brief calls, the one for those that may take long.
"""


class FileConversationBackend(ConversationBackend):
    """Conversations in files.

    Args:
        directory: Where; an absolute path.
        bases: The directories that should be nobody else's; `directory` and, with a namespace,
            the one that it is in.
        timer: Tells the time in seconds since the Unix epoch: lifetimes are measured by it.
        sync: Whether the disk must have what is written before a call returns.
        lock_timeout: How many seconds to wait for other processes that are at the same
            conversation.
    """

    system = "file"

    def __init__(self, directory: str, timer: Timer, *, bases: Sequence[str], sync: bool, lock_timeout: float) -> None:
        self.directory = directory
        self._unchecked = tuple(bases)
        self._partitions = Partitions(timer, sync=sync)
        self._lock_timeout = lock_timeout
        self._crews: WeakSet[Crew] = WeakSet()
        self._latest: tuple[int, asyncio.AbstractEventLoop, tuple[Crew, Crew]] | None = None
        self._base = lru_cache(4096)(self._base_of)

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        base = self._base(partition, id)
        work = partial(self._partitions.put, base, partition, id, header, messages, expected, life)
        return await self._slow(base, work)

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        base = self._base(partition, id)
        return await self._slow(base, partial(self._partitions.load, base, partition, id, life))

    async def delete(self, partition: Partition, id: str) -> None:
        base = self._base(partition, id)
        await self._slow(base, partial(self._partitions.delete, base, partition, id))

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        base = self._base(partition, id)
        work = partial(self._partitions.append, base, partition, id, messages, now, life)
        return await self._run(base, work, brief=len(messages) <= _FEW)

    async def messages(self, partition: Partition, id: str, last: int | None, life: Lifetime) -> tuple[int, list[bytes]]:
        base = self._base(partition, id)
        work = partial(self._partitions.messages, base, partition, id, last, life)
        return await self._run(base, partial(_at_once, work), brief=last is not None and last <= _FEW)

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        base = self._base(partition, id)
        await self._run(base, partial(self._partitions.update, base, partition, id, change, now, life))

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        work = partial(listing.recent, self._partitions, self._path(partition), partition, limit, after, since)
        return await self._slow(object(), work)

    async def purge(self, partition: Partition) -> int:
        directory = self._path(partition)
        bases = await self._slow(object(), partial(listing.bases, directory))
        erased: list[bool] = []
        while bases:
            step = bases[-_STEP:]
            del bases[-_STEP:]
            while step:
                await self._slow(object(), partial(self._partitions.purge, step, erased))
        await self._slow(object(), partial(_remove_directory, directory))
        return len(erased)

    async def health(self) -> None:
        await self._slow(object(), partial(check_usable, self.directory))

    async def aclose(self) -> None:
        self.closed = True
        for crew in list(self._crews):
            crew.close()
        await shielded(partial(to_thread.run_sync, self._partitions.handles.close, limiter=anyio.CapacityLimiter(1)))

    def _path(self, partition: Partition) -> str:
        return os.path.join(self.directory, partition_name(partition))  # noqa: PTH118

    def _base_of(self, partition: Partition, id: str) -> str:
        return f"{self._path(partition)}{os.sep}{conversation_name(id)}"

    def _crew(self, *, brief: bool) -> Crew:
        latest = self._latest
        # The loop that runs in this thread is the same as at the last call. To ask which it is goes
        # to the kernel, before Python 3.12.
        if latest is not None and latest[0] == get_ident() and latest[1].is_running():
            return latest[2][0 if brief else 1]
        try:
            all_crews = _CREWS.get()
        except LookupError:
            all_crews = WeakKeyDictionary()
            _CREWS.set(all_crews)
        crews = all_crews.get(self)
        if crews is None:
            crews = all_crews[self] = Crew(_WORKERS, _TOGETHER), Crew(_SLOW_WORKERS, 1)
            self._crews.update(crews)
        try:
            self._latest = get_ident(), asyncio.get_running_loop(), crews
        except RuntimeError:
            self._latest = None  # trio
        return crews[0 if brief else 1]

    async def _slow(self, key: object, work: Callable[[], T]) -> T:
        return await self._run(key, partial(_at_once, work), brief=False)

    async def _run(self, key: object, work: Callable[[], Steps[T]], *, brief: bool = True) -> T:
        """Run a job in a thread; files that another process holds are awaited without blocking."""
        crew = self._crew(brief=brief)
        pause, give_up = _FIRST_PAUSE, 0.0
        while True:
            try:
                return await crew.run(key, partial(self._guarded, work))
            except Busy as busy:
                now = time.monotonic()
                give_up = give_up or now + self._lock_timeout
                if now >= give_up:
                    raise OperationTimeoutError("others did not let go of the conversation in time") from busy
            await anyio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # no secret
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _guarded(self, work: Callable[[], Steps[T]]) -> Steps[T]:
        self.check_open()
        if self._unchecked:  # those that are missing are checked again, when somebody has made them
            self._unchecked = tuple(base for base in self._unchecked if not warn_if_exposed(base))
        try:
            return (yield from work())
        except GreenticError:
            raise  # some of them are OSErrors too
        except OSError as error:
            raise refused(error) from error


def _at_once(work: Callable[[], T]) -> Steps[T]:
    """Make one step of a call."""
    yield from ()
    return work()


def _remove_directory(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106
    except OSError:
        pass  # something came in meanwhile, or is somebody else's
