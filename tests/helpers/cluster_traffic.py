"""Runners that go on while a cluster changes, and know at any time what they must find."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from greentic_session import RedisSessionStore, ReplyScope
from greentic_session.errors import ConflictError, GreenticError, NotFoundError, OperationTimeoutError, UnavailableError
from greentic_session.testing._sessions.samples import ctx, data

SCOPE = ReplyScope("chat")


@dataclass
class Runner:
    """One user's only runner, with one session; what it was told is all that may be there.

    Attributes:
        possible: The snapshots that may be stored, None for no session: one, unless a call failed
            and may have taken effect.
        exact: Whether that must hold; False where Redis may lose what it acknowledged.
    """

    store: RedisSessionStore
    number: int
    timeout: float
    exact: bool = True
    possible: set[str | None] = field(default_factory=lambda: {None})
    written: set[str | None] = field(default_factory=lambda: {None})
    calls: int = 0
    failures: int = 0
    longest: float = 0.0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.number)
        self.user = f"u{self.number}"
        self.key = f"k{self.number}"
        self.owner = ctx(self.user)

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            await self.step()

    async def step(self) -> None:
        """Do one thing, and see that its answer is one that there may be."""
        do = self.dice.choice([self.park, self.park, self.find, self.find, self.get, self.update, self.resume])
        began = time.monotonic()
        try:
            await do()
        except (UnavailableError, OperationTimeoutError):
            self.failures += 1
        finally:
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - began)

    async def settle(self) -> None:
        """Read what is there, in peace."""
        give_up = time.monotonic() + 30
        while True:
            try:
                return await self.find()
            except GreenticError:
                assert time.monotonic() < give_up
                await asyncio.sleep(0.05)

    def next(self) -> str:
        text = f"{self.user} {self.calls}"
        self.written.add(text)
        return text

    def saw(self, snapshot: str | None) -> None:
        allowed = self.possible if self.exact else self.written
        assert snapshot in allowed, f"found {snapshot!r} where only {allowed} may be"
        self.possible = {snapshot}

    async def park(self) -> None:
        text = self.next()
        self.possible |= {text}
        await self.store.register_wait(self.owner, self.user, SCOPE, self.key, data(self.owner, snapshot=text), ttl=3600)
        self.possible = {text}

    async def find(self) -> None:
        found = await self.store.find_wait(self.owner, self.user, SCOPE)
        assert found is None or found.key == self.key
        self.saw(None if found is None else found.data.context_json)

    async def get(self) -> None:
        found = await self.store.get_session(self.key)
        self.saw(None if found is None else found.context_json)

    async def update(self) -> None:
        text = self.next()
        before = set(self.possible)
        self.possible |= {text}
        try:
            await self.store.update_session(self.key, data(self.owner, snapshot=text))
        except NotFoundError:
            self.possible = before
            self.saw(None)
        else:
            assert before != {None} or not self.exact, "updated a session that was not there"
            self.possible = {text}

    async def resume(self) -> None:
        try:
            claim = await self.store.claim_wait(self.owner, self.user, SCOPE, lease=2)
        except ConflictError:
            return  # a claim of ours whose answer was lost
        if claim is None:
            self.saw(None)
            return
        self.saw(claim.data.context_json)
        if self.dice.random() < 0.5:
            with suppress(ConflictError):  # its lease was over
                await claim.release()
            return
        self.possible |= {None}
        try:
            await claim.complete()
        except ConflictError:
            self.possible -= {None}  # its lease was over
        else:
            self.possible = {None}


class Traffic:
    """Some runners at once, while the block goes on.

    Every answer was right, and every call ended in time.
    """

    def __init__(self, store: RedisSessionStore, runners: int, *, timeout: float, exact: bool = True) -> None:
        self.runners = [Runner(store, number, timeout, exact) for number in range(runners)]
        self._until = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def calls(self) -> int:
        return sum(runner.calls for runner in self.runners)

    @property
    def failures(self) -> int:
        return sum(runner.failures for runner in self.runners)

    async def more(self, calls: int) -> None:
        """Let so many more calls end."""
        enough = self.calls + calls
        while self.calls < enough:
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(runner.run(self._until)) for runner in self.runners]
        await self.more(5 * len(self.runners))
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        self._until.set()
        await asyncio.gather(*self._tasks)
        if kind is None:
            for runner in self.runners:
                await runner.settle()
                assert runner.longest < runner.timeout + 20, "a call went on after its timeout"
