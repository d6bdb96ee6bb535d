"""Copies between a SQLite file and any Redis, in either direction, and between files."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis
from migration_places import BOB, LONG, NOBODY, SCOPES, Place, build_world, empty, url_of
from races.workers import plain_client
from reference_fleet import Reference
from sentinel_servers import Fleet

from greentic_session import (
    NEVER,
    ClaimedError,
    InvalidInputError,
    SessionStore,
    UnavailableError,
    create_session_store,
)
from greentic_session.backends.migration import Report, migrate
from greentic_session.backends.migration.exported import Exported
from greentic_session.backends.migration.migrate import _endpoint_of
from greentic_session.conversation import Message, create_conversation_store
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio

_ALL = [("sqlite", "server"), ("server", "sqlite"), ("sqlite", "cluster"), ("cluster", "sqlite"), ("sqlite", "sqlite")]
ROUTES = pytest.mark.parametrize("pair", _ALL, ids="-".join, indirect=True)
AND_SENTINELS = pytest.mark.parametrize(
    "pair", [*_ALL, ("sqlite", "sentinel"), ("sentinel", "sqlite"), ("sentinel", "cluster")], ids="-".join, indirect=True
)
SHORT = pytest.mark.parametrize("pair", [("server", "sqlite"), ("sqlite", "sqlite")], ids="-".join, indirect=True)


class End:
    """One side: its URL, its namespace, and a store on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = f"test-{uuid.uuid4().hex}"
        self.in_file = url.startswith("sqlite:")
        options: dict[str, Any] = {"timeout": 30} if self.in_file else {"timeout": 30, "namespace": self.namespace}
        self.store: SessionStore = create_session_store(url, **options)

    def conversations(self) -> Any:
        return create_conversation_store(self.url, namespace=None if self.in_file else self.namespace)

    async def sessions(self) -> dict[bytes, Exported]:
        """Return all that a copy would take from here."""
        endpoint = _endpoint_of(self.url, self.namespace)
        try:
            source = endpoint.source(Report())
            groups = [group async for group in source.sessions(lambda _: None)]
            return {found.key: found for group in groups for found in await source.read(group)}
        finally:
            await endpoint.side.aclose()


class Pair:
    """An end to copy from, and one to copy to."""

    def __init__(self, source: End, target: End) -> None:
        self.source = source
        self.target = target

    async def copy(self) -> Report:
        namespaces: dict[str, Any] = {"namespace": self.target.namespace if self.source.in_file else self.source.namespace}
        if not self.source.in_file and not self.target.in_file:
            namespaces["to_namespace"] = self.target.namespace
        return await migrate(self.source.url, self.target.url, **namespaces)

    async def assert_same(self) -> None:
        theirs, ours = await self.source.sessions(), await self.target.sessions()
        assert ours.keys() == theirs.keys()
        for key, one in theirs.items():
            other = ours[key]
            for field in ("text", "owner", "scope_hash", "scope", "latest", "claim", "unseen"):
                assert getattr(one, field) == getattr(other, field), (key, field)
            for field in ("ttl", "lease"):
                first, second = getattr(one, field), getattr(other, field)
                assert (first == -1) == (second == -1), (key, field)
                assert abs(first - second) < 5000, (key, field)


@pytest.fixture(scope="module")
def sentinels() -> Iterator[Fleet]:
    """A service with three sentinels, for the tests of this module."""
    with Fleet() as fleet:
        yield fleet


@pytest_asyncio.fixture
async def pair(request: pytest.FixtureRequest, databases: Callable[[], Path]) -> AsyncIterator[Pair]:
    def end(kind: str) -> End:
        if kind == "sqlite":
            return End(f"sqlite:///{databases()}")
        return End(url_of(kind, request))

    source, target = request.param
    pair = Pair(end(source), end(target))
    yield pair
    for side in (pair.source, pair.target):
        await side.store.aclose()
        if not side.in_file and "+sentinel:" not in side.url:  # that one ends with the module
            raw = plain_client(side.url)
            empty(Place(side.url, side.namespace, side.store, raw))
            raw.close()


@AND_SENTINELS
async def test_all_is_copied_and_a_second_copy_writes_nothing(pair: Pair) -> None:
    count = await build_world(pair.source.store)
    assert await pair.copy() == Report(copied=count)
    await pair.assert_same()
    assert await pair.copy() == Report(unchanged=count)
    store = pair.target.store
    with pytest.raises(ClaimedError):
        await store.claim_wait(ALICE, "alice", SCOPES[1])
    assert await store.remaining_ttl("nobody's") is NEVER
    found = await store.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert (found.key, found.scope) == ("displacing", CHAT)
    latest = await by_user(store, ctx("dave"), "dave")
    assert latest is not None
    assert latest[0] == "dave's latest: é"


@ROUTES
async def test_what_changed_comes_and_what_is_gone_goes(pair: Pair) -> None:
    await build_world(pair.source.store)
    await pair.copy()
    source = pair.source.store
    await source.update_session("bob-1", data(BOB, "node.later"))
    await source.touch("bob-2", 3 * LONG)
    await source.register_wait(BOB, "bob", SCOPES[3], "bob-4", data(BOB), ttl=LONG)  # moves, and displaces bob-3
    await source.remove_session("nobody's")
    await source.create_session(BOB, data(BOB), key="bob-newest")
    report = await pair.copy()
    assert report.removed == 1
    assert report.kept == 0
    assert 4 <= report.copied <= 7
    await pair.copy()
    await pair.assert_same()


