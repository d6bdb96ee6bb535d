"""Two places to copy between, and a world to be copied."""

import asyncio
import contextlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from races.workers import plain_client
from redis_invariants import SLACK_MS, Client, Dump, check, dump, dump_at

from greentic_session import NEVER, RedisSessionStore, ReplyScope, SQLiteSessionStore
from greentic_session.backends.migration import Report, migrate
from greentic_session.store import SessionStore
from greentic_session.testing import later
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

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
_APART_MS = 60_000
"""By how much lifetimes may differ that a test sets on one side after the other."""

ROUTES = pytest.mark.parametrize(
    "pair",
    [
        ("server", "cluster"),
        ("cluster", "server"),
        ("server", "server"),
        pytest.param(("cluster", "cluster"), marks=pytest.mark.slow),
    ],
    ids="-".join,
    indirect=True,
)
TO_BOTH = pytest.mark.parametrize("pair", [("server", "cluster"), ("server", "server")], ids="-".join, indirect=True)


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
        """Return every key with its value and its end (ms since the epoch, -1 for never)."""
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
        """Assert equal sessions, waits, lifetimes, latest sessions and claims on both sides."""
        ours, theirs = _without_checks(self.target.dump()), _without_checks(self.source.dump())
        assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())
        for name, entry in theirs.items():
            other = ours[name]
            assert other.kind == entry.kind
            assert (other.ttl == -1) == (entry.ttl == -1), name
            assert abs(other.ttl - entry.ttl) <= _APART_MS, name
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
        """Assert that another copy writes nothing at all; return what it says.

        What a busy machine held up for a second has another lifetime, which the next copy corrects.
        """
        before = self.target.ends()
        report = await self.copy()
        for _ in range(4):
            if not (report.copied or report.removed or report.waits or report.conversations):
                break
            before = self.target.ends()
            report = await self.copy()
        after = self.target.ends()
        assert after.keys() == before.keys()
        for name, (value, end) in before.items():
            assert after[name][0] == value, name
            assert abs(after[name][1] - end) <= SLACK_MS, name
        assert (report.copied, report.removed, report.waits, report.conversations) == (0, 0, 0, 0)
        return report


def _without_checks(found: Dump) -> Dump:
    """Leave out when sessions without a lifetime are checked: a cluster has none of that."""
    return {name: entry for name, entry in found.items() if not name.startswith("lasting:")}


def fresh() -> str:
    return f"test-{uuid.uuid4().hex}"


def opened(url: str) -> Place:
    namespace = fresh()
    store = RedisSessionStore.from_url(url, namespace=namespace, timeout=30)
    return Place(url, namespace, store, plain_client(url))


def empty(place: Place) -> None:
    """Delete all that is in a place."""
    for server in servers_of(place.raw):
        with server.pipeline(transaction=False) as pipeline:
            for key in server.scan_iter(f"{place.namespace}:*", count=1000):
                pipeline.unlink(key)
                if len(pipeline) == 1000:
                    pipeline.execute()
            pipeline.execute()


def servers_of(raw: Client) -> list[redis.Redis]:
    """Return a client of each server."""
    if isinstance(raw, redis.Redis):
        return [raw]
    return [raw.get_redis_connection(node) for node in raw.get_primaries()]  # type: ignore[no-untyped-call]  # redis-py says nothing of it


async def close(pair: Pair) -> None:
    """Empty both places."""
    for place in (pair.source, pair.target):
        await place.store.aclose()
        empty(place)
        place.raw.close()


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of the tests' server or cluster, or of a service with sentinels."""
    if kind == "server":
        return str(request.getfixturevalue("redis_url"))
    return str(request.getfixturevalue("sentinels" if kind == "sentinel" else "bare_cluster").url)


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


class Home(NamedTuple):
    """Where a store is: a file, or a namespace of a Redis."""

    url: str
    namespace: str | None
    store: SessionStore
    there: Place | None


class Stores:
    """A store to copy from, and one to copy to."""

    def __init__(self, source: Home, target: Home) -> None:
        self._homes = source, target
        self.source, self.target = source.store, target.store

    async def copy(self) -> Report:
        """Copy all; both stores agree afterwards, each with itself."""
        report = await self.copy_only()
        for store in (self.source, self.target):
            assert await findings_of(store) == []
        return report

    async def copy_a_part(self, steps: int) -> None:
        """Copy, and cancel that after so many steps of the loop."""
        copying = asyncio.create_task(self.copy_only())
        for _ in range(steps):
            await asyncio.sleep(0)
        copying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await copying

    async def copy_only(self) -> Report:
        """Copy all, while others write."""
        source, target = self._homes
        namespace = source.namespace or target.namespace or "none"
        return await migrate(source.url, target.url, namespace=namespace, to_namespace=target.namespace)

    async def later(self, seconds: float) -> None:
        """Let time pass for both."""
        for store in (self.source, self.target):
            await later(store, seconds)

    async def close(self) -> None:
        """Empty both."""
        for home in self._homes:
            await home.store.aclose()
            if home.there is not None:
                empty(home.there)
                home.there.raw.close()


async def findings_of(store: SessionStore) -> list[str]:
    """Return what the doctor finds.

    Lifetimes that one script has set are apart where the machine stood still meanwhile, as if
    another runtime had written.
    """
    inspector = store.backend.inspector()
    assert inspector is not None
    found = (await inspector.examine(lambda _: None)).findings
    return [f"{finding.what}: {finding.count}" for finding in found if finding.name != "foreign"]


def stores_of(kinds: str, request: pytest.FixtureRequest, folder: Path) -> Stores:
    """Return stores of two kinds, with a hyphen between: ``sqlite-cluster``."""
    homes = []
    for side, kind in zip(("from", "to"), kinds.split("-"), strict=True):
        if kind == "sqlite":
            path = folder / f"{side}.db"
            homes.append(Home(f"sqlite:///{path}", None, SQLiteSessionStore.open(path), None))
        else:
            there = opened(url_of(kind, request))
            homes.append(Home(there.url, there.namespace, there.store, there))
    return Stores(*homes)
