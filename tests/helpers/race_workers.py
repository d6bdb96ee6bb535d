"""Races between processes: who plays them, and what each player does.

A `Crew` is a few processes, each with its own event loop and store on one shared namespace. A race goes in rounds with
sessions of their own; in each round every process plays one role, another one in the next round. A batch of rounds is
prepared, then all meet at a barrier and play the whole batch at once; so the calls of one round meet on the server in any
order, and calls of several steps interleave. What the players tell is compared with what is stored by the tests.
"""

import asyncio
import multiprocessing
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple, Self

import redis
from redis_invariants import Client

from greentic_session import Claim, ClaimedError, ConflictError, NotFoundError, RedisSessionStore, ReplyScope, SessionData
from greentic_session.backends.redis.keys import ClusterKeys, Keys, place_of
from greentic_session.errors import GreenticError, TenantMismatchError
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
        """Wait in a few rounds, those who go first in others: so both orders happen, however the processes are scheduled."""
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
    """A whole race: the outcomes of each round, by role, and in how many rounds at least two players met in time."""

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


# -- sessions


class UpdateAgainstRemove(Race):
    """Two remove a session, two update it: one blindly, one the version that it has read."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, ttl=LONG if at.number % 2 else None)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        await at.give_way(first=role < 2)
        if role < 2:
            await by.store.remove_session(at.key, ctx=at.owner if at.number % 3 else None)
            return "removed"
        version = None
        if role == 3:
            found = await by.store.get_versioned(at.key)
            if found is None:
                return "absent"
            version = found.version
        await by.store.update_session(at.key, at.data(role), if_version=version)
        return "updated"


class VersionedUpdates(Race):
    """Everybody adds one to the number in the snapshot, until it was not changed meanwhile. Tells how often it was."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0 and at.number % 2:
            await at.register(by.store, at.key, 0, ttl=LONG)
        elif role == 0:
            await by.store.create_session(at.owner, at.data(0), key=at.key)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        conflicts = 0
        while True:
            found = await by.store.get_versioned(at.key)
            assert found is not None
            total = int(found.data.context_json) + 1
            try:
                await by.store.update_session(at.key, at.data(total), if_version=found.version)
            except ConflictError:
                conflicts += 1
            else:
                return conflicts


class CreateOneKey(Race):
    """Everybody creates a session with the same key."""

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        await by.store.create_session(at.owner, at.data(role), key=at.key, ttl=LONG if at.number % 2 else None)
        return "created"


# -- waits


class TakeOvers(Race):
    """Everybody registers a session of their own at one scope. Tells the key that was displaced."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0 and at.number % 2:
            await at.register(by.store, f"{at.key}-old", "old", ttl=LONG)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        return await at.register(by.store, f"{at.key}-{role}", role, ttl=LONG * (1 + role))


class PoliteTakeOvers(Race):
    """The same, but each only if the scope is free."""

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        await at.register(by.store, f"{at.key}-{role}", role, on_conflict="fail")
        return "registered"


class Moves(Race):
    """Everybody registers the same session, each at a scope of their own."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0 and at.number % 2:
            await at.register(by.store, at.key, "first")

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        scope = ReplyScope(at.scope.conversation, thread=str(role))
        await by.store.register_wait(at.owner, at.user, scope, at.key, at.data(role), ttl=LONG if role else None)
        return "registered"


class FindOfDeadWait(Race):
    """A scope leads to what is no wait there. One registers a fresh one; the others look, and clean up what they see."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role:
            return
        owner, dead = ("dev", "acme", "ops", at.user), f"{at.key}-dead"
        keys, place = by.keys(owner), place_of(owner)
        match at.number % 4:
            case 0:  # expires about now
                await at.register(by.store, dead, ttl=0.002)
            case 1:  # the reference removed the session, and leaves its scope
                await at.register(by.store, dead, ttl=LONG)
                by.raw.delete(keys.session(dead))
            case 2:  # nothing is left but the scope and a member of the set
                by.raw.set(keys.scope(place, at.scope.scope_hash()), dead)
                by.raw.sadd(keys.waits(place), dead)
            case _:  # the session is there, but waits elsewhere
                elsewhere = at.elsewhere
                await by.store.register_wait(at.owner, at.user, elsewhere, dead, at.data("dead"), ttl=LONG)
                by.raw.set(keys.scope(place, at.scope.scope_hash()), dead)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        match role:
            case 0:
                reused = at.number % 8 in {1, 2}  # the dead one's key
                await at.register(by.store, f"{at.key}-dead" if reused else f"{at.key}-fresh", "fresh", ttl=LONG)
                return "registered"
            case 1:
                return await by.store.find_wait_by_scope(at.owner, at.user, at.scope)
            case 2:
                found = await by.store.find_wait(at.owner, at.user, at.scope)
                return None if found is None else found.key
            case _:
                return " ".join(await by.store.list_waits_for_user(at.owner, at.user))


class PurgeAgainstRegister(Race):
    """Two register waits of one user, two purge the team. Tells how many were purged."""

    batch = 10

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        everybody = Round(0)
        if role > 1:
            return await by.store.purge(ctx(None), user=everybody.user if role == 2 else None)
        for turn in range(5):
            scope = ReplyScope(f"{at.number % 7}", thread=f"{turn}")
            snapshot = everybody.data(at.number)
            await by.store.register_wait(
                everybody.owner, everybody.user, scope, f"{at.key}-{role}-{turn}", snapshot, ttl=LONG
            )
        return 0


# -- claims


class OneWinner(Race):
    """Everybody claims the same wait, by its scope or, with a correlation, by falling back to it."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, ttl=[None, LONG * 2, LONG / 2][at.number % 3])

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        scope = ReplyScope(at.scope.conversation, correlation=f"answer-{role}" if role % 2 else None)
        claim = await at.claim(by.store, scope, lease=LONG)
        return None if claim is None else "claimed"


