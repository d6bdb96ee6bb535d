"""Backend for conversations in files: every operation is one call in a worker thread."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from threading import get_ident
from typing import Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar

from greentic_session._concurrency.shield import shielded
from greentic_session._concurrency.workers import Steps, WorkerPool
from greentic_session._expiry.expiring import Timer
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.backends.file import listing
from greentic_session.conversation.backends.file.disk import check_usable, unavailable, warn_if_exposed
from greentic_session.conversation.backends.file.handles import Busy
from greentic_session.conversation.backends.file.partitions import Partitions
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Expected, Header, Lifetime
from greentic_session.conversation.jsonl.names import conversation_name, partition_name
from greentic_session.errors import GreenticError, OperationTimeoutError
from greentic_session.tenancy import Partition

__all__ = ["FileConversationBackend"]

T = TypeVar("T")

_BRIEF_CALL_THREADS: Final = 1
"""Threads for brief calls: two would wait for each other at every system call, and do less."""
_MAX_BRIEF_CALLS_PER_BATCH: Final = 128
_LONG_CALL_THREADS: Final = 8
"""Threads for calls that may take long, so that brief calls do not wait for them."""
_FIRST_RETRY_PAUSE_S: Final = 0.0002
_MAX_RETRY_PAUSE_S: Final = 0.02
_PURGE_BATCH: Final = 64
"""How many conversations a purge removes per call."""
_MAX_BRIEF_MESSAGES: Final = 1000
"""How many messages a brief call reads or writes at most."""


_Pools: TypeAlias = tuple[WorkerPool, WorkerPool]
"""The worker pools of a backend: one for brief calls, one for calls that may take long."""

_POOLS: Final[RunVar["WeakKeyDictionary[FileConversationBackend, _Pools]"]] = RunVar("greentic_session worker pools")
"""The worker pools of an event loop, by backend."""


class FileConversationBackend(ConversationBackend):
    """Backend for conversations in files.

    Args:
        directory: The directory of the files; an absolute path.
        bases: The directories that no other user should be able to change: `directory` and, with
            a namespace, the one above.
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
        sync: Whether writes are on the disk when a call returns.
        lock_timeout: How many seconds to wait for another process that holds the lock of a
            conversation.
    """

    system = "file"

    def __init__(self, directory: str, timer: Timer, *, bases: Sequence[str], sync: bool, lock_timeout: float) -> None:
        self.directory = directory
        self._bases_to_check = tuple(bases)
        self._partitions = Partitions(timer, sync=sync)
        self._lock_timeout = lock_timeout
        self._pools: WeakSet[WorkerPool] = WeakSet()
        self._latest: tuple[int, asyncio.AbstractEventLoop, _Pools] | None = None
        self._base = lru_cache(4096)(self._base_of)

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        base = self._base(partition, id)
        work = partial(self._partitions.put, base, partition, id, header, messages, expected, life)
        return await self._run_long(base, work)

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        base = self._base(partition, id)
        return await self._run_long(base, partial(self._partitions.load, base, partition, id, life))

    async def delete(self, partition: Partition, id: str) -> None:
        base = self._base(partition, id)
        await self._run_long(base, partial(self._partitions.delete, base, partition, id))

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        base = self._base(partition, id)
        work = partial(self._partitions.append, base, partition, id, messages, now, life)
        return await self._run(base, work, brief=len(messages) <= _MAX_BRIEF_MESSAGES)

    async def messages(self, partition: Partition, id: str, last: int | None, life: Lifetime) -> tuple[int, list[bytes]]:
        base = self._base(partition, id)
        work = partial(self._partitions.messages, base, partition, id, last, life)
        return await self._run(base, partial(_in_one_step, work), brief=last is not None and last <= _MAX_BRIEF_MESSAGES)

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        base = self._base(partition, id)
        await self._run(base, partial(self._partitions.update, base, partition, id, change, now, life))

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        work = partial(listing.recent, self._partitions, self._path(partition), partition, limit, after, since)
        return await self._run_long(object(), work)

    async def purge(self, partition: Partition) -> int:
        directory = self._path(partition)
        bases = await self._run_long(object(), partial(listing.bases, directory))
        erased: list[bool] = []
        while bases:
            step = bases[-_PURGE_BATCH:]
            del bases[-_PURGE_BATCH:]
            while step:
                await self._run_long(object(), partial(self._partitions.purge, step, erased))
        await self._run_long(object(), partial(_remove_directory, directory))
        return len(erased)

    async def health(self) -> None:
        await self._run_long(object(), partial(check_usable, self.directory))

    async def aclose(self) -> None:
        self.closed = True
        for pool in list(self._pools):
            pool.close()
        await shielded(partial(to_thread.run_sync, self._partitions.handles.close, limiter=anyio.CapacityLimiter(1)))

    def _path(self, partition: Partition) -> str:
        return os.path.join(self.directory, partition_name(partition))  # noqa: PTH118

    def _base_of(self, partition: Partition, id: str) -> str:
        return f"{self._path(partition)}{os.sep}{conversation_name(id)}"

    def _pool(self, *, brief: bool) -> WorkerPool:
        latest = self._latest
        # The same loop runs in this thread as at the last call. Before Python 3.12, to ask for the
        # running loop is a system call.
        if latest is not None and latest[0] == get_ident() and latest[1].is_running():
            return latest[2][0 if brief else 1]
        try:
            pools_by_backend = _POOLS.get()
        except LookupError:
            pools_by_backend = WeakKeyDictionary()
            _POOLS.set(pools_by_backend)
        pools = pools_by_backend.get(self)
        if pools is None:
            brief_calls = WorkerPool(_BRIEF_CALL_THREADS, _MAX_BRIEF_CALLS_PER_BATCH)
            pools = pools_by_backend[self] = brief_calls, WorkerPool(_LONG_CALL_THREADS, 1)
            self._pools.update(pools)
        try:
            self._latest = get_ident(), asyncio.get_running_loop(), pools
        except RuntimeError:
            self._latest = None  # trio
        return pools[0 if brief else 1]

    async def _run_long(self, key: object, work: Callable[[], T]) -> T:
        return await self._run(key, partial(_in_one_step, work), brief=False)

    async def _run(self, key: object, work: Callable[[], Steps[T]], *, brief: bool = True) -> T:
        """Run a job in a thread; files that another process holds are awaited without blocking."""
        pool = self._pool(brief=brief)
        pause, deadline = _FIRST_RETRY_PAUSE_S, 0.0
        while True:
            try:
                return await pool.run(key, partial(self._translating_errors, work))
            except Busy as busy:
                now = time.monotonic()
                deadline = deadline or now + self._lock_timeout
                if now >= deadline:
                    raise OperationTimeoutError("others did not let go of the conversation in time") from busy
            await anyio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # no secret
            pause = min(pause * 1.5, _MAX_RETRY_PAUSE_S)

    def _translating_errors(self, work: Callable[[], Steps[T]]) -> Steps[T]:
        self.check_open()
        if self._bases_to_check:  # a missing directory is checked again when it was made
            self._bases_to_check = tuple(base for base in self._bases_to_check if not warn_if_exposed(base))
        try:
            return (yield from work())
        except GreenticError:
            raise  # some of them are OSErrors too
        except OSError as error:
            raise unavailable(error) from error


def _in_one_step(work: Callable[[], T]) -> Steps[T]:
    """Return a call as one step."""
    yield from ()
    return work()


def _remove_directory(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106
    except OSError:
        pass  # it has new or foreign files
