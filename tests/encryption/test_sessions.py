"""Encrypted sessions.

What is stored, what a wrong key does, what is bound, and what the wrapper hands on.
"""

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from redis_invariants import dump
from samples.encrypted import FULL, NEW, OLD, RING, SNAPSHOT, STRANGE, stored

from greentic_session import (
    ClaimedError,
    ConflictError,
    CorruptSessionError,
    DecryptionError,
    GreenticError,
    InMemorySessionStore,
    InvalidInputError,
    NotFoundError,
    RedisSessionStore,
    SessionStore,
    UnavailableError,
)
from greentic_session.backend import SessionBackend
from greentic_session.backends.encrypted import EncryptedBackend
from greentic_session.conversation import InMemoryConversationStore
from greentic_session.encryption import EncryptedConversationStore, EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.models import ReplyScope, SessionCursor, SessionData, TenantCtx, version_of
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

BROKEN = {
    "another key of the same id": Keyring(STRANGE),
    "a keyring without the key": Keyring(NEW),
}


# -- what is stored


@pytest.mark.asyncio
async def test_the_snapshot_is_encrypted_and_nothing_else(plain: SessionStore) -> None:
    store = EncryptedSessionStore(plain, RING)
    await store.register_wait(ALICE, "alice", CHAT, "k", FULL)
    sealed = await stored(plain)
    assert sealed.context_json.startswith("gse1:old:")
    assert replace(sealed, context_json=SNAPSHOT) == FULL == await store.get_session("k")
    found = await store.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert found.data == FULL
    assert found.version == version_of(sealed.to_json())
    assert "hush-hush" not in f"{found!r} {sealed.to_json()!r}"


@pytest.mark.asyncio
async def test_no_key_of_redis_holds_it(redis_url: str, namespace: str, raw: redis.Redis) -> None:
    async with EncryptedSessionStore(RedisSessionStore.from_url(redis_url, namespace=namespace), RING) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", FULL)
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.park(ReplyScope("c"), FULL)
        await store.update_session("k", FULL)
        everything = dump(raw, namespace)
    assert len(everything) > 3
    assert "order.flow" in str(everything)
    assert "hush-hush" not in str(everything)


@given(st.text(max_size=300))
def test_any_text_survives(snapshot: str) -> None:
    async def there_and_back() -> SessionData | None:
        async with EncryptedSessionStore(InMemorySessionStore(), RING) as store:
            key = await store.create_session(ALICE, data(snapshot=snapshot))
            return await store.get_session(key)

    found = anyio.run(there_and_back)
    assert found is not None
    assert found.context_json == snapshot


@pytest.mark.asyncio
async def test_256_kib(plain: SessionStore) -> None:
    store = EncryptedSessionStore(plain, RING)
    large = data(snapshot='"ä\\"' * 2**16)
    key = await store.create_session(ALICE, large)
    assert await store.get_session(key) == large


@pytest.mark.asyncio
async def test_what_cannot_be_written_is_refused(plain: SessionStore) -> None:
    store = EncryptedSessionStore(plain, RING)
    for refused in (data(snapshot="\ud800"), replace(data(), cursor=SessionCursor("\ud800"))):
        with pytest.raises(InvalidInputError, match="surrogate"):
            await store.create_session(ALICE, refused, key="k")
    assert await plain.get_session("k") is None


@pytest.mark.asyncio
async def test_what_was_stored_long_ago_still_decrypts() -> None:
    """Associated data of an encrypted snapshot and its encoding never change for this prefix."""
    ring = Keyring(EncryptionKey("k1", bytes(range(224, 256))))
    sealed = "gse1:k1:h57kS7O76NSkzMzJzvnSv/xnMnbQAuBd/4gWhJNmr5oEqBrSN94EwLtEEaV3lWV+IzJLtw=="
    async with InMemorySessionStore() as plain:
        await plain.create_session(ALICE, replace(FULL, context_json=sealed), key="kä")
        assert await EncryptedSessionStore(plain, ring).get_session("kä") == FULL


