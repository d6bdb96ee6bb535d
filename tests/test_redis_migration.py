"""The copy of a namespace to another Redis: complete, resumable, online, and careful with what the target's runners did."""

import asyncio
import functools
import json
import random
import time
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
                told = [
                    {field: found.fields.get(field) for field in (b"o", b"s", b"w", b"h", b"n")} for found in (entry, other)
                ]
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
        assert (await store.find_wait(ALICE, "alice", CHAT)) is not None
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
        assert report.kept == 0
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


@ROUTES
@pytest.mark.asyncio
async def test_what_the_source_has_no_more_is_removed_and_what_it_never_had_stays(pair: Pair) -> None:
    await build_world(pair.source.store)
    await pair.copy()
    await pair.target.store.register_wait(ctx("eve"), "eve", CHAT, "eve's", data(ctx("eve")), ttl=LONG)
    await pair.source.store.remove_session("bob-1")
    await pair.source.store.clear_wait(ALICE, "alice", CHAT)
    assert (await pair.copy()).removed == 2
    assert await pair.target.store.get_session("eve's") is not None
    await pair.target.store.remove_session("eve's")
    pair.assert_same()
    pair.target.check()
    names = dump(pair.target.raw, pair.target.namespace)
    assert not {name for name in names if name.startswith("copied:") and f"session:{name[7:]}" not in names}


@TO_BOTH
@pytest.mark.asyncio
async def test_a_source_that_was_emptied_removes_nothing(pair: Pair) -> None:
    await build_world(pair.source.store)
    await pair.copy()
    before = pair.target.ends()
    for key in pair.source.raw.scan_iter(f"{pair.source.namespace}:*"):
        pair.source.raw.delete(key)
    assert await pair.copy() == Report()
    assert pair.target.ends().keys() == before.keys()


@TO_BOTH
@pytest.mark.asyncio
async def test_sessions_of_another_source_stay(pair: Pair) -> None:
    """Two fleets may be moved to one cluster."""
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "both's", data(), ttl=LONG)
    await pair.source.store.register_wait(ALICE, "alice", SCOPES[1], "one's", data(), ttl=LONG)
    await pair.copy()
    other = Pair(opened(pair.source.url), pair.target)
    try:
        await other.source.store.register_wait(ALICE, "alice", CHAT, "both's", data(ALICE, "node.other"), ttl=LONG)
        await other.source.store.register_wait(BOB, "bob", CHAT, "other's", data(BOB), ttl=LONG)
        assert await other.copy() == Report(copied=1, kept=1)
    finally:
        await other.source.store.aclose()
        for key in other.source.raw.scan_iter(f"{other.source.namespace}:*"):
            other.source.raw.delete(key)
        other.source.raw.close()
    assert await pair.copy() == Report(unchanged=2)
    assert await pair.target.store.list_waits_for_user(BOB, "bob") == ["other's"]
    pair.target.check()


# -- runners on the target


async def do_nothing(_store: SessionStore) -> None:
    pass


async def update(store: SessionStore) -> None:
    await store.update_session("k", data(ALICE, "node.there"))


async def touch(store: SessionStore) -> None:
    await store.touch("k", ttl=4 * LONG)


async def park_elsewhere(store: SessionStore) -> None:
    await store.register_wait(ALICE, "alice", SCOPES[2], "k", data(), ttl=LONG)


async def displace(store: SessionStore) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "other", data(), ttl=LONG)


async def claim(store: SessionStore) -> None:
    assert await store.claim_wait(ALICE, "alice", CHAT, lease=300) is not None


async def complete(store: SessionStore) -> None:
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.complete()


async def remove(store: SessionStore) -> None:
    await store.remove_session("k")


async def answer(store: SessionStore) -> None:
    """Resume the flow, and let it end; the user begins another one."""
    await complete(store)
    await store.register_wait(ALICE, "alice", CHAT, "begun there", data(ALICE, "node.there"), ttl=LONG)


