"""Threads that run operations on a database in groups, with one transaction and one sync each.

A database has a writer and two readers, each with a connection of its own. A worker
takes all that waits (group commit), runs it in one transaction, and wakes the callers when that is
committed. Its thread starts with the first operation, and ends with `stop`.
"""

import atexit
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal, TypeAlias

from greentic_session._concurrency.signal import Signal, new_signal, set_all
from greentic_session.errors import GreenticError, UnavailableError

from .errors import is_of_the_storage, translate
from .file import File, Patience
from .forking import Holder
from .job import Job, Lookup, Select
from .schema import is_current

__all__ = ["Upkeep", "Worker"]

_THREAD_NAME: Final = "greentic-session-sqlite"
_MAX_GROUP_JOBS: Final = 512
_FIRST_UPKEEP_S: Final = 1.0
_FAILED_UPKEEP_S: Final = 60.0
_EXIT_WAIT_S: Final = 5.0
_MAX_WAL_BYTES: Final = 16 * 1024 * 1024
_WAL_CHECK_S: Final = 1.0
_CHECKPOINT_WAIT_MS: Final = 200

Upkeep: TypeAlias = Callable[[sqlite3.Connection], float]
"""Work that the writer does now and then, in a transaction and in one bounded step; it returns in
how many seconds to come back. It holds no reference to the store."""


class _StaleSchemaError(Exception):
    """The schema is not the current one any more: somebody replaced what is in the file."""