# -- wrong keys


@pytest.mark.asyncio
@pytest.mark.parametrize("ring", BROKEN.values(), ids=BROKEN.keys())
async def test_a_wrong_key_is_an_error_and_never_none(plain: SessionStore, ring: Keyring) -> None:
    await EncryptedSessionStore(plain, RING).register_wait(ALICE, "alice", CHAT, "hidden-key", FULL)
    before = await plain.get_versioned("hidden-key")
    store = EncryptedSessionStore(plain, ring)
    fallen_back = replace(CHAT, correlation="c")
    reads: list[Callable[[], Any]] = [
        lambda: store.get_session("hidden-key"),
        lambda: store.get_session("hidden-key", ctx=ALICE),
        lambda: store.get_versioned("hidden-key"),
        lambda: store.find_wait(ALICE, "alice", CHAT),
        lambda: store.find_wait(ALICE, "alice", fallen_back, fallback=True),
        lambda: by_user(store, ALICE, "alice"),
        lambda: store.claim_wait(ALICE, "alice", CHAT),
        lambda: store.claim_wait(ALICE, "alice", fallen_back, fallback=True),
        lambda: anext(store.iter_sessions(ALICE)),
    ]
    for read in reads:
        with pytest.raises(DecryptionError) as caught:
            await read()
        assert caught.value.session_key == "hidden-key"
        for secret in ("hush", "hidden-key", "gse1", "alice", "acme", *(key.to_text()[4:] for key in (OLD, NEW, STRANGE))):
            assert secret not in f"{caught.value} {caught.value.args} {caught.value.__cause__!r}"
    assert await plain.get_versioned("hidden-key") == before


@pytest.mark.asyncio
async def test_who_may_not_see_a_session_learns_nothing_from_its_key(plain: SessionStore) -> None:
    await EncryptedSessionStore(plain, RING).register_wait(ALICE, "alice", CHAT, "k", FULL)
    store = EncryptedSessionStore(plain, Keyring(NEW))
    mallory = ctx("mallory", tenant="globex")
    assert await store.get_session("k", ctx=mallory) is None
    assert await store.get_versioned("k", ctx=mallory) is None
    assert await store.find_wait(mallory, "mallory", CHAT) is None
    assert [wait async for wait in store.iter_sessions(mallory)] == []
    with pytest.raises(NotFoundError):
        await store.update_session("k", data(mallory), ctx=mallory)


@pytest.mark.asyncio
async def test_what_reads_no_snapshot_goes_on_working(plain: SessionStore) -> None:
    encrypted = EncryptedSessionStore(plain, RING)
    store = EncryptedSessionStore(plain, Keyring(STRANGE))
    for key in ("a", "b", "c", "d"):
        await encrypted.register_wait(ALICE, "alice", ReplyScope(key), key, FULL)
    assert await store.list_waits_for_user(ALICE, "alice") == ["a", "b", "c", "d"]
    assert await store.find_wait_by_scope(ALICE, "alice", ReplyScope("a")) == "a"
    assert await store.touch("a", 60) is True
    assert await store.update_session("a", data())
    assert await store.get_session("a") == data()
    await store.remove_session("a", ctx=ALICE)
    await store.clear_wait(ALICE, "alice", ReplyScope("b"))
    assert await store.register_wait(ALICE, "alice", ReplyScope("c"), "e", data()) == "c"
    await store.health()
    assert await store.purge(ALICE) == 3
    assert await store.list_waits_for_user(ALICE, "alice") == []


