"""Session texts planted under the key of another owner.

They name their owner in other ways than the store writes.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import redis
from cluster_servers import Cluster
from races.workers import plain_client

from greentic_session import (
    ConflictError,
    CorruptSessionError,
    NotFoundError,
    RedisSessionStore,
    ReplyScope,
    SessionData,
    SessionStore,
    TenantMismatchError,
)
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio

GLOBEX = ctx(tenant="globex")
OTHER = ReplyScope("telegram:chat-2")


def pretty(text: bytes) -> bytes:
    return json.dumps(json.loads(text), indent=2).encode()


def other_order(text: bytes) -> bytes:
    found = json.loads(text)
    found["tenant_ctx"] = dict(reversed(found["tenant_ctx"].items()))
    return json.dumps(dict(reversed(found.items()))).encode()


def with_acmes_front(text: bytes) -> bytes:
    """The context twice: the first one is acme's, the last one counts."""
    front = data().to_json()
    return front[: front.index(b',"flow_id"')] + b"," + text[1:]


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "a space in front": lambda text: b" " + text,
    "pretty-printed": pretty,
    "an escape": lambda text: text.replace(b"globex", b"\\u0067lobex"),
    "an escape in a name": lambda text: text.replace(b'"tenant_id"', b'"tenant\\u005fid"'),
    "a key twice": lambda text: text.replace(b'"env":"dev"', b'"env":"prod","env":"dev"'),
    "another order": other_order,
    "nested deeper than Lua reads": lambda text: b" " + text[:-1] + b',"more":' + b"[" * 1100 + b"]" * 1100 + b"}",
    "longer than Lua reads": lambda text: b" " + text[:-1] + b',"more":"' + b"x" * 100_000 + b'"}',
}
BEHIND: dict[str, Callable[[bytes], bytes]] = {
    "a context behind acme's": with_acmes_front,
    "a context behind acme's, by an escaped name": lambda text: (
        data().to_json()[:-1] + b',"tenant\\u005fctx":' + text[len(b'{"tenant_ctx":') : text.index(b',"flow_id"')] + b"}"
    ),
    "a tenant behind acme's": lambda _: data().to_json().replace(b'"attempt"', b'"tenant_id":"globex","attempt"'),
}
HOSTILE = {**UNREADABLE, **BEHIND}


class Place(NamedTuple):
    """A store, and a plain client of what it writes to."""

    store: RedisSessionStore
    raw: Any
    front: str

    def plant(self, text: bytes) -> None:
        self.raw.set(f"{self.front}:session:k1", text, keepttl=True)

    def text(self) -> bytes | None:
        found = self.raw.get(f"{self.front}:session:k1")
        assert found is None or isinstance(found, bytes)
        return found


@pytest.fixture(params=["single", "cluster"])
def where(request: pytest.FixtureRequest, namespace: str) -> Iterator[tuple[str, Any, str]]:
    if request.param == "single":
        yield request.getfixturevalue("redis_url"), request.getfixturevalue("raw"), namespace
        return
    cluster: Cluster = request.getfixturevalue("bare_cluster")
    with plain_client(cluster.url) as raw:
        yield cluster.url, raw, f"{namespace}:{{dev:acme:ops:alice}}"


@pytest_asyncio.fixture
async def place(where: tuple[str, Any, str], namespace: str) -> AsyncIterator[Place]:
    url, raw, front = where
    async with RedisSessionStore.from_url(url, namespace=namespace, timeout=30) as store:
        yield Place(store, raw, front)
        await store.purge(ALICE)
        await store.purge(GLOBEX)


async def plant(place: Place, how: Callable[[bytes], bytes]) -> bytes:
    """Leave a text of globex's where alice of acme waits."""
    await place.store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    text = how(data(GLOBEX).to_json())
    assert SessionData.from_json(text).tenant_ctx.tenant_id == "globex"
    place.plant(text)
    return text


hostile = pytest.mark.parametrize("how", HOSTILE.values(), ids=HOSTILE.keys())
unreadable = pytest.mark.parametrize("how", UNREADABLE.values(), ids=UNREADABLE.keys())


@hostile
async def test_what_is_read_is_the_callers_by_the_text(place: Place, how: Callable[[bytes], bytes]) -> None:
    text = await plant(place, how)
    store = place.store
    assert await store.claim_wait(ALICE, "alice", CHAT) is None
    assert not place.raw.exists(f"{place.front}:claim:k1")  # given back
    assert await by_user(store, ALICE, "alice") is None
    assert await store.find_wait(ALICE, "alice", CHAT) is None
    assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None
    assert await store.get_session("k1", ctx=ALICE) is None
    assert await store.get_versioned("k1", ctx=ALICE) is None
    assert [wait async for wait in store.iter_sessions(ALICE)] == []
    assert place.text() == text


