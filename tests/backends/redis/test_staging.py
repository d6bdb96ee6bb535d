"""Large texts pass by Lua, and what is staged for that means nothing and stays nowhere."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
import redis
from cluster_servers import Cluster
from msgspec.structs import replace
from redis_invariants import check, dump
from redis_server import Server

from greentic_session import RedisSessionStore, ReplyScope, Start
from greentic_session._redis.client import RedisClient
from greentic_session._redis.executor import Packed, Pieces
from greentic_session._redis.packing import pack
from greentic_session.backends.redis.staging import STAGED_BYTES, STAGED_MS, stage
from greentic_session.errors import ConflictError, GreenticError, TenantMismatchError
from greentic_session.models import SessionData, version_of
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio

STAGE = "greentic_session.backends.redis.staging.stage"
OTHER = ReplyScope("telegram:chat-2")
SHORT = STAGED_BYTES // 2
LARGE = 4 * STAGED_BYTES
FRAME = len(data(snapshot="").to_json())
SIZES = [STAGED_BYTES - 1, STAGED_BYTES, STAGED_BYTES + 1, 2**16, 2**18]


def of(size: int, letter: str = "a") -> SessionData:
    """Return a session whose text has so many bytes."""
    found = data(snapshot=letter * (size - FRAME))
    assert len(found.to_json()) == size
    return found


@pytest_asyncio.fixture(params=["server", "cluster"])
async def store(
    request: pytest.FixtureRequest, redis_url: str, bare_cluster: Cluster, namespace: str
) -> AsyncIterator[RedisSessionStore]:
    url = redis_url if request.param == "server" else bare_cluster.url
    async with RedisSessionStore.from_url(url, namespace=namespace) as store:
        yield store


@pytest_asyncio.fixture
async def single(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


async def test_updates_leave_the_lifetime_as_it_is(single: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    """To the millisecond from Redis 7 on, which has a command for it."""
    await single.register_wait(ALICE, "alice", CHAT, "k", of(LARGE), 60)
    exact = int(raw.info("server")["redis_version"].split(".")[0]) >= 7
    read, off = (raw.pexpiretime, 0) if exact else (raw.pttl, 5_000)
    keys = [f"{namespace}:{kind}:k" for kind in ("session", "own")]
    before = [read(key) for key in keys]
    for letter in "bcdefghij":
        await single.update_session("k", of(LARGE, letter))
    assert [read(key) for key in keys] == [pytest.approx(ending, abs=off) for ending in before]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ttl", [60, None], ids=["with a lifetime", "without"])
async def test_texts_of_any_size_come_back_as_they_went(store: RedisSessionStore, size: int, ttl: float | None) -> None:
    key = await store.create_session(ALICE, of(size), ttl=ttl)
    assert await store.get_session(key) == of(size)
    await store.register_wait(ALICE, "alice", CHAT, key, of(size, "b"), ttl)
    for letter in "cd":
        await store.register_wait(ALICE, "alice", CHAT, "k", of(size, letter), ttl)
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert found.data == of(size, letter)
    await store.update_session("k", of(size, "e"))
    await store.update_session("k", of(size, "f"), ctx=ALICE, if_version=version_of(of(size, "e").to_json()))
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    assert claim.data == of(size, "f")
    await claim.park(CHAT, of(size, "g"), ttl)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    assert claim.data == of(size, "g")
    await claim.park(OTHER, of(size, "h"), ttl)
    found = await store.find_wait(ALICE, "alice", OTHER)
    assert found is not None
    assert found.data == of(size, "h")


async def test_nothing_stays_staged(
    store: RedisSessionStore, namespace: str, raw: redis.Redis, bare_cluster: Cluster
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", of(LARGE), 60)
    with pytest.raises(ConflictError):
        await store.create_session(ALICE, of(LARGE), key="k")
    with pytest.raises(ConflictError):
        await store.register_wait(ALICE, "alice", CHAT, "k2", of(LARGE), 60, on_conflict="fail")
    with pytest.raises(ConflictError):
        await store.update_session("k", of(LARGE), if_version="another")
    with pytest.raises(LookupError):
        await store.update_session("absent", of(LARGE))
    with pytest.raises(TenantMismatchError):
        await store.update_session("k", replace(of(LARGE), tenant_ctx=ctx("bob")))
    assert await store.find_wait(ALICE, "alice", CHAT) is not None
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.complete()
    with pytest.raises(ConflictError):
        await claim.park(CHAT, of(LARGE), 60)
    names = list(raw.scan_iter(f"{namespace}:*staged:*"))
    for node in bare_cluster.nodes:
        with node.client() as client:
            names += list(client.scan_iter(f"{namespace}:*staged:*"))
    assert names == []


async def test_what_a_client_that_died_has_staged_ends_within_seconds_and_is_no_fault(
    single: RedisSessionStore, raw: redis.Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Pieces] = []

    def noted(key: str, text: bytes) -> Pieces:
        sent.append(stage(key, text))
        return sent[-1]

    monkeypatch.setattr(STAGE, noted)
    await single.register_wait(ALICE, "alice", CHAT, "k", of(LARGE), 60)
    before = dump(raw, namespace)
    client: RedisClient = single._backend._client  # type: ignore[attr-defined]  # only a Redis backend has one
    assert await client.call(Packed(b"".join(sent[0]), 1, ("SET", "staged"))) == b"OK"  # and the script was never sent
    (name,) = dump(raw, namespace).keys() - before.keys()
    assert 0 < raw.pttl(f"{namespace}:{name}") <= STAGED_MS
    inspector = single._backend.inspector()
    assert inspector is not None
    assert not (await inspector.examine(lambda _: None)).findings
    found = await single.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert found.data == of(LARGE)
    raw.delete(f"{namespace}:{name}")
    check(raw, namespace)


VERSION = version_of(of(LARGE).to_json())
WRITES: dict[str, Callable[[RedisSessionStore], Awaitable[object]]] = {
    "create": lambda store: store.create_session(ALICE, of(LARGE, "b"), key="new", ttl=60),
    "park": lambda store: store.register_wait(ALICE, "alice", CHAT, "k", of(LARGE, "b"), 60),
    "park anew": lambda store: store.register_wait(ALICE, "alice", OTHER, "k2", of(LARGE, "b"), 60),
    "displace": lambda store: store.register_wait(ALICE, "alice", CHAT, "k2", of(LARGE, "b"), 60),
    "update": lambda store: store.update_session("k", of(LARGE, "b")),
    "update of a version": lambda store: store.update_session(
        "k", of(LARGE, "b"), if_version=version_of(of(LARGE).to_json())
    ),
}


@pytest.mark.parametrize("write", WRITES)
async def test_a_text_that_is_staged_no_more_goes_with_the_script(
    single: RedisSessionStore, raw: redis.Redis, namespace: str, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    await single.register_wait(ALICE, "alice", CHAT, "k", of(LARGE), 60)
    monkeypatch.setattr(STAGE, lambda key, _: (pack(("UNLINK", key)),))  # as if it had been evicted
    await WRITES[write](single)
    texts = [entry.text for name, entry in dump(raw, namespace).items() if name.startswith("session:")]
    assert of(LARGE, "b").to_json() in texts
    check(raw, namespace)


@pytest.mark.parametrize("write", WRITES)
async def test_a_full_server_refuses_and_nothing_is_written(server: Server, namespace: str, write: str) -> None:
    async with RedisSessionStore.from_url(server.url, namespace=namespace) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", of(LARGE), 600)
        with server.client() as raw:
            before = {name: entry.value for name, entry in dump(raw, namespace).items()}
            raw.config_set("maxmemory", 1)
            with pytest.raises(GreenticError, match="out of memory"):
                await WRITES[write](store)
            found = await store.find_wait(ALICE, "alice", CHAT)
            assert found is not None
            assert found.data == of(LARGE)
            raw.config_set("maxmemory", 0)
            assert {name: entry.value for name, entry in dump(raw, namespace).items()} == before


async def test_large_texts_are_no_arguments_of_scripts(server: Server, namespace: str) -> None:
    async with RedisSessionStore.from_url(server.url, namespace=namespace) as store:

        async def use() -> None:
            await store.register_wait(ALICE, "alice", CHAT, "k", of(LARGE), 60)
            await store.update_session("k", of(LARGE, "b"))
            await store.create_session(ALICE, of(LARGE), ttl=60)
            await store.find_wait(ALICE, "alice", CHAT)
            claim = await store.claim_wait(ALICE, "alice", CHAT)
            assert claim is not None
            await claim.park(CHAT, of(LARGE, "c"), 60)

        await use()  # now the scripts are loaded
        with server.client() as raw, server.client() as other, raw.monitor() as monitor:
            await use()
            other.echo("the end")
            long = []
            command: Any = monitor.next_command()
            while "the end" not in command["command"]:
                if len(command["command"]) > LARGE:
                    long.append((command["client_type"], command["command"].split()[0]))
                command = monitor.next_command()
    assert long == [("tcp", "SET")] * 4


async def test_a_session_that_does_not_begin_is_staged_no_more(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    """Where the delivery finds a wait: each text would lie there for seconds."""
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    for outcome in ("claimed", "queued"):
        delivery = await store.deliver(ALICE, "alice", CHAT, "yes", start=Start(of(LARGE), ttl=60))
        assert delivery.outcome == outcome
    assert [name for name in dump(raw, namespace) if name.startswith("staged:")] == []


async def test_a_session_that_begins_at_the_second_attempt_leaves_nothing_staged(
    store: RedisSessionStore, raw: redis.Redis, bare_cluster: Cluster, namespace: str
) -> None:
    """On a cluster a step is undone where what tells of readiness would not live as long."""
    for key, ttl in (("k1", 60), ("k2", None)):
        begun = await store.deliver(ALICE, "alice", ReplyScope(key), "yes", start=Start(of(LARGE), key, ttl))
        assert begun.outcome == "claimed"
    for client in (raw, *bare_cluster.clients()):
        with client:
            assert list(client.scan_iter(f"{namespace}:*staged:*", count=1000)) == []
