"""The copy of a namespace to another Redis: complete, resumable, and online."""

import asyncio
import functools
import random
import time
from contextlib import suppress
from typing import Any

import pytest
from cluster_servers import Cluster, slot_of
from migration_places import BOB, LONG, NOBODY, ROUTES, SCOPES, Pair, build_world
from redis_server import Server

from greentic_session import NEVER, InvalidInputError, UnavailableError
from greentic_session._redis.client import RedisClient
from greentic_session.backends.migration import Report, migrate
from greentic_session.errors import GreenticError
from greentic_session.store import SessionStore
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

# -- complete


@ROUTES
@pytest.mark.asyncio
async def test_all_is_copied_and_a_second_copy_writes_nothing(pair: Pair) -> None:
    count = await build_world(pair.source.store)
    report = await pair.copy()
    pair.assert_same()
    pair.target.check()
    assert report == Report(copied=count)
    assert await pair.assert_still() == Report(unchanged=count)


@pytest.mark.asyncio
async def test_a_second_copy_makes_no_change_that_redis_would_count(server: Server, pair: Pair) -> None:
    await build_world(pair.source.store)
    with server.client() as client:
        for writes in (True, False):
            before = client.info("persistence")["rdb_changes_since_last_save"]
            await migrate(pair.source.url, server.url, namespace=pair.source.namespace)
            assert (client.info("persistence")["rdb_changes_since_last_save"] > before) == writes


@ROUTES
@pytest.mark.asyncio
async def test_the_copies_work(pair: Pair) -> None:
    await build_world(pair.source.store)
    await pair.copy()
    for store in (pair.source.store, pair.target.store):
        assert (await store.find_wait(ALICE, "alice", CHAT)) is not None
        assert await store.list_waits_for_user(BOB, "bob") == [f"bob-{number}" for number in range(5)]
        await store.touch("bob-0", ttl=3 * LONG)
        await store.update_session("bob-1", data(BOB, "node.next"))
        await store.clear_wait(BOB, "bob", SCOPES[2])
        await store.remove_session("bob-3")
        await store.register_wait(BOB, "bob", SCOPES[2], "bob-new", data(BOB), ttl=LONG)
        await store.remove_session("nobody's")
    pair.assert_same()
    pair.target.check()


# -- resumable