async def change(store: SessionStore) -> None:
    await store.update_session("k", data(ALICE, "node.here"))


async def prolong(store: SessionStore) -> None:
    await store.touch("k", ttl=2 * LONG)


@pytest.mark.parametrize("here", [do_nothing, change, prolong, remove, park_elsewhere, displace], ids=lambda do: do.__name__)
@pytest.mark.parametrize(
    "there", [update, touch, park_elsewhere, displace, claim, complete, remove, answer], ids=lambda do: do.__name__
)
@TO_BOTH
@pytest.mark.asyncio
async def test_what_runners_on_the_target_did_stays(
    pair: Pair, here: Callable[[SessionStore], Any], there: Callable[[SessionStore], Any]
) -> None:
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=LONG)
    await pair.source.store.register_wait(BOB, "bob", CHAT, "stays", data(BOB), ttl=LONG)
    await pair.copy()
    await there(pair.target.store)
    before = {name: value for name, (value, _) in pair.target.ends().items() if is_state(name)}
    await here(pair.source.store)
    for _ in range(2):
        await pair.copy()
        after = {name: value for name, (value, _) in pair.target.ends().items() if is_state(name)}
        assert before.items() <= after.items()
        # What the source displaced with, or parked anew, may come where nothing stands in its way.
        assert {name for name in after.keys() - before.keys() if name.startswith("session:")} <= {"session:other"}
    if there is not touch:  # its claim outlives nothing here
        pair.target.check()


def is_state(name: str) -> bool:
    """Say whether a key tells what sessions and waits there are, and is one user's only."""
    return name.startswith(("session:", "own:", "waits:scope:", "claim:"))


@TO_BOTH
@pytest.mark.asyncio
async def test_a_latest_session_of_the_target_stays_the_latest(pair: Pair) -> None:
    await pair.source.store.create_session(ALICE, data(), key="k", ttl=LONG)
    await pair.copy()
    await pair.target.store.create_session(ALICE, data(), key="begun there", ttl=LONG)
    await pair.source.store.create_session(ALICE, data(), key="k2", ttl=LONG)
    assert (await pair.copy()).copied == 1
    latest = "user:dev:acme:ops:alice"
    assert pair.target.dump()[latest].text == b"begun there"
    assert pair.source.dump()[latest].text == b"k2"
    pair.target.check()
    await pair.assert_still()


@TO_BOTH
@pytest.mark.asyncio
async def test_a_key_that_another_user_got_in_the_source(pair: Pair) -> None:
    await pair.source.store.create_session(BOB, data(BOB), key="stays", ttl=LONG)
    for number, who in enumerate((ALICE, BOB, NOBODY, ctx("alice", team=None), NOBODY)):
        latest = ctx("zoe") if number == 2 else who
        await pair.source.store.create_session(latest, data(who), key="k", ttl=LONG)
        assert (await pair.copy()).kept == 0
        pair.assert_same()
        pair.target.check()
        await pair.source.store.remove_session("k")
    await pair.copy()
    pair.assert_same()


# -- what others wrote in the source


