"""Namespaces of which one is the front of another: neither sees or changes what the other keeps."""

import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
import pytest_asyncio
from runs.cli import Cli, dumps, in_redis

from greentic_session import (
    ConflictError,
    NotFoundError,
    RedisSessionStore,
    ReplyScope,
    SessionCursor,
    SessionData,
    TenantCtx,
)
from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session.backends.migration import migrate
from greentic_session.backends.redis import keys
from greentic_session.conversation import Message
from greentic_session.conversation.backends.redis import RedisConversationStore

CTX = TenantCtx.new("dev", "acme", user="alice")
ROOM = TenantCtx.new("dev", "acme")
CHAT, OTHER_CHAT = ReplyScope("c1"), ReplyScope("c2")
LONGER = (":session", ":session:eu", ":eu")
"""Endings that make one namespace the beginning of another."""


def data(node: str) -> SessionData:
    return SessionData(tenant_ctx=CTX, flow_id="f", cursor=SessionCursor(node), context_json="{}")


def called(behind: str, key: str) -> str:
    return f"{behind}:session:{key}".removeprefix(":session:").removeprefix(":")


@pytest.fixture(params=LONGER)
def behind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest_asyncio.fixture
async def short(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


@pytest_asyncio.fixture
async def long(redis_url: str, namespace: str, behind: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace + behind) as store:
        yield store


async def fill(store: RedisSessionStore) -> None:
    """Keep a plain session, a wait and one that was claimed."""
    await store.create_session(CTX, data("plain"), key="plain")
    await store.register_wait(CTX, "alice", CHAT, "wait", data("wait"), 600)
    await store.register_wait(CTX, "alice", OTHER_CHAT, "claimed", data("claimed"), 600)
    await store.claim_wait(CTX, "alice", OTHER_CHAT)


async def held(store: RedisSessionStore) -> dict[str, str]:
    return {wait.key: wait.data.cursor.node_pointer async for wait in store.iter_sessions(CTX)}


ALL = {"plain": "plain", "wait": "wait", "claimed": "claimed"}


@pytest_asyncio.fixture
async def before(long: RedisSessionStore, raw: Any, namespace: str) -> dict[bytes, bytes]:
    """All keys after the longer namespace has got its sessions."""
    await fill(long)
    return dumps(raw, namespace)


@pytest.mark.asyncio
async def test_walks_leave_out_what_is_the_longer_ones(
    short: RedisSessionStore, long: RedisSessionStore, raw: Any, namespace: str, before: dict[bytes, bytes]
) -> None:
    assert await held(short) == {}
    assert await short.purge(ROOM) == 0
    assert dumps(raw, namespace) == before
    await short.register_wait(CTX, "alice", CHAT, "own", data("own"))
    assert (await held(short), await held(long)) == ({"own": "own"}, ALL)
    assert await long.purge(ROOM) == 3
    assert await held(short) == {"own": "own"}


@pytest.mark.asyncio
async def test_no_key_reaches_into_the_longer_one(
    short: RedisSessionStore, long: RedisSessionStore, raw: Any, namespace: str, before: dict[bytes, bytes], behind: str
) -> None:
    for name in ALL:
        key = called(behind, name)
        assert await short.get_session(key) is None
        assert await short.get_versioned(key, ctx=CTX) is None
        assert not await short.touch(key, 5)
        with pytest.raises(NotFoundError):
            await short.update_session(key, data("changed"))
        with pytest.raises(NotFoundError):
            await short.remove_session(key)
        if behind != ":eu":  # else it is another place in Redis
            with pytest.raises(ConflictError):
                await short.create_session(CTX, data("new"), key=key)
            with pytest.raises(ConflictError, match="another namespace"):
                await short.register_wait(CTX, "alice", CHAT, key, data("new"))
    assert dumps(raw, namespace) == before
    assert await held(long) == ALL


@pytest.mark.asyncio
async def test_no_key_reaches_what_the_longer_one_keeps_beside_its_sessions(
    short: RedisSessionStore, long: RedisSessionStore, raw: Any, namespace: str, before: dict[bytes, bytes]
) -> None:
    front = f"{namespace}:session:"
    for name in [key.decode() for key in before]:
        if name.startswith(front):
            key = name.removeprefix(front)
            assert await short.get_session(key) is None
            assert not await short.touch(key, 5)
            with pytest.raises(NotFoundError):
                await short.update_session(key, data("changed"))
            with pytest.raises(NotFoundError):
                await short.remove_session(key)
    assert dumps(raw, namespace) == before


@pytest.mark.asyncio
async def test_a_wait_of_the_references_is_the_namespaces_whose_set_lists_it(
    short: RedisSessionStore, long: RedisSessionStore, raw: Any, namespace: str, behind: str
) -> None:
    place, hash = "dev:acme:-:alice", CHAT.scope_hash()
    for front, key in ((namespace + behind, "k"), (namespace, "session:mine")):
        raw.set(f"{front}:session:{key}", data(key).to_json())
        raw.sadd(f"{front}:waits:user:{place}", key)
        raw.set(f"{front}:waits:scope:{place}:{hash}", key)
    assert await short.get_session(called(behind, "k")) is None
    assert await held(short) == {"session:mine": "session:mine"}
    assert await short.purge(ROOM) == 1
    assert (await held(long))["k"] == "k"


@pytest.mark.asyncio
async def test_a_key_with_a_word_of_the_layout_goes_on_working(short: RedisSessionStore, raw: Any, namespace: str) -> None:
    names = [f"{front}{word}:x" for word in ("session", "own", "claim", "user", "waits", "conv") for front in ("", "a:")]
    for name in names:
        await short.register_wait(CTX, "alice", ReplyScope(name), name, data(name), 600)
        assert (await short.get_session(name)) == data(name)
        raw.set(f"{namespace}:session:rust:{name}", data("rust").to_json())  # as the reference creates one
    assert await held(short) == {**{name: name for name in names}, **{f"rust:{name}": "rust" for name in names}}
    for name in names:
        assert await short.find_wait_by_scope(CTX, "alice", ReplyScope(name)) == name
        await short.update_session(name, data("changed"))
        assert await short.touch(name, 60)
        claim = await short.claim_wait(CTX, "alice", ReplyScope(name))
        assert claim is not None
        async with claim:
            await claim.park(ReplyScope(name), data("again"), 60)
        assert await short.get_session(f"rust:{name}", ctx=CTX) == data("rust")
        await short.update_session(f"rust:{name}", data("changed"))
        await short.remove_session(f"rust:{name}")
        await short.remove_session(name)
    assert await held(short) == {}


@pytest.mark.asyncio
async def test_what_the_shorter_one_keeps_is_left_alone_by_the_longer_one(
    short: RedisSessionStore, redis_url: str, namespace: str
) -> None:
    await short.create_session(CTX, data("mine"), key="session:mine")
    async with RedisSessionStore.from_url(redis_url, namespace=f"{namespace}:session") as long:
        assert await held(long) == {}
        assert not await long.touch("mine", 5)
        with pytest.raises(NotFoundError):
            await long.remove_session("mine")
        with pytest.raises(ConflictError, match="another namespace"):
            await long.register_wait(CTX, "alice", CHAT, "mine", data("new"))
        assert await long.purge(ROOM) == 0
    assert await short.get_session("session:mine") == data("mine")


@pytest.mark.asyncio
async def test_what_nothing_tells_is_the_default_namespaces(redis_url: str, raw: Any) -> None:
    shorter = DEFAULT_NAMESPACE.partition(":")[0]
    raw.set(f"{DEFAULT_NAMESPACE}:session:nobody", data("rust").to_json(), ex=60)
    try:
        async with RedisSessionStore.from_url(redis_url, namespace=shorter) as short:
            assert await short.get_session("session:nobody") is None
            with pytest.raises(NotFoundError):
                await short.remove_session("session:nobody")
        async with RedisSessionStore.from_url(redis_url) as default:
            assert await default.get_session("nobody") == data("rust")
    finally:
        raw.delete(f"{DEFAULT_NAMESPACE}:session:nobody")


@pytest.mark.asyncio
async def test_conversations_are_apart(
    short: RedisSessionStore, redis_url: str, raw: Any, namespace: str, behind: str
) -> None:
    stores = [RedisConversationStore.from_url(redis_url, namespace=name) for name in (namespace, namespace + behind)]
    ours, theirs = stores
    await theirs.create(ROOM, id="talk")
    await theirs.append(ROOM, "talk", Message.user("hello"))
    before = dumps(raw, namespace)
    assert await ours.purge(ROOM) == 0
    assert await ours.list(ROOM) == []
    assert await short.purge(ROOM) == 0
    assert dumps(raw, namespace) == before
    for store in stores:
        await store.aclose()


def test_stats_and_doctor_leave_it_out(
    redis_url: str, raw: Any, namespace: str, behind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    in_redis(redis_url, namespace + behind, fill)
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)
    assert cli.json("stats")["total"]["sessions"] == 0
    assert cli.json("doctor")["indices"]["findings"] == []
    for name in ALL:
        assert cli("show", called(behind, name))[0] == 3
        assert cli("remove", called(behind, name), "--yes")[0] == 3
    other = Cli(capsys, "--store", redis_url, "--namespace", namespace + behind)
    assert other.json("stats")["total"]["sessions"] == 3
    assert other.json("doctor")["indices"]["findings"] == []


@pytest.mark.asyncio
async def test_a_copy_leaves_it_out(long: RedisSessionStore, redis_url: str, raw: Any, namespace: str) -> None:
    await fill(long)
    report = await migrate(redis_url, redis_url, namespace=namespace, to_namespace=f"{namespace}-copy")
    assert (report.copied, report.corrupt) == (0, 0)
    assert dumps(raw, f"{namespace}-copy") == {}


def test_the_scripts_know_the_same_words_and_default() -> None:
    text = (files("greentic_session.backends.redis.lua") / "includes" / "namespaces.lua").read_text()
    words = re.search("WORDS = {(.*?)}", text, re.DOTALL)
    assert words
    assert set(re.findall(r"(\w+) = true", words[1])) == keys._LAYOUT
    assert f"DEFAULT = '{DEFAULT_NAMESPACE}'" in text
