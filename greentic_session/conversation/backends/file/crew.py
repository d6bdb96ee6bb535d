"""Worker threads for one event loop: they do what blocks, several calls at a trip where many are waiting.

Handing one call to a thread and waking its caller takes longer than a short write does; so whoever gets a thread takes along
what others have waiting. The one who leads does so for as long as its own call takes, and passes the lead on.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
from anyio import to_thread

from greentic_session._shield import shielded

__all__ = ["Crew"]

T = TypeVar("T")

_WORKERS: Final = 8
"""How many threads work at once."""
_TOGETHER: Final = 16
"""How many calls a thread does at most before their callers hear of them."""


class _Job:
    """One call.

    Attributes:
        key: What it is about. Of those with the same key one is done at a time, in the order of their coming.
        work: What is to be done.
        alone: Whether it may take long, so that no other should wait for it.
        woken: Set when it is done, and when its caller is to lead.
        leads: Whether its caller is to lead, or does.
        taken: Whether it is being done, or was.
        result: What came of it.
        error: What it raised.
    """

    __slots__ = ("alone", "done", "error", "key", "leads", "result", "taken", "woken", "work")

    def __init__(self, key: Hashable, work: Callable[[], object], *, alone: bool) -> None:
        self.key = key
        self.work = work
        self.alone = alone
        self.woken = anyio.Event()
        self.leads = False
        self.taken = False
        self.done = False
        self.result: object = None
        self.error: BaseException | None = None

    def do(self) -> None:
        """Do it: in a thread."""
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001  # it is raised where it belongs: at the caller's
            self.error = error

    def outcome(self) -> Any:
        """Return or raise what came of it."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # or it would hold itself, through its traceback
        return self.result


class Crew:
    """Does calls in threads. For one event loop, of asyncio or trio."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, deque[_Job]] = {}
        """By key, what is waiting; a key stays as long as one of its jobs is waiting or being done."""
        self._ready: deque[Hashable] = deque()
        """Keys of which nothing is being done, and whose first job nobody was told to lead."""
        self._leaders = 0

    async def run(self, key: Hashable, work: Callable[[], T], *, alone: bool = False) -> T:
        """Return what `work` returns, called in a thread.

        A cancelled call either was not begun and never will be, or has come to its end.

        Args:
            key: Of calls with the same key one is done at a time, in the order of their coming.
            work: What is to be done.
            alone: It may take long: nobody else should wait for it.
        """
        job = _Job(key, work, alone=alone)
        jobs = self._jobs.get(key)
        if jobs is None:
            self._jobs[key] = deque([job])
            if self._leaders < _WORKERS:
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
            await to_thread.run_sync(_do_all, batch, limiter=anyio.CapacityLimiter(1))
        finally:
            for one in batch:
                one.done = True
                one.woken.set()
                self._ready_again(one.key)
            self._pass_on()

    def _gather(self, job: _Job) -> list[_Job]:
        """Take a job, and some of those that wait."""
        batch = [self._take(job.key)]
        if not job.alone:
            share = min(_TOGETHER, -(-len(self._ready) // _WORKERS))
            for _ in range(share):
                if self._jobs[self._ready[0]][0].alone:
                    break
                batch.append(self._take(self._ready.popleft()))
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

    def _pass_on(self) -> None:
        """Let somebody else lead."""
        if self._ready:
            job = self._jobs[self._ready.popleft()][0]
            job.leads = True
            job.woken.set()
        else:
            self._leaders -= 1


def _do_all(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.do()


async def _ended(job: _Job) -> None:
    while not job.done:
        await job.woken.wait()