class ClaimAndComplete(Race):
    """Everybody claims the same wait and completes it; two look again after a conflict."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        while True:
            try:
                claim = await at.claim(by.store)
            except ClaimedError:
                if role < 2:
                    raise
                continue
            if claim is None:
                return None
            await claim.complete()
            return "completed"


class CountUnderClaims(Race):
    """Everybody adds one to the number in the snapshot, as often as it takes to do it under a claim."""

    lease: float = LONG

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, 0)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        tries = 0
        while True:
            tries += 1
            try:
                claim = await at.claim(by.store, lease=self.lease)
                assert claim is not None
                await self.pause(by)
                await claim.park(at.scope, at.data(int(claim.data.context_json) + 1))
            except ConflictError:  # claimed by another, or the lease has ended
                await asyncio.sleep(0.001)
                continue
            return tries

    async def pause(self, by: Player) -> None:
        """Be about as slow as the lease is long."""


class CountUnderShortLeases(CountUnderClaims):
    """The same with leases so short that many end before their holder is ready."""

    lease = 0.01
    batch = 10

    async def pause(self, by: Player) -> None:
        await asyncio.sleep(by.dice.choice([0, 0, 0.005, 0.01, 0.015]))


class LeaseAgainstComplete(Race):
    """One holds a short lease and completes about when it ends; the others wait for the end, and complete."""

    batch = 15

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        if role == 0:
            claim = await at.claim(by.store, lease=0.02)
            if claim is None:
                return None
            await asyncio.sleep(0.02 + by.dice.uniform(-0.012, 0.004))
            await claim.complete()
            return "completed"
        while True:
            await asyncio.sleep(0.001 if role == 1 else 0.004)
            try:
                claim = await at.claim(by.store, lease=LONG)
            except ClaimedError:
                continue
            if claim is None:
                return None
            await claim.complete()
            return "completed"


class ParkAgainstRegister(Race):
    """One parks its claim at a scope, two register sessions there, one of them only if it is free; one claims the old."""

    async def prepare(self, by: Player, at: Round, role: int) -> Claim | None:
        if role:
            return None
        await by.store.register_wait(at.owner, at.user, at.elsewhere, at.key, at.data("held"))
        return await at.claim(by.store, at.elsewhere)

    async def play(self, by: Player, at: Round, role: int, prepared: Claim | None) -> Outcome:
        match role:
            case 0:
                assert prepared is not None
                return await prepared.park(at.scope, at.data("parked"))
            case 1:
                return await at.register(by.store, f"{at.key}-1", ttl=LONG)
            case 2:
                return await at.register(by.store, f"{at.key}-2", ttl=LONG, on_conflict="fail")
            case _:
                claim = await at.claim(by.store, at.elsewhere)
                return None if claim is None else "claimed"


class CompleteAgainstPlain(Race):
    """One completes its claim, while others touch the session, update it, and let it expire."""

    async def prepare(self, by: Player, at: Round, role: int) -> Claim | None:
        if role:
            return None
        await at.register(by.store, at.key, ttl=LONG)
        return await at.claim(by.store)

    async def play(self, by: Player, at: Round, role: int, prepared: Claim | None) -> Outcome:
        short = at.number % 4 == 0
        await at.give_way(first=role == 0)
        match role:
            case 0:
                assert prepared is not None
                await prepared.complete()
                return "completed"
            case 1:
                return "touched" if await by.store.touch(at.key, 0.002 if short else None) else "absent"
            case 2:
                await by.store.update_session(at.key, at.data("updated"))
                return "updated"
            case _:
                return "touched" if await by.store.touch(at.key, 0.001 if short else LONG, ctx=at.owner) else "absent"


class ClaimAgainstClear(Race):
    """Two claim a wait and complete it, two clear it: one of them for the whole team."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, ttl=LONG)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        if role > 1:
            await by.store.clear_wait(at.owner if role == 2 else ctx(None), at.user, at.scope)
            return "cleared"
        claim = await at.claim(by.store)
        if claim is None:
            return None
        await claim.complete()
        return "completed"


