"""Every order of the server steps of several clients, and every point where one of them dies.

A client's operation is a coroutine that is driven by hand: it stops at each call to the server, and
goes on when its turn comes. So the steps of several clients are put in every order, one after the
other, on a Redis of the tests; on it the scripts are those of a cluster.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias, cast

import redis
from redis.exceptions import NoScriptError

from greentic_session import SessionStore
from greentic_session._concurrency.detached import Detached
from greentic_session._redis.cluster import ClusterClient
from greentic_session._redis.executor import NO_HOLD
from greentic_session.backends.redis.cluster import RedisClusterBackend
from greentic_session.backends.redis.keys import ClusterKeys
from greentic_session.errors import GreenticError

__all__ = ["NAMESPACE", "Race", "Work", "run_alone", "store_on"]

NAMESPACE = "steps"
_ORDERED = 7
"""Number of steps that are taken in every order."""
_FAIR = 200
"""Limit of the steps behind them."""
Work: TypeAlias = Callable[[SessionStore], Coroutine[Any, Any, object]]
"""Work of a client."""


class _Step:
    """A call to the server that waits for its turn."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run

    def __await__(self) -> Generator[None, None, Any]:
        yield
        return self._run()


class _InTime:
    """No limit: what is driven by hand takes the time that it takes."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *error: object) -> None:
        pass


class _Way:
    """A way to one Redis that looks like one to a cluster."""

    moving = True
    hold = NO_HOLD

    def __init__(self, raw: redis.Redis) -> None:
        self._execute: Callable[..., Any] = raw.execute_command

    def in_time(self) -> "_InTime":
        return _InTime()

    async def call(self, command: Sequence[Any], **more: Any) -> Any:
        return await _Step(lambda: self._run(command, **more))

    def _run(self, command: Sequence[Any], *, script: str | None = None, behind: Any = None, **_: Any) -> Any:
        answer = self._eval(command, script)
        return answer if behind is None else (answer, self._execute(*behind))

    def _eval(self, command: Sequence[Any], script: str | None) -> Any:
        try:
            return self._execute(*command)
        except NoScriptError:
            return self._execute("EVAL", script, *command[2:])


class _Tasks(Detached):
    """Work that a call leaves to a task of its own: one more client, of the same process."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[Coroutine[Any, Any, object]] = []
        self.is_dead = False

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        if self.is_dead:
            return

        async def run() -> None:
            try:
                await work()
            except GreenticError:
                pass

        self.left.append(run())


def store_on(raw: redis.Redis) -> tuple[SessionStore, _Tasks]:
    """Return a store of a process of its own, and where its tasks are."""
    way = cast("ClusterClient", _Way(raw))
    backend = RedisClusterBackend(way, ClusterKeys(NAMESPACE), way)
    tasks = _Tasks()
    backend._detached = tasks  # it would take an event loop
    return SessionStore(backend), tasks


def run_alone(raw: redis.Redis, work: Work) -> object:
    """Do some work without anybody else, and what it leaves to tasks; return what it returns."""
    store, tasks = store_on(raw)
    found = _finish(work(store))
    while tasks.left:
        _finish(tasks.left.pop(0))
    return found


def _finish(running: Coroutine[Any, Any, object]) -> object:
    while True:
        try:
            running.send(None)
        except StopIteration as ended:
            return ended.value


@dataclass
class _Process:
    """A client at work.

    Attributes:
        tasks: What it has left to do besides.
        running: What it does: the work, then the tasks that it has left.
        failure: The error of the work, if one was raised.
    """

    tasks: _Tasks
    running: list[Coroutine[Any, Any, object]] = field(default_factory=list)
    failure: GreenticError | None = None

    def go(self) -> None:
        """Take the next server step, and go on to the one behind it."""
        current = self.running[0]
        try:
            current.send(None)
        except StopIteration:
            del self.running[0]
        except GreenticError as error:
            self.failure = error
            del self.running[0]
        self.running.extend(self._begun())

    def _begun(self) -> list[Coroutine[Any, Any, object]]:
        """Start the tasks that were left, each up to its first server step."""
        begun = []
        while self.tasks.left:
            task = self.tasks.left.pop(0)
            try:
                task.send(None)
            except StopIteration:
                continue
            begun.append(task)
        return begun

    def kill(self) -> None:
        """End it: it takes no step any more."""
        self.tasks.is_dead = True  # what is dropped here ends as a cancelled one does: it would tidy up
        self.running.clear()


@dataclass(frozen=True)
class Race:
    """Several clients whose server steps are taken in every order, with one death at most in each.

    The first `_ORDERED` steps are in every order. Behind them chance has it: one that looks between
    any two steps of another could keep that from its goal for ever.

    Attributes:
        raw: The Redis. It is emptied before each order.
        prepare: Stores what there is at the beginning.
        works: What the clients do.
        check: Called after every step: whether what must hold does.
        conclude: Called when all have ended, with the numbers of those that died.
    """

    raw: redis.Redis
    prepare: Callable[[], object]
    works: Sequence[Work]
    check: Callable[[], None]
    conclude: Callable[[frozenset[int]], None]

    def explore(self) -> int:
        """Take every order, and return how many there were."""
        seen, path = 0, list[int]()
        self.raw.flushall()
        self.prepare()
        found = [(key, self.raw.pttl(key), self.raw.dump(key)) for key in self.raw.keys()]  # noqa: SIM118
        while True:
            seen += 1
            with self.raw.pipeline(transaction=False) as pipe:
                pipe.flushall()
                for key, ttl, value in found:
                    pipe.restore(key, max(ttl, 0), cast("bytes", value))
                pipe.execute()
            taken = self._run(path)
            # The next order: the last choice that has another one left.
            while taken and taken[-1][0] + 1 == taken[-1][1]:
                taken.pop()
            if not taken:
                return seen
            path = [choice for choice, _ in taken[:-1]] + [taken[-1][0] + 1]

    def _run(self, path: list[int]) -> list[tuple[int, int]]:
        """Take one order; return each choice in it, and of how many."""
        processes = list[_Process]()
        for work in self.works:
            store, tasks = store_on(self.raw)
            running = work(store)
            running.send(None)
            processes.append(_Process(tasks, [running]))
        taken, dead, steps = list[tuple[int, int]](), frozenset[int](), 0
        chance = Random(0)  # the same in every run
        while alive := [number for number, process in enumerate(processes) if process.running]:
            choices = [(number, False) for number in alive]
            if not dead:
                choices += [(number, True) for number in alive]
            if steps < _ORDERED:
                choice = path[len(taken)] if len(taken) < len(path) else 0
                taken.append((choice, len(choices)))
                number, dies = choices[choice]
            else:
                number, dies = chance.choice(alive), False  # in lockstep some would keep each other from it
            steps += 1
            if dies:
                processes[number].kill()
                dead = frozenset({number})
            else:
                processes[number].go()
                self.check()
            assert steps < _ORDERED + _FAIR, "they go on for ever"
        self.conclude(dead)
        return taken