class Worker:
    """One thread with one connection.

    Args:
        file: The database's file.
        mode: Whether it writes.
        timeout: For how many seconds a group waits for locks.
        upkeep: What a writer does now and then, unasked; None for nothing.
        closes_after: Other workers of the same database. Of two connections that close at the same
            moment neither sees that it is the last, which puts the log into the database.
        max_jobs: How many jobs there are in a group at most.
    """

    def __init__(
        self,
        file: File,
        mode: Literal["write", "read"],
        timeout: float,
        upkeep: Upkeep | None = None,
        *,
        closes_after: "Sequence[Worker]" = (),
        max_jobs: int = _MAX_GROUP_JOBS,
    ) -> None:
        self._file = file
        self._writes = mode == "write"
        self._timeout = timeout
        self._upkeep = upkeep
        self._upkeep_due = 0.0
        self._closes_after = closes_after
        self._max_jobs = max_jobs
        self._holder = Holder(file, read_only=not self._writes)
        self._known_version = -1
        self._wal_checked = 0.0
        self._begin_anew()
        _workers.add(self)

    def _begin_anew(self) -> None:
        # Reentrant: the garbage collector may close a waiting coroutine at any moment, and that
        # takes back its job.
        self._lock = threading.RLock()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._running = False
        self._stopping = False
        self._waiting_for_end: list[Signal] = []

    # -- in the callers' threads

    def submit(self, job: Job) -> None:
        """Hand a job to the thread, which is started where none runs.

        Raises:
            UnavailableError: No thread is to be had.
        """
        self._queue.put(job)
        with self._lock:
            if self._running:
                return
            thread = threading.Thread(target=self._run, name=_THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                job.abandoned = True
                raise UnavailableError("no thread can be started for the database") from error
            self._thread, self._running = thread, True

    def abandon(self, job: Job, *, waits: bool) -> Signal | None:
        """Take a job back: its caller has left.

        A job that has not begun never will; the effect of one that has is undone, if it has an
        `undo`, behind it.

        Args:
            job: The job.
            waits: Whether the caller can wait for the end of a job that is under way.

        Returns:
            The signal of the end of a job that is under way; None where that is settled.
        """
        with self._lock:
            job.abandoned = True
            undoing = job.undoing() if job.done else None
            job.signal = signal = new_signal() if waits and job.begun and not job.done else None
        if undoing is not None:
            self.submit(undoing)
        return signal

    def stop(self) -> None:
        """Let the thread end when it has done all that waits. May be called at any moment."""
        self._stopping = True
        self._queue.put(None)

    async def ended(self) -> None:
        """Wait for the end of the thread."""
        with self._lock:
            signal = new_signal() if self._running else None
            if signal is not None:
                self._waiting_for_end.append(signal)
        if signal is not None:
            await signal.wait()
        self.join()  # it has left its last transaction: nearly done

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, without an event loop."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def reset_after_fork(self) -> None:
        """Begin anew in a child, where the thread does not run and none of the callers is."""
        stopping = self._stopping
        self._begin_anew()
        self._stopping = stopping

    # -- in the thread

    def _run(self) -> None:
        self._upkeep_due = time.monotonic() + _FIRST_UPKEEP_S
        while True:
            job = self._next()
            if job is not None:
                self._run_group(job)
            if self._stopping and self._queue.empty():
                for other in self._closes_after:
                    other.join()
                self._holder.close()
                with self._lock:
                    if self._queue.empty():
                        self._running = False
                        signals, self._waiting_for_end = self._waiting_for_end, []
                        break
        set_all(signals)

    def _next(self) -> Job | None:
        """Return the next job, or the upkeep when it is due; None if the thread is to stop."""
        if self._upkeep is None or self._stopping:
            return self._queue.get()
        left = self._upkeep_due - time.monotonic()
        if left > 0:
            with suppress(Empty):
                return self._queue.get(timeout=left)
        return Job(self._keep_up, None, None)

    def _keep_up(self, connection: sqlite3.Connection) -> None:
        self._upkeep_due = time.monotonic() + _FAILED_UPKEEP_S
        if self._upkeep is not None:
            self._upkeep_due = time.monotonic() + self._upkeep(connection)

    def _run_group(self, first: Job) -> None:
        jobs = [first]
        try:
            self._commit(jobs)
        except Exception as error:  # noqa: BLE001  # raised in each caller
            self._fail(jobs, error)
        undoings = []
        with self._lock:
            for job in jobs:
                job.done = True
                if job.abandoned and (undoing := job.undoing()) is not None:
                    undoings.append(undoing)
        for undoing in undoings:  # ahead of whatever a caller does next
            self._queue.put(undoing)
        set_all(job.signal for job in jobs if job.signal is not None)
        if self._writes:
            self._bound_wal()

    def _commit(self, jobs: list[Job]) -> None:
        """Run jobs, and those that wait meanwhile, to their commit."""
        patience = Patience(self._timeout)
        upgraded = False
        while True:
            try:
                with self._holder.use() as connection:
                    # A read sees the state of its transaction's beginning: one that came later
                    # might miss what its caller has just written. A write sees the latest.
                    if not self._writes:
                        self._take_waiting(jobs)
                    self._begin(connection)
                    if self._writes:
                        self._take_waiting(jobs)
                    while not self._work(connection, jobs):
                        connection.rollback()
                        self._begin(connection)
                    connection.execute("COMMIT")
            except _StaleSchemaError:
                if upgraded:
                    raise
                upgraded = True
            except sqlite3.Error as error:
                patience.pause(error)
            else:
                return

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != self._known_version:
            if not is_current(connection, self._file.parts, self._file.path):
                raise _StaleSchemaError  # the next connection brings it up to date
            self._known_version = version

    def _take_waiting(self, jobs: list[Job]) -> None:
        with suppress(Empty):
            while len(jobs) < self._max_jobs:
                job = self._queue.get_nowait()
                if job is not None:  # `_stopping` tells what that one told
                    jobs.append(job)

    def _work(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> bool:
        """Run jobs; False if the transaction has to be undone, and run again without one of them.

        That one has failed after it had written.
        """
        with self._lock:
            wanted = [job for job in jobs if not job.abandoned and job.error is None]
            for job in wanted:
                job.begun = True
        found = {} if self._writes else self._look_up(connection, wanted)
        for job in wanted:
            before = connection.total_changes
            try:
                if isinstance(job, Lookup):
                    job.result = job.make(found[job.select].get(job.key))
                else:
                    job.result = job.work(connection)
            except sqlite3.Error as error:
                if is_of_the_storage(error) or not connection.in_transaction:
                    raise
                job.fail(_as_own(error, self._file.path))
            except Exception as error:  # noqa: BLE001  # raised in the caller
                # Without this frame, in which an error tracker would find the jobs of others.
                job.fail(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
            if job.error is not None and connection.total_changes != before:
                return False
        return True

    def _look_up(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> dict[Select, Mapping[Any, Any]]:
        """Return what is stored under the keys of all lookups, by their kinds."""
        keys: dict[Select, list[Any]] = {}
        for job in jobs:
            if isinstance(job, Lookup):
                keys.setdefault(job.select, []).append(job.key)
        return {select: select(connection, asked) for select, asked in keys.items()}

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        """Let an error be that of all jobs that have none of their own."""
        for job in jobs:
            if job.error is None:
                job.fail(_as_own(error, self._file.path))

    def _bound_wal(self) -> None:
        """Begin the write-ahead log anew where readers that take turns have kept SQLite from it."""
        now = time.monotonic()
        if now - self._wal_checked < _WAL_CHECK_S:
            return
        self._wal_checked = now
        if self._file.wal_bytes() <= _MAX_WAL_BYTES:
            return
        with suppress(sqlite3.Error, GreenticError), self._holder.use() as connection:
            connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute("PRAGMA busy_timeout = 0")


def _as_own(error: Exception, path: str) -> Exception:
    """Return the error that one of several callers raises."""
    if isinstance(error, sqlite3.Error | OSError):
        own: Exception = translate(error, path)
    elif isinstance(error, GreenticError):
        own = type(error)(*error.args)
    else:
        own = UnavailableError(f"the database is replaced again and again ({path})")
    own.__cause__ = error.with_traceback(None)
    return own


_workers: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _end_all() -> None:
    """Let what was handed in be done before the interpreter ends."""
    workers = list(_workers)
    for worker in workers:
        worker.stop()
    end = time.monotonic() + _EXIT_WAIT_S
    for worker in workers:
        worker.join(max(end - time.monotonic(), 0.0))


atexit.register(_end_all)


def _reset_all() -> None:
    for worker in list(_workers):
        worker.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