# -- everything


class BriefLives(Race):
    """Sessions that expire within milliseconds, under everything that could bring one back or outlive it."""

    batch = 20

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        def brief() -> float:
            return by.dice.randint(1, 4) / 1000

        async def create() -> None:
            await by.store.create_session(at.owner, at.data("created"), key=at.key, ttl=brief())

        async def register() -> None:
            await at.register(by.store, f"{at.key}{by.dice.choice(['', '-1'])}", "waits", ttl=brief())

        async def resume() -> None:
            claim = await at.claim(by.store, lease=brief())
            if claim is not None:
                await asyncio.sleep(by.dice.choice([0, brief()]))
                if role % 2:
                    await claim.park(at.elsewhere, at.data("parked"), ttl=brief())
                else:
                    await claim.renew(brief())

        calls: list[Callable[[], Awaitable[Any]]] = [
            create,
            register,
            resume,
            lambda: by.store.update_session(at.key, at.data("updated")),
            lambda: by.store.touch(at.key, brief()),
            lambda: by.store.find_wait(at.owner, at.user, at.scope),
            lambda: by.store.list_waits_for_user(at.owner, at.user),
        ]
        for _ in range(8):
            try:
                await by.dice.choice(calls)()
            except (ConflictError, NotFoundError):
                pass
            await asyncio.sleep(by.dice.choice([0, 0, 0.001]))
        return "played"


STAYING = [Round(-number) for number in range(1, 31)]
"""Sessions that nobody touches while everything else happens."""
PEOPLE = [ctx("alice"), ctx("bob"), ctx("alice", team=None), ctx("alice", tenant="globex")]
SCOPES = [*(ReplyScope(f"c{number}") for number in range(3)), ReplyScope("c0", correlation="x")]


class Everything(Race):
    """Everybody does anything to a few keys, people and scopes; one walks all sessions, and tells what is wrong."""

    batch = 8

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        if role == 3:
            return await self.walk(by)
        for _ in range(6):
            try:
                await self.step(by)
            except (ConflictError, NotFoundError):
                pass
        return "played"

    async def step(self, by: Player) -> None:
        store, dice = by.store, by.dice
        owner, key, scope = dice.choice(PEOPLE), f"shared{dice.randrange(6)}", dice.choice(SCOPES)
        user = owner.user_id or ""
        ttl = dice.choice([None, LONG, 0.001, 0.005])
        snapshot = data(owner, snapshot=scope.canonical())
        what = dice.randrange(12)
        try:
            if what < 3:
                await store.register_wait(
                    owner, user, scope, key, snapshot, ttl, on_conflict=dice.choice(["replace", "fail"])
                )
            elif what < 6:
                claim = await store.claim_wait(owner, user, scope, lease=dice.choice([0.001, 0.005, 0.05]))
                if claim is not None:
                    there = dice.choice(SCOPES)
                    parked = data(owner, snapshot=there.canonical())
                    ends: list[Callable[[], Awaitable[Any]]] = [
                        lambda: claim.park(there, parked, ttl),
                        claim.complete,
                        claim.release,
                        lambda: claim.renew(0.005),
                    ]
                    await dice.choice(ends)()
            else:
                calls: list[Callable[[], Awaitable[Any]]] = [
                    lambda: store.create_session(owner, snapshot, key=key, ttl=ttl),
                    lambda: store.remove_session(key, ctx=owner),
                    lambda: store.clear_wait(owner, user, scope),
                    lambda: store.touch(key, ttl, ctx=owner),
                    lambda: store.find_wait(owner, user, scope),
                    lambda: store.list_waits_for_user(owner, user),
                    lambda: store.purge(owner, user=user),
                ]
                await dice.choice(calls)()
                if (found := await store.get_versioned(key)) is not None and found.data.tenant_ctx == owner:
                    await store.update_session(key, found.data, if_version=found.version)
        except TenantMismatchError as error:
            assert "cannot change for an existing session" in error.message  # noqa: PT017  # the key is somebody else's

    async def walk(self, by: Player) -> Outcome:
        seen: list[str] = []
        async for wait in by.store.iter_sessions(ctx(None, team=None)):
            if wait.data.tenant_ctx.tenant_id != "acme":
                return "a session of another tenant"
            if wait.scope is not None and wait.scope.canonical() != wait.data.context_json:
                return "a scope that is not the session's"
            seen.append(wait.key)
        if len(seen) != len(set(seen)):
            return "a session twice"
        if not {at.key for at in STAYING} <= set(seen):
            return "not all that was there throughout"
        return "walked"
