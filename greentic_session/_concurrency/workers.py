"""Worker threads for one event loop: blocking calls, several of them per trip under load.

Handing one call to a thread and waking its caller takes longer than a short write does, and threads
that all run Python wait for each other at every call of the system. So few of them work; whoever
gets one takes along what others have waiting, and leads for as long as that takes. What must be on
the disk before calls return is left to helpers, which do nothing else: many files at once take
hardly longer than one.
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

from .shield import shielded

__all__ = ["Crew", "Steps"]

T = TypeVar("T")

Steps: TypeAlias = Generator[int, None, T]
"""A call in steps: it yields descriptors of files that must be on the disk before it goes on."""

_HELPERS: Final = 16
_FEW: Final = 4
"""So many files are worth a helper."""


class _Job:
    """One call.

    Attributes:
        key: What it is about. Of those with the same key one is done at a time, in the order of
            their coming.
        steps: What is to be done.
        file: What must be on the disk before it goes on; None if nothing.
        woken: Set when it is done, and when its caller is to lead.
        leads: Whether its caller is to lead, or does.
        taken: Whether it is being done, or was.
        done: Whether it was.
        result: What came of it.
        error: What it raised; or, before it is done, what it is to be told.
    """

    __slots__ = ("done", "error", "file", "key", "leads", "result", "steps", "taken", "woken")

    def __init__(self, key: Hashable, steps: Steps[Any], woken: anyio.Event) -> None:
        self.key = key
        self.steps = steps
        self.file: int | None = None
        self.woken = woken
        self.leads = False
        self.taken = False
        self.done = False
        self.result: object = None
        self.error: BaseException | None = None

    def go_on(self) -> bool:
        """Do the next step, in a thread; say whether another follows."""
        error, self.error, self.file = self.error, None, None
        try:
            self.file = next(self.steps) if error is None else self.steps.throw(error)
        except StopIteration as end:
            self.result = end.value
        except BaseException as raised:  # noqa: BLE001  # it is raised where it belongs: at the caller's
            self.error = raised
        return self.file is not None

    def sync(self) -> None:
        """Have its file on the disk."""
        assert self.file is not None
        try:
            os.fsync(self.file)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is not on the disk
            self.error = error

    def outcome(self) -> Any:
        """Return or raise what came of it."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # or it would hold itself, through its traceback
        return self.result


class _Part:
    """A batch of files to be synced once, by the first thread that gets to it.

    For where a pool finds no thread for a call, it says so and keeps the call all the same, for one
    that it has.
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


class Crew:
    """Does calls in threads. For one event loop, of asyncio or trio.

    Args:
        workers: How many threads work at once.
        together: How many calls one of them does at most before their callers hear of them.
    """

    def __init__(self, workers: int, together: int) -> None:
        self._event = type(anyio.Event())  # this event loop's kind: to find out which it is takes as long as a short write
        self._workers = workers
        self._together = together
        self._jobs: dict[Hashable, deque[_Job]] = {}
        """Waiting jobs by key; a key stays while one of its jobs waits or runs."""
        self._ready: deque[Hashable] = deque()
        """Keys of which nothing is being done, and whose first job nobody was told to lead."""
        self._leaders = 0
        self._helpers: ThreadPoolExecutor | None = None

    async def run(self, key: Hashable, work: Callable[[], Steps[T]]) -> T:
        """Return what `work` returns, done in a thread.

        A cancelled call either was not begun and never will be, or has come to its end.

        Args:
            key: Of calls with the same key one is done at a time, in the order of their coming.
            work: What is to be done.
        """
        if key not in self._jobs and self._leaders < self._workers:
            await (
                checkpoint_if_cancelled()
            )  # who gets to lead at once does not wait anywhere else where it could be cancelled
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
                if job.taken:
                    await shielded(partial(_ended, job))
                else:
                    self._withdraw(job)
                raise
        if job.leads:
            await shielded(partial(self._lead, job))
        return cast(T, job.outcome())

    def _withdraw(self, job: _Job) -> None:
        """Take back a job that nobody has begun."""
        jobs = self._jobs[job.key]
        jobs.remove(job)
        if job.leads:
            self._ready_again(job.key)
            self._pass_on()
        elif not jobs and job.key in self._ready:
            self._ready.remove(job.key)
            del self._jobs[job.key]

    async def _lead(self, job: _Job) -> None:
        batch = self._gather(job)
        try:
            await to_thread.run_sync(self._do_all, batch, limiter=anyio.CapacityLimiter(1))
        finally:
            for one in batch:
                one.done = True
                one.woken.set()
                self._ready_again(one.key)
            self._pass_on()

    def _gather(self, job: _Job) -> list[_Job]:
        """Take a job, and some of those that wait."""
        batch = [self._take(job.key)]
        # Those who lead share what is there: two half batches are done sooner than one whole.
        share = min(self._together - 1, -(-len(self._ready) // self._workers))
        batch += [self._take(self._ready.popleft()) for _ in range(share)]
        return batch

    def _take(self, key: Hashable) -> _Job:
        job = self._jobs[key].popleft()
        job.taken = True
        return job

    def _ready_again(self, key: Hashable) -> None:
        if self._jobs[key]:
            self._ready.append(key)
        else:
            del self._jobs[key]

    def _do_all(self, jobs: list[_Job]) -> None:
        while jobs := [job for job in jobs if job.go_on()]:
            number = min(-(-len(jobs) // _FEW), _HELPERS)
            parts = [_Part(jobs[start::number]) for start in range(number)]
            for part in parts[1:]:
                self._leave_to_helpers(part)
            parts[0].sync()
            for part in parts:
                part.ended.wait()

    def _leave_to_helpers(self, part: _Part) -> None:
        if self._helpers is None:
            self._helpers = ThreadPoolExecutor(_HELPERS, "greentic-session-fsync")
        try:
            self._helpers.submit(part.sync)
        except RuntimeError:  # closed meanwhile, or no thread to be had
            part.sync()

    def close(self) -> None:
        """Let the helpers go; what is being done comes to its end."""
        if self._helpers is not None:
            self._helpers.shutdown(wait=False)

    def _pass_on(self) -> None:
        """Let somebody else lead."""
        if self._ready:
            job = self._jobs[self._ready.popleft()][0]
            job.leads = True
            job.woken.set()
        else:
            self._leaders -= 1


async def _ended(job: _Job) -> None:
    while not job.done:
        await job.woken.wait()