@TO_BOTH
@pytest.mark.asyncio
async def test_sessions_and_waits_of_the_reference_are_copied(pair: Pair) -> None:
    assert isinstance(pair.source.raw, redis.Redis)
    reference = Reference(pair.source.raw, pair.source.namespace)
    store = pair.target.store
    await pair.source.store.register_wait(BOB, "bob", CHAT, "ours", data(BOB), ttl=LONG)
    reference.register_wait(SCOPES[1], "theirs", data(), ttl_ms=60_000)
    reference.register_wait(SCOPES[2], "for ever", data())
    reference.create_session("no wait", data(NOBODY))
    reference.update_session("ours", data(BOB, "node.theirs"))
    assert await pair.copy() == Report(copied=4, waits=3)
    assert await pair.assert_still() == Report(unchanged=4)
    found = await store.find_wait(ALICE, "alice", SCOPES[1])
    assert found is not None
    assert found.key == "theirs"
    assert await store.list_waits_for_user(ALICE, "alice") == ["for ever", "theirs"]
    assert await store.find_wait_by_scope(BOB, "bob", CHAT) == "ours"
    assert pair.target.dump()["session:theirs"].ttl == pytest.approx(60_000, abs=2000)
    assert (await store.get_session("ours")) == data(BOB, "node.theirs")
    # Another one takes the scope, and it is known where that one waits.
    reference.register_wait(SCOPES[1], "later", data(), ttl_ms=60_000)
    await pair.copy()
    assert await store.find_wait_by_scope(ALICE, "alice", SCOPES[1]) == "later"
    assert await store.get_session("theirs") is not None
    assert await store.list_waits_for_user(ALICE, "alice") == ["for ever", "later"]
    await pair.assert_still()
    await store.register_wait(ALICE, "alice", SCOPES[2], "for ever", data(), ttl=LONG)
    await store.clear_wait(ALICE, "alice", SCOPES[1])
    reference.clear_wait(ALICE, SCOPES[1])
    await pair.copy()
    assert await store.list_waits_for_user(ALICE, "alice") == ["for ever"]


@TO_BOTH
@pytest.mark.asyncio
async def test_a_session_to_which_two_scope_keys_of_the_reference_lead(pair: Pair) -> None:
    assert isinstance(pair.source.raw, redis.Redis)
    reference = Reference(pair.source.raw, pair.source.namespace)
    reference.register_wait(SCOPES[1], "k", data(), ttl_ms=60_000)
    reference.register_wait(SCOPES[2], "k", data(), ttl_ms=60_000)
    await pair.copy()
    for store in (pair.source.store, pair.target.store):
        assert [await store.find_wait_by_scope(ALICE, "alice", scope) for scope in SCOPES[1:3]] == ["k", "k"]
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
    assert await pair.assert_still() == Report(unchanged=1)


@ROUTES
@pytest.mark.asyncio
async def test_corrupt_texts_are_copied_where_our_record_tells_whose_they_are(pair: Pair) -> None:
    store, raw, namespace = pair.source.store, pair.source.raw, pair.source.namespace
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=LONG)
    at = f"{namespace}:{{dev:acme:ops:alice}}" if isinstance(raw, redis.RedisCluster) else namespace
    raw.set(f"{at}:session:k", b"\xff{", keepttl=True)
    raw.set(f"{at}:session:nobody's", "{")
    raw.set(f"{at}:session:".encode() + b"\xff", data().to_json())
    raw.hset(f"{at}:session:hash", "a", "b")
    assert await pair.copy() == Report(copied=1, waits=1, corrupt=2)
    for one in (store, pair.target.store):
        with pytest.raises(CorruptSessionError):
            await one.find_wait(ALICE, "alice", CHAT)
    assert (await pair.assert_still()).unchanged == 1


# -- conversations