class Interruption:
    """Cancels a task when so many calls have been sent to Redis."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.task: asyncio.Task[Any] | None = None
        call = RedisClient.call

        @functools.wraps(call)
        async def counted(link: RedisClient, *command: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 and self.task is not None:
                self.task.cancel()
            return await call(link, *command, **options)

        monkeypatch.setattr(RedisClient, "call", counted)

    async def run(self, pair: Pair, after: int) -> bool:
        """Copy; return whether it was interrupted."""
        self.task, self.left = asyncio.create_task(pair.copy()), after
        try:
            await self.task
        except asyncio.CancelledError:
            return True
        finally:
            self.task = None
        return False


@ROUTES
@pytest.mark.asyncio
async def test_interrupted_anywhere_and_resumed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(20)
    count = await build_world(pair.source.store)
    for number in range(40):
        await pair.source.store.register_wait(
            ctx(f"u{number}"), f"u{number}", CHAT, f"k{number}", data(ctx(f"u{number}")), ttl=LONG
        )
    interruption = Interruption(monkeypatch)
    interrupted = 0
    for _ in range(12):
        interrupted += await interruption.run(pair, chance.randrange(3, 150))
        pair.target.check()
    assert interrupted
    await pair.copy()
    pair.assert_same()
    pair.target.check()
    assert await pair.assert_still() == Report(unchanged=count + 40)


@pytest.mark.asyncio
async def test_a_target_that_is_away_is_an_error_without_the_password(pair: Pair, server: Server) -> None:
    await build_world(pair.source.store)
    url = f"redis://:sesame@127.0.0.1:{server.port}?socket_timeout=1"
    server.kill()
    with pytest.raises(UnavailableError) as caught:
        await migrate(pair.source.url, url, namespace=pair.source.namespace)
    assert "sesame" not in str(caught.value)


# -- a source that goes on


async def act(store: SessionStore, chance: random.Random) -> None:
    """Do something that a runner might do, to a world of few keys, users and scopes."""
    user = chance.choice(("alice", "bob"))
    who = ALICE if user == "alice" else BOB
    key = f"k{chance.randrange(8)}"
    ttl = chance.choice((LONG, 2 * LONG, NEVER))
    snapshot = data(who, snapshot=str(chance.randrange(3)))
    scope = chance.choice(SCOPES[:3])
    match chance.randrange(9):
        case 0:
            await store.create_session(who, snapshot, key=key, ttl=ttl)
        case 1 | 2 | 3:
            await store.register_wait(who, user, scope, key, snapshot, ttl=ttl)
        case 4:
            await store.update_session(key, snapshot)
        case 5:
            await store.touch(key, ttl=ttl)
        case 6:
            await store.remove_session(key)
        case 7:
            if claim := await store.claim_wait(who, user, scope, lease=chance.choice((LONG / 6, LONG / 2))):
                await chance.choice((claim.complete, claim.release, lambda: asyncio.sleep(0)))()
        case _:
            await store.create_session(who, data(NOBODY), key=key, ttl=ttl)


async def act_often(store: SessionStore, chance: random.Random, times: int) -> None:
    for _ in range(times):
        with suppress(GreenticError, LookupError):
            await act(store, chance)


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
@ROUTES
@pytest.mark.asyncio
async def test_whatever_happens_in_the_source_between_two_copies_is_carried_over(pair: Pair, seed: int) -> None:
    chance = random.Random(seed)
    await pair.source.store.create_session(ctx("zoe"), data(ctx("zoe")), key="stays")
    for _ in range(12):
        await act_often(pair.source.store, chance, chance.randrange(1, 12))
        report = await pair.copy()
        assert report.kept == 0
        pair.target.check()
        pair.assert_same()
    await pair.assert_still()


@ROUTES
@pytest.mark.asyncio
async def test_a_wait_for_good_that_was_displaced_since_waits_nowhere(pair: Pair) -> None:
    """Without a lifetime the record does not tell whether the reference has moved it."""
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=NEVER)
    await pair.copy()
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "k2", data(), ttl=NEVER)
    await pair.source.store.remove_session("k2")
    await pair.copy()
    pair.assert_same()
    assert await pair.target.store.find_wait(ALICE, "alice", CHAT) is None
    await pair.assert_still()


@ROUTES
@pytest.mark.asyncio
async def test_traffic_on_the_source_while_it_is_copied(pair: Pair) -> None:
    chance = random.Random(3)
    await build_world(pair.source.store)
    done = asyncio.Event()

    async def go_on(seed: int) -> None:
        own = random.Random(seed)
        while not done.is_set():
            await act_often(pair.source.store, own, 1)

    traffic = [asyncio.create_task(go_on(seed)) for seed in range(4)]
    for _ in range(6):
        await pair.copy()
        await asyncio.sleep(chance.random() / 50)
    done.set()
    await asyncio.gather(*traffic)
    await pair.copy()
    await pair.copy()
    pair.assert_same()
    pair.target.check()
    await pair.assert_still()


# -- what is refused, and what is told


CLUSTER = "redis+cluster://a:1,b:2"


@pytest.mark.parametrize(
    ("source", "target", "called"),
    [
        ("redis://127.0.0.1", "redis://user:sesame@127.0.0.1:6379/0", None),
        (CLUSTER, "redis+cluster://:sesame@b:2,a:1", "greentic:session"),
        ("redis+sentinel://a:1,b:2/main", "redis+sentinel://:sesame@b:2,a:1/main/0?sentinel_password=sesame", None),
        ("unix:///run/redis.sock", "unix://:sesame@/run/redis.sock?db=0", None),
        ("redis://127.0.0.1", CLUSTER, "a{b}"),
        ("redis://127.0.0.1", CLUSTER, ""),
        ("redis://127.0.0.1", "memory://sesame", None),
        ("redis://:sesame@127.0.0.1/x", CLUSTER, None),
    ],
)
@pytest.mark.asyncio
async def test_a_namespace_is_not_copied_to_itself_nor_to_one_that_cannot_be(
    source: str, target: str, called: str | None
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await migrate(source, target, to_namespace=called)
    assert "sesame" not in str(caught.value)


@ROUTES
@pytest.mark.asyncio
async def test_progress_goes_on_to_the_end(pair: Pair) -> None:
    await build_world(pair.source.store)
    told: list[tuple[int, int]] = []
    await pair.copy(on_progress=lambda *pair: told.append(pair))
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert told[-1] == (totals[0], totals[0])


# -- a cluster that changes


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("server", "cluster"), ("cluster", "server")], ids="-".join, indirect=True)
@pytest.mark.asyncio
async def test_slots_that_move_meanwhile(pair: Pair, bare_cluster: Cluster) -> None:
    await build_world(pair.source.store)
    slots = [slot_of(f"dev:acme:{place}") for place in ("ops:alice", "-:bob")]
    homes = [bare_cluster.owner(slot) for slot in slots]

    def shuffle() -> None:
        for slot, home in zip(slots, homes, strict=True):
            other = next(node for node in bare_cluster.primaries if node is not home)
            bare_cluster.move(slot, other, lambda: time.sleep(0.01))
            bare_cluster.move(slot, home, lambda: time.sleep(0.01))

    moving = asyncio.create_task(asyncio.to_thread(shuffle))
    while not moving.done():
        await pair.copy()
    await moving
    await pair.copy()
    pair.assert_same()
    pair.target.check()
    await pair.assert_still()


# -- many


@pytest.mark.slow
@pytest.mark.asyncio
async def test_many_in_little_memory_while_the_servers_go_on_answering(pair: Pair) -> None:
    """Tens of thousands of sessions: nobody else waits for long."""
    count = 40_000
    for start in range(0, count, 500):
        people = [(f"u{number}", ctx(f"u{number}")) for number in range(start, start + 500)]
        await asyncio.gather(
            *(pair.source.store.register_wait(who, user, CHAT, f"k-{user}", data(who)) for user, who in people)
        )
    answered = 0
    copy = asyncio.create_task(pair.copy())
    while not copy.done():
        await pair.source.store.find_wait(ctx("u7"), "u7", CHAT)
        await pair.target.store.find_wait(ctx("u7"), "u7", CHAT)
        answered += 1
        await asyncio.sleep(0.02)
    assert await copy == Report(copied=count)
    assert answered > 100  # they do not wait for the copy
    assert await pair.copy() == Report(unchanged=count)
