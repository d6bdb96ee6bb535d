"""The copy of a namespace to another Redis: complete, resumable, online, and careful with what the target's runners did."""

import asyncio
import functools
import json
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import redis
from cluster_servers import Cluster
from race_workers import plain_client
from redis_invariants import Client, Dump, check, dump, dump_at
from redis_server import Server
from reference_fleet import Reference

from greentic_session import (
    NEVER,
    CorruptSessionError,
    InvalidInputError,
    RedisSessionStore,
    ReplyScope,
    TenantCtx,
    UnavailableError,
)
from greentic_session._contract.samples import ALICE, CHAT, ctx, data
from greentic_session.backends.redis.migration import Report, migrate
from greentic_session.conversation import Message, create_conversation_store
from greentic_session.errors import GreenticError
from greentic_session.store import SessionStore
from greentic_session.transport.link import Link

BOB = ctx("bob", team=None)
NOBODY = ctx(None)
SCOPES = (
    CHAT,
    ReplyScope("c", thread="t"),
    ReplyScope("c", reply_to="r"),
    ReplyScope("c", correlation="x"),
    ReplyScope("c é", thread="t", reply_to="r", correlation="x"),
)
LONG = 3600.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that these tests share, each in namespaces of its own."""
    with Cluster(replicas=False) as cluster:
        yield cluster


@dataclass
class Place:
    """A namespace of a Redis, seen through our store and through a plain client."""

    url: str
    namespace: str
    store: SessionStore
    raw: Client

    def dump(self) -> Dump:
        """Return all that the namespace holds, but what the copy remembers."""
        return {name: entry for name, entry in dump(self.raw, self.namespace).items() if not name.startswith("copied:")}

    def ends(self) -> dict[str, tuple[object, int]]:
        """Return every key with its value and the moment of its end (ms since the epoch, -1 for never)."""
        found, moment = dump_at(self.raw, self.namespace)
        return {name: (entry.value, -1 if entry.ttl == -1 else moment + entry.ttl) for name, entry in found.items()}

    def check(self) -> None:
        check(self.raw, self.namespace)


class Pair:
    """A place to copy from, and one to copy to."""

    def __init__(self, source: Place, target: Place) -> None:
        self.source = source
        self.target = target

    async def copy(self, **options: Any) -> Report:
        return await migrate(
            self.source.url,
            self.target.url,
            namespace=self.source.namespace,
            to_namespace=self.target.namespace,
            **options,
        )

    def assert_same(self) -> None:
        """Assert that both sides hold the same sessions, waits, lifetimes, latest sessions and claims."""
        ours, theirs = self.target.dump(), self.source.dump()
        assert ours.keys() == theirs.keys()
        for name, entry in theirs.items():
            other = ours[name]
            assert other.kind == entry.kind
            assert (other.ttl == -1) == (entry.ttl == -1), name
            assert abs(other.ttl - entry.ttl) <= 1000, name
            if name.startswith("own:"):
                told = [{field: found.fields.get(field) for field in (b"o", b"s", b"w", b"h", b"n")} for found in (entry, other)]
                assert told[0] == told[1], name
            elif name.startswith("scopes:"):
                assert other.fields.keys() == entry.fields.keys(), name
            else:
                assert other.value == entry.value, name

    async def assert_still(self) -> Report:
        """Assert that another copy writes nothing at all; return what it says."""
        before = self.target.ends()
        report = await self.copy()
        after = self.target.ends()
        assert after.keys() == before.keys()
        for name, (value, end) in before.items():
            assert after[name][0] == value, name
            assert abs(after[name][1] - end) <= 5, name
        assert (report.copied, report.removed, report.waits, report.conversations) == (0, 0, 0, 0)
        return report


def fresh() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def urls(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The URLs of both sides; by default from a server to a cluster."""
    kinds: tuple[str, str] = getattr(request, "param", ("server", "cluster"))

    def url(kind: str) -> str:
        if kind == "server":
            return str(request.getfixturevalue("redis_url"))
        return str(request.getfixturevalue("cluster").url)

    return url(kinds[0]), url(kinds[1])


def opened(url: str) -> Place:
    namespace = fresh()
    store = RedisSessionStore.from_url(url, namespace=namespace, timeout=30)
    return Place(url, namespace, store, plain_client(url))


