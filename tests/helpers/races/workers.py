"""Races between processes: who plays them, and how. What each player does stands in `players`.

A `Crew` is a few processes, each with its own event loop and store on one shared namespace. A race
goes in rounds with sessions of their own; in each round every process plays one role, another one
in the next round. A batch of rounds is prepared, then all meet at a barrier and play the whole
batch at once; so the calls of one round meet on the server in any order, and calls of several steps
interleave. What the players tell is compared with what is stored by the tests.
"""

import asyncio
import multiprocessing
import random
import time
import traceback
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple, Self

import redis
from redis_invariants import Client

from greentic_session import Claim, RedisSessionStore, ReplyScope, SessionData
from greentic_session.backends.redis.keys import ClusterKeys, Keys
from greentic_session.errors import GreenticError
from greentic_session.tenancy import Owner
from greentic_session.testing._sessions.samples import ctx, data

WORKERS = 4
LONG = 600.0
"""A lifetime that no race outlives, in seconds."""
PATIENCE = 90.0
"""For how many seconds a race may take before it counts as stuck."""

Outcome = str | int | None


def open_store(url: str, namespace: str) -> RedisSessionStore:
    """Return a store that is patient with a busy machine."""
    return RedisSessionStore.from_url(url, namespace=namespace, timeout=60, connect_timeout=60, max_connections=32)


def plain_client(url: str) -> Client:
    """Return a client of a server or a cluster, for looking at what the store does."""
    scheme, _, hosts = url.partition("://")
    if scheme != "redis+cluster":
        return redis.Redis.from_url(url)
    host, _, port = hosts.partition(",")[0].partition(":")
    return redis.RedisCluster(host=host, port=int(port))


class Round:
    """The session of one round, and whose it is."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.user = f"u{number}"
        self.owner = ctx(self.user)
        self.key = f"k{number}"
        self.scope = ReplyScope(f"c{number}")
        self.elsewhere = ReplyScope(f"elsewhere{number}")

    def data(self, snapshot: object = "") -> SessionData:
        return data(self.owner, snapshot=str(snapshot))

    async def register(self, store: RedisSessionStore, key: str, snapshot: object = "", **options: Any) -> str | None:
        return await store.register_wait(self.owner, self.user, self.scope, key, self.data(snapshot), **options)

    async def claim(self, store: RedisSessionStore, scope: ReplyScope | None = None, **options: Any) -> Claim | None:
        return await store.claim_wait(self.owner, self.user, scope or self.scope, **options)

    async def give_way(self, *, first: bool) -> None:
        """Wait in a few rounds, those who go first in others.

        So both orders happen, however the processes are scheduled.
        """
        if self.number % 16 == (7 if first else 15):
            await asyncio.sleep(0.02)


class Player(NamedTuple):
    """A process while it plays: its store, a plain client, and its own dice."""

    store: RedisSessionStore
    raw: Client
    namespace: str
    dice: random.Random

    def keys(self, owner: Owner) -> Keys:
        """Return how an owner's keys are named."""
        if isinstance(self.raw, redis.Redis):
            return Keys(self.namespace)
        return ClusterKeys(self.namespace).within(":".join(map(str, owner)))


class Race:
    """What each role does in a round."""

    batch = 25
    """How many rounds are played at once."""

    async def prepare(self, by: Player, at: Round, role: int) -> Any:
        """Do what must be done before the round; the result is handed to `play`."""

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        """Play a role and tell what came of it; a GreenticError tells its name."""
        raise NotImplementedError


class Told(NamedTuple):
    """What a worker has to tell about one round, and when it played it, in ns."""

    round: int
    role: int
    outcome: Outcome
    began: int
    ended: int


class Played(NamedTuple):
    """A whole race.

    The outcomes of each round, by role, and in how many rounds at least two players met in time.
    """

    outcomes: list[list[Outcome]]
    met: int


class Crew:
    """Processes that play races. They are started at the first race, and kept for the next."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._workers: list[tuple[BaseProcess, Connection]] = []

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # a forked process would inherit threads' locks and open loops
        self._barrier = spawn.Barrier(WORKERS)  # kept: a process that is still starting needs it
        for number in range(WORKERS):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(number, self._url, self._barrier, theirs), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    def run(self, race: type[Race], namespace: str, rounds: int) -> Played:
        """Play a race and return what the players told.

        Raises:
            AssertionError: A player failed in a way that is no outcome, died, or is stuck.
        """
        if not self._workers:
            self._start()
        told: list[Told] = []
        try:
            for _, connection in self._workers:
                connection.send((race, namespace, rounds))
            give_up = time.monotonic() + PATIENCE
            failures = []
            for _, connection in self._workers:
                assert connection.poll(max(give_up - time.monotonic(), 0)), "the race is stuck"
                answer: list[Told] | str = connection.recv()
                if isinstance(answer, str):
                    failures.append(answer)
                else:
                    told += answer
            assert not failures, "\n".join(failures)
        except BaseException:
            self.close()
            raise
        return _sort(told, rounds)

    def close(self) -> None:
        for process, connection in self._workers:
            connection.close()
            process.kill()
            process.join()
            process.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sort(told: list[Told], rounds: int) -> Played:
    by_round: list[list[Told]] = [[] for _ in range(rounds)]
    for one in told:
        by_round[one.round].append(one)
    met = 0
    for all_ in by_round:
        in_time = sorted(all_, key=lambda one: one.began)
        met += any(later.began < earlier.ended for earlier, later in pairwise(in_time))
    return Played([[one.outcome for one in sorted(all_, key=lambda one: one.role)] for all_ in by_round], met)


def _work(number: int, url: str, barrier: Barrier, connection: Connection) -> None:
    while True:
        try:
            race, namespace, rounds = connection.recv()
        except EOFError:  # the crew is dismissed
            return
        answer: list[Told] | str
        try:
            answer = asyncio.run(_race(number, race(), url, namespace, rounds, barrier))
        except Exception:  # noqa: BLE001  # told to the test
            barrier.abort()
            answer = traceback.format_exc()
        connection.send(answer)


async def _race(number: int, race: Race, url: str, namespace: str, rounds: int, barrier: Barrier) -> list[Told]:
    dice = random.Random(f"{number} {namespace.rpartition(':')[2]}")
    told: list[Told] = []
    async with open_store(url, namespace) as store:
        with plain_client(url) as raw:
            player = Player(store, raw, namespace, dice)
            for start in range(0, rounds, race.batch):
                batch = [Round(at) for at in range(start, min(start + race.batch, rounds))]
                roles = [(number + at.number) % WORKERS for at in batch]
                prepared = await asyncio.gather(*map(race.prepare, [player] * len(batch), batch, roles))
                parts = list(zip(batch, roles, prepared, strict=True))
                if start // race.batch % 2:
                    dice.shuffle(parts)  # in half of the batches each process takes the rounds in an order of its own
                barrier.wait(PATIENCE)
                told += await asyncio.gather(*(_play(race, player, *part) for part in parts))
    return told


async def _play(race: Race, by: Player, at: Round, role: int, prepared: Any) -> Told:
    began = time.monotonic_ns()
    outcome: Outcome
    try:
        outcome = await race.play(by, at, role, prepared)
    except GreenticError as error:
        outcome = type(error).__name__
    return Told(at.number, role, outcome, began, time.monotonic_ns())