@pytest.mark.asyncio
async def test_a_wait_that_does_not_decrypt_is_not_held(plain: SessionStore) -> None:
    encrypted = EncryptedSessionStore(plain, RING)
    await encrypted.register_wait(ALICE, "alice", CHAT, "k", FULL)
    with pytest.raises(DecryptionError):
        await EncryptedSessionStore(plain, Keyring(NEW)).claim_wait(ALICE, "alice", CHAT)
    claim = await encrypted.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    assert claim.data == FULL
    with pytest.raises(ClaimedError):  # the claim of another is left alone
        await EncryptedSessionStore(plain, Keyring(NEW)).claim_wait(ALICE, "alice", CHAT)
    await claim.complete()


@pytest.mark.asyncio
async def test_a_walk_goes_on_after_what_does_not_decrypt(plain: SessionStore) -> None:
    await EncryptedSessionStore(plain, RING).create_session(ALICE, data(), key="a")
    await EncryptedSessionStore(plain, Keyring(NEW)).create_session(ALICE, data(), key="b")
    await EncryptedSessionStore(plain, RING).create_session(ALICE, data(), key="c")
    walk = EncryptedSessionStore(plain, RING).iter_sessions(ALICE)
    seen: set[str] = set()
    failed: set[str | None] = set()
    while True:
        try:
            seen.add((await anext(walk)).key)
        except DecryptionError as error:
            failed.add(error.session_key)
        except StopAsyncIteration:
            break
    assert (seen, failed) == ({"a", "c"}, {"b"})


# -- what is bound