@pytest_asyncio.fixture
async def pair(urls: tuple[str, str]) -> AsyncIterator[Pair]:
    pair = Pair(opened(urls[0]), opened(urls[1]))
    yield pair
    for place in (pair.source, pair.target):
        await place.store.aclose()
        for key in place.raw.scan_iter(f"{place.namespace}:*", count=1000):
            place.raw.delete(key)
        place.raw.close()


ROUTES = pytest.mark.parametrize(
    "urls",
    [("server", "cluster"), ("cluster", "server"), ("server", "server"), ("cluster", "cluster")],
    ids=lambda kinds: "-".join(kinds),
    indirect=True,
)
TO_BOTH = pytest.mark.parametrize(
    "urls", [("server", "cluster"), ("server", "server")], ids=lambda kinds: "-".join(kinds), indirect=True
)


async def build_world(store: SessionStore) -> int:
    """Park and store sessions of every kind; return how many."""
    count = 0
    for who, user in ((ALICE, "alice"), (BOB, "bob"), (ctx("carol", tenant="other"), "carol")):
        for number, scope in enumerate(SCOPES):
            key = f"{user}-{number}"
            ttl = (60.0, NEVER, LONG)[number % 3]
            await store.register_wait(who, user, scope, key, data(who, snapshot=json.dumps({"n": number})), ttl=ttl)
            count += 1
        await store.create_session(who, data(who), key=f"{user}-old", ttl=LONG)
        await store.create_session(who, data(who), key=f"{user}-latest", ttl=NEVER)
        count += 2
    await store.register_wait(ALICE, "alice", CHAT, "displacing", data(), ttl=120)  # alice-0 is no wait any more
    await store.create_session(NOBODY, data(NOBODY), key="nobody's")
    await store.create_session(ctx("dave"), data(NOBODY), key="dave's latest: é", ttl=LONG)
    claim = await store.claim_wait(ALICE, "alice", SCOPES[1], lease=300)
    assert claim is not None
    await store.update_session("bob-2", data(BOB, "node.later"))
    return count + 3


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
        assert (await store.find_by_scope(ALICE, "alice", CHAT)) is not None
        assert await store.list_waits_for_user(BOB, "bob") == [f"bob-{number}" for number in range(5)]
        await store.touch("bob-0", ttl=3 * LONG)
        await store.update_session("bob-1", data(BOB, "node.next"))
        await store.clear_wait(BOB, "bob", SCOPES[2])
        await store.remove_session("bob-3")
        await store.register_wait(BOB, "bob", SCOPES[2], "bob-new", data(BOB), ttl=LONG)
        assert await store.remove_session("nobody's") is None
    pair.assert_same()
    pair.target.check()


# -- resumable


class Interruption:
    """Cancels a task when so many calls have been sent to Redis."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.task: asyncio.Task[Any] | None = None
        call = Link.call

        @functools.wraps(call)
        async def counted(link: Link, *command: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 and self.task is not None:
                self.task.cancel()
            return await call(link, *command, **options)

        monkeypatch.setattr(Link, "call", counted)

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
        await pair.source.store.register_wait(ctx(f"u{number}"), f"u{number}", CHAT, f"k{number}", data(ctx(f"u{number}")), ttl=LONG)
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
            if claim := await store.claim_wait(who, user, scope, lease=chance.choice((30.0, 300.0))):
                await chance.choice((claim.complete, claim.release, lambda: asyncio.sleep(0)))()
        case _:
            await store.create_session(who, data(NOBODY), key=key, ttl=ttl)


async def act_often(store: SessionStore, chance: random.Random, times: int) -> None:
    for _ in range(times):
        with suppress(GreenticError, LookupError):
            await act(store, chance)


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))])
@ROUTES
@pytest.mark.asyncio
async def test_whatever_happens_in_the_source_between_two_copies_is_carried_over(pair: Pair, seed: int) -> None:
    chance = random.Random(seed)
    await pair.source.store.create_session(ctx("zoe"), data(ctx("zoe")), key="stays")
    for _ in range(12):
        await act_often(pair.source.store, chance, chance.randrange(1, 12))
        report = await pair.copy()
        if report.kept:  # a scope or a pointer was taken by a copy that was yet to be seen
            await pair.copy()
        pair.target.check()
        pair.assert_same()
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
