"""Replacing the text of a session, and storing another one in the same step."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis
from redis_invariants import check

from greentic_session import NEVER, InMemorySessionStore, NotFoundError, RedisSessionStore, ReplyScope, SessionStore
from greentic_session.backends.redis.staging import STAGED_BYTES
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.expiry import Ttl
from greentic_session.models import SessionData
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio

BOB = ctx("bob")
LARGE = "x" * (2 * STAGED_BYTES)
SECOND = ReplyScope("telegram:chat-2", correlation="q")


@pytest_asyncio.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


@pytest_asyncio.fixture
async def version(store: RedisSessionStore) -> AsyncIterator[str]:
    """The version of a session of alice's, with a wait of hers beside it."""
    await store.create_session(ALICE, data(snapshot="old"), key="head", ttl=100)
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), NEVER)
    found = await store.get_versioned("head")
    assert found is not None
    yield found.version


async def update_with(
    store: SessionStore, version: str, other: SessionData, scope: ReplyScope | None, ttl: Ttl = 50
) -> str | None:
    return await store._update_with(
        "head", data(snapshot="new"), ("other", other, scope), ctx=ALICE, if_version=version, ttl=ttl
    )


def everything(raw: redis.Redis, namespace: str) -> dict[bytes, bytes | None]:
    return {key: raw.dump(key) for key in raw.scan_iter(f"{namespace}:*")}


@pytest.mark.parametrize("ttl", [50, NEVER])
@pytest.mark.parametrize("size", [1, len(LARGE)])
@pytest.mark.parametrize("scope", [SECOND, None], ids=["waits", "does not wait"])
async def test_both_are_stored(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, version: str, scope: ReplyScope | None, size: int, ttl: Ttl
) -> None:
    new = await update_with(store, version, data(snapshot=LARGE[:size]), scope, ttl)
    head, other = await store.get_versioned("head"), await store.get_session("other", ctx=ALICE)
    assert head is not None
    assert (head.data.context_json, head.version) == ("new", new)
    assert other == data(snapshot=LARGE[:size])
    assert await store.list_waits_for_user(ALICE, "alice") == ["k", "other"] if scope else ["k"]
    assert 90 < await store.remaining_ttl("head") <= 100  # type: ignore[operator]  # it has one
    left = await store.remaining_ttl("other")
    assert left is NEVER if ttl is NEVER else 40 < left <= 50  # type: ignore[operator]  # it has one
    check(raw, namespace)
    await store.remove_session("other")
    assert await store.list_waits_for_user(ALICE, "alice") == ["k"]


@pytest.mark.parametrize("scope", [SECOND, None], ids=["waits", "does not wait"])
async def test_neither_is_stored_where_anything_is_unusual(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, version: str, scope: ReplyScope | None
) -> None:
    async def nothing(version: str, scope: ReplyScope | None = scope, head: str = "old") -> None:
        for snapshot in ("x", LARGE):
            before = everything(raw, namespace)
            assert await update_with(store, version, data(snapshot=snapshot), scope) is None
            assert everything(raw, namespace) == before

    await nothing("0" * 40)  # another version
    await nothing(version, CHAT) if scope else None  # another session waits there
    await store.create_session(ALICE, data(), key="other", ttl=100)
    await nothing(version)
    await store.remove_session("other")
    await store.create_session(BOB, data(BOB), key="other", ttl=100)
    await nothing(version)
    await store.remove_session("other")
    raw.set(f"{namespace}:session:head", data(snapshot="by the reference").to_json())
    await nothing(version)
    await store.remove_session("head")
    await nothing(version)
    check(raw, namespace)


async def test_a_user_who_has_as_many_waits_as_there_may_be(
    redis_url: str, raw: redis.Redis, namespace: str, version: str
) -> None:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace, max_waits_per_user=1) as store:
        before = everything(raw, namespace)
        assert await update_with(store, version, data(), SECOND) is None
        assert everything(raw, namespace) == before
        assert await update_with(store, version, data(), None) is not None


async def test_a_text_that_is_staged_no_more_goes_again(
    store: RedisSessionStore, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greentic_session.backends.redis.staging.stage", lambda _key, _text: (b"*1\r\n$4\r\nPING\r\n",))
    assert await update_with(store, version, data(snapshot=LARGE), SECOND) is not None
    assert await store.get_session("other") == data(snapshot=LARGE)


async def test_both_are_sealed(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    sealed = EncryptedSessionStore(store, Keyring(EncryptionKey.generate("k1")))
    await sealed.create_session(ALICE, data(snapshot="old"), key="head", ttl=100)
    found = await sealed.get_versioned("head")
    assert found is not None
    assert await update_with(sealed, found.version, data(snapshot="secret"), SECOND) is not None
    for key, snapshot in (("head", "new"), ("other", "secret")):
        opened = await sealed.get_session(key, ctx=ALICE)
        assert opened is not None
        assert opened.context_json == snapshot
        assert f'"{snapshot}"'.encode() not in raw.get(f"{namespace}:session:{key}")  # type: ignore[operator]  # bytes


async def test_a_backend_that_cannot_does_nothing() -> None:
    async with InMemorySessionStore() as store:
        await store.create_session(ALICE, data(), key="head")
        found = await store.get_versioned("head")
        assert found is not None
        assert not store.backend.updates_with
        assert await update_with(store, found.version, data(), SECOND) is None
        with pytest.raises(NotFoundError):
            await store.remove_session("other")