ELSEWHERE: dict[str, Callable[[SessionData], SessionData]] = {
    "another env": lambda found: replace(found, tenant_ctx=ctx(env="prod")),
    "another tenant": lambda found: replace(found, tenant_ctx=ctx(tenant="globex")),
    "another team": lambda found: replace(found, tenant_ctx=ctx(team="sales")),
    "no team": lambda found: replace(found, tenant_ctx=ctx(team=None)),
    "another user": lambda found: replace(found, tenant_ctx=ctx("bob")),
    "no user": lambda found: replace(found, tenant_ctx=ctx(None)),
    "another flow": lambda found: replace(found, flow_id="refund.flow"),
    "another pack": lambda found: replace(found, pack_id="other"),
    "no pack": lambda found: replace(found, pack_id=None),
    "another node": lambda found: replace(found, cursor=SessionCursor("node.paid", "to be sure", "m1")),
    "another reason": lambda found: replace(found, cursor=SessionCursor("node.ask", None, "m1")),
    "another marker": lambda found: replace(found, cursor=SessionCursor("node.ask", "to be sure", "m2")),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("move", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_beside_anything_else_a_snapshot_does_not_decrypt(move: Callable[[SessionData], SessionData]) -> None:
    async with InMemorySessionStore() as plain:
        store = EncryptedSessionStore(plain, RING)
        await store.create_session(ALICE, FULL, key="k")
        moved = move(await stored(plain))
        await plain.remove_session("k")
        await plain.create_session(moved.tenant_ctx, moved, key="k")
        with pytest.raises(DecryptionError, match="moved"):
            await store.get_session("k")


GLOBEX = ctx(tenant="globex")
ASKERS: dict[str, tuple[Any, bool]] = {
    "anybody": (None, True),
    "its owner": (("dev", "globex", "ops", "alice"), True),
    "its owner's context": (GLOBEX, True),
    "a runner of its team": (ctx(None, tenant="globex"), True),
    "another tenant": (("dev", "acme", "ops", "alice"), False),
    "another tenant's context": (ALICE, False),
    "another tenant's runner": (ctx(None), False),
    "another team": (ctx(team="dev", tenant="globex"), False),
    "another user": (("dev", "globex", "ops", "bob"), False),
    "another user's context": (ctx("bob", tenant="globex"), False),
}


@pytest.mark.parametrize(("asker", "opens"), ASKERS.values(), ids=ASKERS.keys())
def test_a_snapshot_decrypts_only_for_whoever_asks_for_their_own(asker: Any, *, opens: bool) -> None:
    """Whatever the store below has returned, and whatever the stored text says of itself."""
    backend = EncryptedSessionStore(InMemorySessionStore(), RING)._encrypted
    sealed = backend._seal("k", data(GLOBEX, snapshot=SNAPSHOT))
    if opens:
        assert backend.opened("k", sealed, asker).context_json == SNAPSHOT
    else:
        with pytest.raises(DecryptionError):
            backend.opened("k", sealed, asker)


@pytest.mark.asyncio
@pytest.mark.parametrize("other", ["l", "K", "k ", "kk", "ä"])
async def test_under_another_session_key_it_does_not_decrypt(other: str) -> None:
    async with InMemorySessionStore() as plain:
        store = EncryptedSessionStore(plain, RING)
        await store.create_session(ALICE, FULL, key="k")
        await plain.create_session(ALICE, await stored(plain), key=other)
        with pytest.raises(DecryptionError, match="moved"):
            await store.get_session(other)
        assert await store.get_session("k") == FULL


@pytest.mark.asyncio
async def test_what_is_not_bound_may_differ() -> None:
    """Another runtime may write the same owner in its own way, and trace as it likes."""
    async with InMemorySessionStore() as plain:
        store = EncryptedSessionStore(plain, RING)
        await store.create_session(ALICE, FULL, key="k")
        owner = TenantCtx(env="dev", tenant="legacy", tenant_id="acme", team="ops", user="alice", trace_id="t", attempt=3)
        changed = replace(await stored(plain), tenant_ctx=owner.with_attributes({"a": "b"}))
        await plain.update_session("k", changed)
        assert await store.get_session("k") == replace(changed, context_json=SNAPSHOT)


@given(st.integers(0), st.binary(max_size=2), st.integers(0, 2))
def test_no_change_of_the_stored_text_changes_what_is_read(place: int, put_in: bytes, taken_out: int) -> None:
    """A read returns the snapshot written for the same owner and step of the flow, or none."""

    async def read() -> None:
        async with InMemorySessionStore() as plain:
            store = EncryptedSessionStore(plain, RING)
            await store.create_session(ALICE, FULL, key="k")
            text = (await stored(plain)).to_json()
            at = place % len(text)
            try:
                damaged = SessionData.from_json(text[:at] + put_in + text[at + taken_out :])
                await plain.remove_session("k")
                await plain.create_session(damaged.tenant_ctx, damaged, key="k")
                found = await store.get_session("k")
            except (InvalidInputError, DecryptionError):
                return
            assert found is not None
            owner = found.tenant_ctx
            assert (owner.env, owner.tenant_id, owner.effective_team, owner.effective_user) == (
                "dev",
                "acme",
                "ops",
                "alice",
            )
            assert replace(found, tenant_ctx=ALICE) == FULL

    anyio.run(read)


# -- the wrapper


@pytest.mark.asyncio
async def test_it_has_the_options_of_the_store_that_it_wraps() -> None:
    now = [1000.0]
    exact = len(data(snapshot="x" * 1000).to_json())
    inner = InMemorySessionStore(timer=lambda: now[0], default_wait_ttl=60, default_session_ttl=30, max_snapshot_bytes=exact)
    async with EncryptedSessionStore(inner, RING) as store:
        key = await store.create_session(ALICE, data(snapshot="x" * 1000))  # longer than the limit, encrypted
        with pytest.raises(InvalidInputError, match="limit"):
            await store.create_session(ALICE, data(snapshot="x" * 1001))
        await store.register_wait(ALICE, "alice", CHAT, "w", data())
        now[0] += 31
        assert await store.get_session(key) is None
        assert await store.get_session("w") == data()
        now[0] += 30
        assert await store.get_session("w") is None


@pytest.mark.asyncio
async def test_closing_one_closes_both() -> None:
    for close_inner in (False, True):
        inner = InMemorySessionStore()
        store = EncryptedSessionStore(inner, RING)
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        async with await store.claim_wait(ALICE, "alice", CHAT) or pytest.fail("nothing waits"):
            await (inner if close_inner else store).aclose()
        for closed in (store, inner):
            with pytest.raises(UnavailableError, match="closed"):
                await closed.get_session("k")
            with pytest.raises(UnavailableError, match="closed"):
                await closed.health()
        with pytest.raises(UnavailableError, match="closed"):
            await store.reencrypt(ALICE)


@pytest.mark.parametrize(
    ("encrypted", "inner", "kind"),
    [
        (EncryptedSessionStore, InMemorySessionStore, "SessionStore"),
        (EncryptedConversationStore, InMemoryConversationStore, "ConversationStore"),
    ],
)
def test_what_is_no_store_is_refused(encrypted: Callable[..., object], inner: Callable[[], object], kind: str) -> None:
    with pytest.raises(TypeError, match=f"must be a {kind}"):
        encrypted(RING, inner())
    with pytest.raises(TypeError, match="must be a Keyring"):
        encrypted(inner(), OLD)


@pytest.mark.asyncio
async def test_nothing_is_logged(plain: SessionStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="greentic_session")
    await EncryptedSessionStore(plain, RING).create_session(ALICE, FULL, key="k")
    with pytest.raises(DecryptionError):
        await EncryptedSessionStore(plain, Keyring(NEW)).get_session("k")
    assert [record for record in caplog.records if record.name.startswith("greentic_session")] == []


@pytest.mark.asyncio
async def test_a_version_is_that_of_what_is_stored(plain: SessionStore) -> None:
    old, store = EncryptedSessionStore(plain, Keyring(OLD)), EncryptedSessionStore(plain, Keyring(NEW, OLD))
    key = await old.create_session(ALICE, FULL)
    found = await old.get_versioned(key)
    assert found is not None
    assert await store.reencrypt(ALICE) == 1
    with pytest.raises(ConflictError):
        await old.update_session(key, data(), if_version=found.version)
    version = await store.update_session(key, FULL)
    assert version != await store.update_session(key, FULL)


@pytest.mark.asyncio
async def test_a_corrupt_session_stays_one(redis_url: str, namespace: str, raw: redis.Redis) -> None:
    plain = RedisSessionStore.from_url(redis_url, namespace=namespace)
    async with EncryptedSessionStore(plain, Keyring(NEW, OLD)) as store:
        await EncryptedSessionStore(plain, Keyring(OLD)).register_wait(ALICE, "alice", CHAT, "k", FULL)
        found = await plain.get_versioned("k")
        assert found is not None
        raw.set(f"{namespace}:session:k", "{}")
        calls: list[Callable[[], Any]] = [
            lambda: store.get_session("k"),
            lambda: store.find_wait(ALICE, "alice", CHAT),
            lambda: store.claim_wait(ALICE, "alice", CHAT),
            lambda: store._encrypted.reseal(found, ALICE),
        ]
        for call in calls:
            with pytest.raises(CorruptSessionError):
                await call()
        assert [wait async for wait in store.iter_sessions(ALICE)] == []


@pytest.mark.asyncio
async def test_an_error_while_a_wait_is_given_back_is_told() -> None:
    inner = InMemorySessionStore()
    await EncryptedSessionStore(inner, RING).register_wait(ALICE, "alice", CHAT, "k", FULL)

    async def away(_key: str, _token: str) -> bool:
        raise UnavailableError("away")

    inner._backend.release = away  # type: ignore[assignment,method-assign]  # of this one
    with pytest.raises(GreenticError) as caught:
        await EncryptedSessionStore(inner, Keyring(NEW)).claim_wait(ALICE, "alice", CHAT)
    assert isinstance(caught.value, UnavailableError)
    assert isinstance(caught.value.__context__, DecryptionError)
    await inner.aclose()


def test_every_method_of_a_backend_is_handed_on() -> None:
    own = {name for parent in EncryptedBackend.__mro__[:2] for name in vars(parent)}
    assert SessionBackend.__abstractmethods__ <= own