@ROUTES
async def test_what_the_target_changed_stays(pair: Pair) -> None:
    source, target = pair.source.store, pair.target.store
    for number, scope in enumerate(SCOPES):
        await source.register_wait(ALICE, "alice", scope, f"k{number}", data(), ttl=LONG)
    await source.create_session(NOBODY, data(NOBODY), key="held")
    await target.create_session(BOB, data(BOB), key="held")
    assert await pair.copy() == Report(copied=5, kept=1)
    await target.update_session("k0", data(ALICE, "node.there"))
    await target.touch("k1", 4 * LONG)
    claim = await target.claim_wait(ALICE, "alice", SCOPES[2], lease=300)
    assert claim is not None
    await target.remove_session("k3")
    for number in range(5):
        await source.update_session(f"k{number}", data(ALICE, "node.here"))
    assert await pair.copy() == Report(copied=1, kept=5)
    nodes = {wait.key: wait.data.cursor.node_pointer async for wait in target.iter_sessions(ALICE)}
    assert nodes == {"k0": "node.there", "k1": "node.ask", "k2": "node.ask", "k4": "node.here"}
    await claim.complete()
    for number in range(5):
        await source.remove_session(f"k{number}")
    report = await pair.copy()
    assert report.removed == 1
    assert await target.list_waits_for_user(ALICE, "alice") == ["k0", "k1"]


@SHORT
async def test_a_source_that_was_emptied_removes_nothing(pair: Pair) -> None:
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "k", data())
    await pair.copy()
    await pair.source.store.remove_session("k")
    assert await pair.copy() == Report()
    assert await pair.target.store.get_session("k") is not None


@SHORT
async def test_a_key_that_another_owner_has_in_the_source_now(pair: Pair) -> None:
    await pair.source.store.register_wait(ALICE, "alice", CHAT, "k", data())
    await pair.copy()
    await pair.source.store.remove_session("k")
    await pair.source.store.register_wait(BOB, "bob", CHAT, "k", data(BOB))
    assert await pair.copy() == Report(copied=1)
    await pair.assert_same()
    assert await pair.target.store.list_waits_for_user(ALICE, "alice") == []


@AND_SENTINELS
async def test_conversations_come_too(pair: Pair) -> None:
    async with pair.source.conversations() as source, pair.target.conversations() as target:
        await source.create(ALICE, id="c/1: é", model="m", metadata={"a": "b"})
        await source.append(ALICE, "c/1: é", Message.user("hello"), Message.assistant("good morning"))
        await source.create(BOB, id="c2")
        assert await pair.copy() == Report(conversations=2)
        assert await pair.copy() == Report(conversations_unchanged=2)
        assert await target.load(ALICE, "c/1: é") == await source.load(ALICE, "c/1: é")
        await source.append(ALICE, "c/1: é", Message.user("and on"))
        await target.append(BOB, "c2", Message.user("there"))
        assert await pair.copy() == Report(conversations=1, conversations_kept=1)
        assert await target.load(ALICE, "c/1: é") == await source.load(ALICE, "c/1: é")


@pytest.mark.parametrize("pair", [("server", "sqlite")], ids="-".join, indirect=True)
async def test_a_wait_that_only_the_reference_knows(pair: Pair, raw: redis.Redis, databases: Callable[[], Path]) -> None:
    """Its scope key has the scope's SHA-256 only: enough to be found, and to be copied on."""
    reference = Reference(raw, pair.source.namespace)
    reference.register_wait(CHAT, "theirs", data(), ttl_ms=3_600_000)
    report = await pair.copy()
    assert report.copied + report.waits >= 1
    found = await pair.target.store.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert (found.key, found.scope) == ("theirs", CHAT)
    assert [wait.scope async for wait in pair.target.store.iter_sessions(ALICE)] == [None], "nobody can name it"
    assert (await pair.copy()).copied == 0
    further = Pair(pair.target, End(f"sqlite:///{databases()}"))
    async with further.target.store as store:
        await further.copy()
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "theirs"
        assert await store.register_wait(ALICE, "alice", CHAT, "theirs", data(), ttl=LONG) is None
        assert [wait.scope async for wait in store.iter_sessions(ALICE)] == [CHAT]


async def test_what_cannot_be_copied(databases: Callable[[], Path], redis_url: str) -> None:
    there, missing = databases(), databases()
    async with create_session_store(f"sqlite:///{there}") as store:
        await store.health()
    with pytest.raises(UnavailableError, match="no such file"):
        await migrate(f"sqlite:///{missing}", f"sqlite:///{there}")
    assert not missing.exists()
    with pytest.raises(InvalidInputError, match="to itself"):
        await migrate(f"sqlite:///{there}", f"SQLite:///{there}")
    with pytest.raises(InvalidInputError, match="no namespaces"):
        await migrate(redis_url, f"sqlite:///{there}", to_namespace="n")
    with pytest.raises(InvalidInputError, match="three slashes"):
        await migrate("sqlite://host/x.db", f"sqlite:///{there}")
