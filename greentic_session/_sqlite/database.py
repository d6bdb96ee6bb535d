"""A database: operations of any event loop and thread, run by a writer and a reader."""

import os
import sqlite3
import weakref
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from greentic_session._concurrency.shield import shielded
from greentic_session._concurrency.signal import new_signal
from greentic_session._json.fields import check_choice
from greentic_session.errors import UnavailableError
from greentic_session.expiry import Seconds, milliseconds

from .file import Durability, File
from .job import Job, Lookup
from .schema import SchemaPart
from .worker import Upkeep, Worker

__all__ = ["Database"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
F = TypeVar("F")


class Database:
    """A database in a file. No I/O before the first operation, which makes the file.

    Any number of threads and event loops (asyncio and trio) may share one, and any number of
    processes the file. A forked child goes on with connections of its own. It need not be closed:
    its threads end when nobody refers to it any more.

    Args:
        path: The file; a relative path is resolved now.
        parts: The schema of those who use it.
        durability: ``"power"``: what was acknowledged survives a power cut; ``"process"``: only
            the death of the process.
        timeout: For how many seconds an operation waits for the locks of other processes.
        upkeep: What the writer does now and then, unasked, while the database is in use.

    Raises:
        InvalidInputError: `durability` is neither of these, or `timeout` is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parts: Sequence[SchemaPart],
        *,
        durability: Durability = "power",
        timeout: Seconds = 5.0,
        upkeep: Upkeep | None = None,
    ) -> None:
        check_choice("durability", durability, "power", "process")
        seconds = milliseconds(timeout, "timeout") / 1000
        self.file: File = File(path, parts, durability, seconds)
        self._timeout = seconds
        self._reader = Worker(self.file, "read", seconds)
        self._long_reader = Worker(self.file, "read", seconds, max_jobs=1)
        readers = self._reader, self._long_reader
        self._writer = Worker(self.file, "write", seconds, upkeep, closes_after=readers)
        self._workers = *readers, self._writer
        self._closed = False
        # Without atexit: what waits then is done by the workers' own.
        weakref.finalize(self, _stop, *self._workers).atexit = False

    @property
    def path(self) -> str:
        """The file's absolute path."""
        return self.file.path

    async def write(
        self,
        work: Callable[[sqlite3.Connection], T],
        undo: Callable[[sqlite3.Connection, T], object] | None = None,
    ) -> T:
        """Run an operation in a transaction, with others that wait; return when it is committed.

        It has either happened completely or not. A cancelled one that has not begun never will; one
        that has begun is waited for, so that no later call finds it half way.

        Args:
            work: What to do, in the writer's thread. It checks before it writes: an error that it
                raises after that costs the others of its group a second run. It may run again.
            undo: Takes back what it did, given its result, where the caller was cancelled and
                does not get to know of it: for what only the caller could give back.

        Raises:
            CorruptStoreError: The file is damaged, or something else.
            SchemaVersionError: A newer release made the file.
            UnavailableError: The disk is full, the file cannot be written, a lock lasts, or the
                database was closed.
        """
        return cast("T", await self._run(self._writer, Job(work, undo, new_signal())))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation that only reads, on one state of the database; return its result.

        Args:
            work: What to do, in the reader's thread. It is short: others wait for it.

        Raises:
            GreenticError: As `write`.
        """
        return cast("T", await self._run(self._reader, Job(work, None, new_signal())))

    def look_up(
        self,
        select: Callable[[sqlite3.Connection, Sequence[K]], Mapping[K, F]],
        key: K,
        make: Callable[[F | None], T],
    ) -> Coroutine[Any, Any, T]:
        """Read what is stored under a key, on one state of the database, and make a result of it.

        Lookups that wait at the same time are read by one statement for many, and not by one each.

        Args:
            select: Reads what is stored under some keys; what is absent it leaves out. Lookups are
                of a kind if they have the same. It fails only if the storage does.
            key: Under which key.
            make: Makes the result, in the reader's thread; its error is raised.

        Raises:
            GreenticError: As `write`.
        """
        return self._run(self._reader, Lookup(select, key, make, new_signal()))

    async def read_apart(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation that reads for longer, so that others need not wait for it.

        Such operations run one by one, in a thread and on a connection of their own.

        Raises:
            GreenticError: As `write`.
        """
        return cast("T", await self._run(self._long_reader, Job(work, None, new_signal())))

    async def read_alone(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation that reads for minutes, in a thread that is made for it.

        Raises:
            GreenticError: As `write`.
        """
        worker = Worker(self.file, "read", self._timeout)
        job = Job(work, None, new_signal())
        try:
            return cast("T", await self._run(worker, job))
        finally:
            worker.stop()
            if not job.abandoned:
                await shielded(worker.ended)

    async def _run(self, worker: Worker, job: Job) -> Any:
        if self._closed:
            raise UnavailableError("the store is closed")
        worker.submit(job)
        try:
            assert job.signal is not None
            await job.signal
        except BaseException as error:
            # A coroutine that is closed (GeneratorExit) cannot wait.
            signal = worker.abandon(job, waits=not isinstance(error, GeneratorExit))
            if signal is not None:
                await shielded(signal.wait)
            raise
        return job.outcome()

    def close(self) -> None:
        """Do as `aclose` does, without an event loop: it blocks until the file is closed."""
        self._closed = True
        _stop(*self._workers)
        for worker in self._workers:
            worker.join()

    async def aclose(self) -> None:
        """Let what was handed in be done, then close the file and end the threads; idempotent."""
        self._closed = True
        _stop(*self._workers)
        await shielded(partial(_ended, *self._workers))


def _stop(*workers: Worker) -> None:
    for worker in workers:
        worker.stop()


async def _ended(*workers: Worker) -> None:
    for worker in workers:
        await worker.ended()
