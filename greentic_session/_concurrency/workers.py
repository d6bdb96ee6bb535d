"""Worker threads for the blocking calls of one event loop, which run in batches under load.

To hand one call to a thread and to wake its caller takes longer than a short write, and threads
that all run Python wait for each other at every system call. So few threads work: the caller that
gets one leads, which means that its thread also runs the calls that wait. Files that must be on the
disk before calls return are synced by other threads, which do nothing else: to sync many files at
once takes hardly longer than one.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock
from typing import Any, Final, TypeAlias, TypeVar, cast

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint_if_cancelled

from .outcome import Outcome
from .shield import shielded

__all__ = ["Steps", "WorkerPool"]

T = TypeVar("T")

Steps: TypeAlias = Generator[int, None, T]
"""A call in steps: it yields the descriptor of each file to sync before its next step."""

_MAX_SYNC_THREADS: Final = 16
_FILES_PER_SYNC_THREAD: Final = 4
"""How many files a thread syncs before another thread is used."""


class _Job(Outcome):
    """One call and its outcome.

    Attributes:
        key: The object of the call. Calls with the same key run one at a time, in the order of
            arrival.
        steps: The steps of the call.
        file: The descriptor of the file to sync before the next step; None if no file waits.
        woken: Set when the call is done, and when its caller should lead.
        leads: Whether the caller should lead, or leads now.
        started: Whether a thread runs the call, or ran it.
        done: Whether the call is finished.
        result: The result, when the call is done.
        error: The error that the call raised; before that, an error to throw into its next step.
    """

    __slots__ = ("done", "file", "key", "leads", "started", "steps", "woken")

    def __init__(self, key: Hashable, steps: Steps[Any], woken: anyio.Event) -> None:
        self.key = key
        self.steps = steps
        self.file: int | None = None
        self.woken = woken
        self.leads = False
        self.started = False
        self.done = False
        self.result = None
        self.error = None

    def run_step(self) -> bool:
        """Run the next step, in a thread; return whether another one follows."""
        error, self.error, self.file = self.error, None, None
        try:
            self.file = next(self.steps) if error is None else self.steps.throw(error)
        except StopIteration as end:
            self.result = end.value
        except BaseException as raised:  # noqa: BLE001  # raised again in the caller
            self.error = raised
        return self.file is not None

    def sync(self) -> None:
        """Sync the file of the call; an error is thrown into the next step."""
        assert self.file is not None
        try:
            os.fsync(self.file)
        except BaseException as error:  # noqa: BLE001  # after any error the file is not on the disk
            self.error = error


class _SyncBatch:
    """Some files to sync, once, by the first thread that takes them.

    An executor that cannot start a thread raises an error and keeps the call for a thread that it
    has: so the same batch may be run twice.
    """

    __slots__ = ("_begun", "_jobs", "ended")

    def __init__(self, jobs: list[_Job]) -> None:
        self._jobs = jobs
        self._begun = Lock()
        self.ended = Event()

    def sync(self) -> None:
        if self._begun.acquire(blocking=False):
            for job in self._jobs:
                job.sync()
            self.ended.set()


class WorkerPool:
    """Runs calls in threads, for one event loop of asyncio or trio.

    Args:
        workers: How many threads work at the same time.
        max_batch: How many calls a thread runs at most before their callers get the results.
    """

    def __init__(self, workers: int, max_batch: int) -> None:
        self._event = type(anyio.Event())  # that of this event loop: to find it takes as long as a short write
        self._workers = workers
        self._max_batch = max_batch
        self._jobs: dict[Hashable, deque[_Job]] = {}
        """Waiting jobs by key. A key stays while one of its jobs waits or runs."""
        self._ready: deque[Hashable] = deque()
        """Keys without a running job, and whose first job was not told to lead."""
        self._leaders = 0
        self._sync_threads: ThreadPoolExecutor | None = None

    async def run(self, key: Hashable, work: Callable[[], Steps[T]]) -> T:
        """Run a call in a thread and return its result.

        A cancelled call has either run to its end or will never start.

        Args:
            key: Calls with the same key run one at a time, in the order of arrival.
            work: Returns the steps of the call.
        """
        if key not in self._jobs and self._leaders < self._workers:
            await checkpoint_if_cancelled()  # a caller that leads at once has no other point of cancellation
        job = _Job(key, work(), self._event())
        jobs = self._jobs.get(key)
        if jobs is None:
            self._jobs[key] = deque([job])
            if self._leaders < self._workers:
                self._leaders += 1
                job.leads = True
            else:
                self._ready.append(key)
        else:
            jobs.append(job)
        if not job.leads:
            try:
                await job.woken.wait()
            except BaseException:
                if job.started:
                    await shielded(partial(_wait_until_done, job))
                else:
                    self._cancel(job)
                raise
        if job.leads:
            await shielded(partial(self._lead, job))
        return cast(T, job.outcome())

    def _cancel(self, job: _Job) -> None:
        """Remove a job that no thread has started."""
        jobs = self._jobs[job.key]
        jobs.remove(job)
        if job.leads:
            self._requeue(job.key)
            self._hand_over()
        elif not jobs and job.key in self._ready:
            self._ready.remove(job.key)
            del self._jobs[job.key]

    async def _lead(self, job: _Job) -> None:
        batch = self._start_batch(job)
        try:
            await to_thread.run_sync(self._run_batch, batch, limiter=anyio.CapacityLimiter(1))
        finally:
            for one in batch:
                one.done = True
                one.woken.set()
                self._requeue(one.key)
            self._hand_over()

    def _start_batch(self, job: _Job) -> list[_Job]:
        """Start a job, and some of those that wait."""
        batch = [self._start(job.key)]
        # The leaders share the waiting jobs: two half batches end sooner than one whole.
        share = min(self._max_batch - 1, -(-len(self._ready) // self._workers))
        batch += [self._start(self._ready.popleft()) for _ in range(share)]
        return batch

    def _start(self, key: Hashable) -> _Job:
        job = self._jobs[key].popleft()
        job.started = True
        return job

    def _requeue(self, key: Hashable) -> None:
        if self._jobs[key]:
            self._ready.append(key)
        else:
            del self._jobs[key]

    def _run_batch(self, jobs: list[_Job]) -> None:
        while jobs := [job for job in jobs if job.run_step()]:
            number = min(-(-len(jobs) // _FILES_PER_SYNC_THREAD), _MAX_SYNC_THREADS)
            parts = [_SyncBatch(jobs[start::number]) for start in range(number)]
            for part in parts[1:]:
                self._submit_sync(part)
            parts[0].sync()
            for part in parts:
                part.ended.wait()

    def _submit_sync(self, part: _SyncBatch) -> None:
        if self._sync_threads is None:
            self._sync_threads = ThreadPoolExecutor(_MAX_SYNC_THREADS, "greentic-session-fsync")
        try:
            self._sync_threads.submit(part.sync)
        except RuntimeError:  # closed meanwhile, or no thread can be started
            part.sync()

    def close(self) -> None:
        """Stop the threads that sync files, after the current ones."""
        if self._sync_threads is not None:
            self._sync_threads.shutdown(wait=False)

    def _hand_over(self) -> None:
        """Wake the caller that leads next."""
        if self._ready:
            job = self._jobs[self._ready.popleft()][0]
            job.leads = True
            job.woken.set()
        else:
            self._leaders -= 1


async def _wait_until_done(job: _Job) -> None:
    while not job.done:
        await job.woken.wait()