@hostile
async def test_what_is_planted_as_the_latest_session_is_not_read(place: Place, how: Callable[[bytes], bytes]) -> None:
    await place.store.create_session(ALICE, data(), key="k1")
    place.plant(how(data(GLOBEX).to_json()))
    assert await by_user(place.store, ALICE, "alice") is None


@hostile
async def test_what_is_written_by_key_is_the_callers_by_the_text(place: Place, how: Callable[[bytes], bytes]) -> None:
    text = await plant(place, how)
    store = place.store
    assert await store.touch("k1", 5, ctx=ALICE) is False
    with pytest.raises(NotFoundError):
        await store.remove_session("k1", ctx=ALICE)
    await store.clear_wait(ALICE, "alice", CHAT)
    with pytest.raises((TenantMismatchError, CorruptSessionError)):
        await store.register_wait(ALICE, "alice", OTHER, "k1", data())
    assert place.text() == text
    assert 50_000 < place.raw.pttl(f"{place.front}:session:k1") <= 60_000


@unreadable
async def test_an_update_is_the_callers_by_the_text(place: Place, how: Callable[[bytes], bytes]) -> None:
    text = await plant(place, how)
    with pytest.raises(NotFoundError):
        await place.store.update_session("k1", data(), ctx=ALICE)
    with pytest.raises(TenantMismatchError):
        await place.store.update_session("k1", data())
    assert place.text() == text


@pytest.mark.parametrize("how", [how for name, how in UNREADABLE.items() if "Lua" not in name])
async def test_completing_a_claim_removes_nothing_of_somebody_elses(place: Place, how: Callable[[bytes], bytes]) -> None:
    await place.store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    claim = await place.store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    text = how(data(GLOBEX).to_json())
    place.plant(text)
    with pytest.raises(ConflictError):
        await claim.complete()
    assert place.text() == text


@unreadable
async def test_without_our_record_it_is_nobodys_or_whom_it_names(place: Place, how: Callable[[bytes], bytes]) -> None:
    text = await plant(place, how)
    place.raw.delete(f"{place.front}:own:k1")
    assert await place.store.claim_wait(ALICE, "alice", CHAT) is None
    assert await place.store.find_wait(ALICE, "alice", CHAT) is None
    assert await place.store.touch("k1", 5, ctx=ALICE) is False
    assert place.text() == text


@unreadable
async def test_a_text_of_the_callers_own_is_read_by_key(place: Place, how: Callable[[bytes], bytes]) -> None:
    """Somebody has edited it by hand."""
    await place.store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    place.plant(how(data().to_json()))
    assert await place.store.get_session("k1", ctx=ALICE) == data()
    await place.store.update_session("k1", data(node="next"), ctx=ALICE)
    assert await place.store.get_session("k1", ctx=ALICE) == data(node="next")


async def test_a_displaced_text_is_not_believed_for_that(place: Place, raw: redis.Redis) -> None:
    """Our record has its SHA-1 then, and yet we did not write it."""
    await place.store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    place.plant(b"[]")
    assert await place.store.register_wait(ALICE, "alice", CHAT, "k2", data(), 60) == "k1"
    assert await place.store.touch("k1", 30, ctx=ALICE) is True  # no session for certain: our record's
    place.plant(b" " + data(GLOBEX).to_json())
    assert await place.store.touch("k1", 30, ctx=ALICE) is False


RING = Keyring(EncryptionKey.generate("one"))
READS: dict[str, Callable[[SessionStore], Any]] = {
    "find_wait": lambda store: store.find_wait(ALICE, "alice", CHAT),
    "claim_wait": lambda store: store.claim_wait(ALICE, "alice", CHAT),
    "find_by_user": lambda store: by_user(store, ALICE, "alice"),
    "get_session": lambda store: store.get_session("k1", ctx=ALICE),
    "get_versioned": lambda store: store.get_versioned("k1", ctx=ALICE),
}


@hostile
@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
async def test_an_encrypted_store_opens_nothing_of_somebody_elses(
    place: Place, how: Callable[[bytes], bytes], read: Callable[[SessionStore], Any]
) -> None:
    store = EncryptedSessionStore(place.store, RING)
    sealed = store._encrypted._seal("k1", data(GLOBEX, snapshot='"globex"'))
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    place.plant(how(sealed.to_json()))
    assert await read(store) is None