@ROUTES
@pytest.mark.asyncio
async def test_conversations_are_copied(pair: Pair) -> None:
    async with (
        create_conversation_store(pair.source.url, namespace=pair.source.namespace, ttl=LONG) as mortal,
        create_conversation_store(pair.source.url, namespace=pair.source.namespace) as lasting,
        create_conversation_store(pair.target.url, namespace=pair.target.namespace) as there,
    ):
        for number in range(3):
            for store in (mortal, lasting):
                id = f"{number}: {'mortal' if store is mortal else 'lasting'} é"
                await store.create(ALICE, id=id, metadata={"a": "b"}, system_message="Be kind.")
                await store.append(ALICE, id, Message.user(f"hello {number}"))
        await lasting.create(BOB, id="empty")
        assert await pair.copy() == Report(conversations=7)
        assert await pair.assert_still() == Report(conversations_unchanged=7)
        assert pair.target.dump().keys() == pair.source.dump().keys()
        assert await there.list(ALICE) == await lasting.list(ALICE)
        # Changed here; changed there; there, and then here; not changed, but living longer here.
        await lasting.append(ALICE, "0: lasting é", Message.assistant("here"))
        for number in (1, 2):
            await there.append(ALICE, f"{number}: lasting é", Message.assistant("there"))
        await lasting.append(ALICE, "2: lasting é", Message.assistant("later"))
        for key in pair.source.raw.scan_iter(f"{pair.source.namespace}:*:0: mortal*"):
            pair.source.raw.persist(key)
        for key in pair.source.raw.scan_iter(f"{pair.source.namespace}:*:1: mortal*"):
            pair.source.raw.expire(key, 7200)
        assert await pair.copy() == Report(conversations=4, conversations_kept=1, conversations_unchanged=2)
        said = [(await there.messages(ALICE, f"{number}: lasting é"))[-1].text for number in range(3)]
        assert said == ["here", "there", "later"]
        lives = {name[-9]: entry.ttl for name, entry in pair.target.dump().items() if "head" in name and "mortal" in name}
        assert (lives["0"], lives["1"] > 7_000_000, 0 < lives["2"] <= 3_600_000) == (-1, True, True)
        report = await pair.copy()
        assert report == Report(conversations_unchanged=6, conversations_kept=1)
        await there.delete(ALICE, "2: lasting é")
        assert await pair.copy() == Report(conversations=1, conversations_unchanged=5, conversations_kept=1)


@TO_BOTH
@pytest.mark.asyncio
async def test_conversations_that_cannot_be_read_are_counted(pair: Pair) -> None:
    raw, front = pair.source.raw, f"{pair.source.namespace}:conv:head:dev:acme"
    raw.hset(f"{front}:ops:corrupt", "updated_at", "soon")
    raw.hset(f"{front}:ops:newer", mapping={"schema_version": 99, "updated_at": 1, "created_at": 1, "birth": "b"})
    raw.hset(f"{front}:no id", "updated_at", 1)
    raw.hset(f"{front}:ops:".encode() + b"\xff", "updated_at", 1)
    assert await pair.copy() == Report(conversations_corrupt=4)
    assert pair.target.dump() == {}


# -- what is refused, and what is told


@pytest.mark.asyncio
async def test_a_namespace_is_not_copied_to_itself_nor_to_one_that_cannot_be(pair: Pair) -> None:
    url, other = pair.source.url, pair.target.url
    for target, options in (
        (url, {}),
        (url.replace("redis://", "redis://user:sesame@"), {}),
        (f"{url}/0", {}),
        (other, {"to_namespace": "a{b}"}),
        (other, {"to_namespace": ""}),
        ("memory://", {}),
    ):
        with pytest.raises(InvalidInputError) as caught:
            await migrate(url, target, **options)
        assert "sesame" not in str(caught.value)
    with pytest.raises(InvalidInputError):
        await migrate(other, ",".join(reversed(other.partition("//")[2].split(","))).join(("redis+cluster://", "")))


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


# -- many


@pytest.mark.slow
@pytest.mark.asyncio
async def test_many_in_little_memory_while_the_servers_go_on_answering(pair: Pair) -> None:
    """A hundred thousand sessions: nobody else waits for long."""
    count = 100_000
    for start in range(0, count, 500):
        people = [(f"u{number}", ctx(f"u{number}")) for number in range(start, start + 500)]
        await asyncio.gather(
            *(pair.source.store.register_wait(who, user, CHAT, f"k-{user}", data(who), ttl=LONG) for user, who in people)
        )
    longest = 0.0
    copy = asyncio.create_task(pair.copy())
    while not copy.done():
        began = time.perf_counter()
        await pair.source.store.find_wait(ctx("u7"), "u7", CHAT)
        await pair.target.store.find_wait(ctx("u7"), "u7", CHAT)
        longest = max(longest, time.perf_counter() - began)
        await asyncio.sleep(0.02)
    assert await copy == Report(copied=count)
    assert longest < 2
    assert await pair.copy() == Report(unchanged=count)
