"""Encrypted replies: no body is stored in plain, and none opens anywhere else."""

import gc
from typing import Any

import pytest
from msgspec.structs import replace
from short_ways.inboxes import all_inboxes

from greentic_session import (
    CorruptReplyError,
    DecryptionError,
    InMemorySessionStore,
    ReplyScope,
    SessionStore,
    Start,
)
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

OLD, NEW, STRANGE = (EncryptionKey.generate(name) for name in ("k1", "k2", "k3"))
RING = Keyring(NEW, OLD)


def everything_in(store: InMemorySessionStore) -> str:
    """Return all that a store in memory holds, as text."""
    memory = store._memory
    entries = [entry for shard in memory.shards for entry in shard.values()]
    texts = [reply.reply.text for inbox in all_inboxes(memory) for reply in inbox.all()]
    return str([*texts, *[entry.wait.data.context_json for entry in entries]])


async def test_no_body_is_stored_in_plain() -> None:
    plain = InMemorySessionStore()
    store = EncryptedSessionStore(plain, RING)
    await park(store)
    claim = await claim_answer(store, "hush-hush 1", delivery_id="d", sender="bob")
    await answer(store, {"say": "hush-hush 2"})
    await answer(store, "hush-hush 3", scope=OTHER, keep_for=MINUTE)
    await answer(store, "hush-hush 4", scope=ReplyScope("new"), start=Start(data(snapshot='"hush-hush"')))
    gc.collect()
    assert "hush-hush" not in everything_in(plain)
    assert bodies(claim.replies) == ["hush-hush 1"]
    assert bodies(await claim.take()) == ['{"say":"hush-hush 2"}']
    assert bodies(await store.inbox(ALICE, "alice", OTHER)) == ["hush-hush 3"]
    await claim.stay(data(snapshot='"hush-hush"'))
    assert "hush-hush" not in everything_in(plain)
    for shown in (repr(claim), repr(claim.replies), repr(await store.inbox(ALICE, "alice", OTHER))):
        assert "hush-hush" not in shown


async def test_leftovers_are_opened() -> None:
    store = EncryptedSessionStore(InMemorySessionStore(), RING)
    await park(store)
    claim = await claim_answer(store, "1")
    await answer(store, "2")
    await claim.complete()
    assert bodies(claim.leftovers) == ["2"]


@pytest.mark.parametrize("field", ["id", "delivery_id", "sender", "scope", "text"])
async def test_a_body_opens_only_where_it_belongs(field: str) -> None:
    plain = InMemorySessionStore()
    store = EncryptedSessionStore(plain, RING)
    await park(store)
    await answer(store, "hush", claim=False, delivery_id="d", sender="bob")
    [inbox] = all_inboxes(plain._memory)
    [(reply_id, received)] = inbox.replies.items()
    moved: dict[str, Any] = {"id": "other", "delivery_id": "e", "sender": None, "scope": OTHER, "text": "gse1:k2:AAAA"}
    inbox.replies[reply_id] = replace(received, reply=replace(received.reply, **{field: moved[field]}))
    claim = await ready(store)
    assert claim.reply is not None
    with pytest.raises(CorruptReplyError) as caught:
        _ = claim.reply.body
    with pytest.raises(CorruptReplyError):
        claim.reply.value()
    assert isinstance(caught.value.__cause__, DecryptionError)
    assert "hush" not in str(caught.value)


async def test_a_body_opens_for_its_owner_only() -> None:
    plain = InMemorySessionStore()
    store = EncryptedSessionStore(plain, RING)
    bob = ctx("bob")
    await answer(store, "hush", keep_for=MINUTE)
    memory = plain._memory
    [inbox] = all_inboxes(memory)
    await store.deliver(bob, "bob", CHAT, "x", keep_for=MINUTE)
    [_, other] = all_inboxes(memory)
    other.replies = dict(inbox.replies)
    [moved] = await store.inbox(bob, "bob", CHAT)
    with pytest.raises(CorruptReplyError):
        _ = moved.body


async def test_what_does_not_open_can_be_settled() -> None:
    plain: SessionStore = InMemorySessionStore()
    await park(EncryptedSessionStore(plain, RING))
    await answer(plain, "not encrypted", claim=False)
    store = EncryptedSessionStore(plain, RING)
    claim = await ready(store)
    assert claim.reply is not None
    with pytest.raises(CorruptReplyError):
        _ = claim.reply.body
    await claim.stay()
    assert await store.inbox(ALICE, "alice", CHAT) == []
    lenient = EncryptedSessionStore(plain, RING, allow_plain=True)
    await answer(plain, "not encrypted", claim=False)
    assert bodies((await ready(lenient)).replies) == ["not encrypted"]


async def test_a_session_that_does_not_open_rests(caplog: pytest.LogCaptureFixture) -> None:
    plain = InMemorySessionStore()
    await park(EncryptedSessionStore(plain, Keyring(STRANGE)), "strange")
    store = EncryptedSessionStore(plain, RING)
    delivery = await answer(store, "hush")
    assert (delivery.outcome, delivery.claim) == ("queued", None)
    assert delivery.reply is not None
    assert delivery.reply.body == "hush"
    await park(store, "k", OTHER)
    await answer(store, "yes", scope=OTHER, claim=False)
    await plain.touch("strange", None)
    claim = await ready(store)  # it goes on with what can be read
    assert claim.key == "k"
    assert await store.claim_ready() == []
    assert len(caplog.records) == 2
    assert "strange" not in caplog.text
    assert "hush" not in caplog.text


async def test_reencrypt_covers_bodies() -> None:
    plain = InMemorySessionStore()
    before = EncryptedSessionStore(plain, Keyring(OLD))
    await park(before)
    await answer(before, "1", claim=False)
    await answer(before, "2", scope=OTHER, keep_for=MINUTE, delivery_id="d")
    await before.deliver(ctx("bob", tenant="globex"), "bob", CHAT, "3", keep_for=MINUTE)
    store = EncryptedSessionStore(plain, RING)
    claim = await ready(store)
    assert await store.reencrypt(ctx(None)) == 3
    assert await store.reencrypt(ctx(None)) == 0
    after = EncryptedSessionStore(plain, Keyring(NEW))
    assert bodies(await after.inbox(ALICE, "alice", CHAT)) == ["1"]
    assert bodies(await after.inbox(ALICE, "alice", OTHER)) == ["2"]
    await claim.stay()
    assert await after.inbox(ALICE, "alice", CHAT) == []
    [foreign] = await after.inbox(ctx(None, tenant="globex"), "bob", CHAT)
    with pytest.raises(CorruptReplyError):
        _ = foreign.body


async def test_reencrypt_tells_of_what_does_not_open() -> None:
    plain = InMemorySessionStore()
    await answer(EncryptedSessionStore(plain, Keyring(STRANGE)), "1", keep_for=MINUTE)
    await answer(EncryptedSessionStore(plain, Keyring(OLD)), "2", scope=OTHER, keep_for=MINUTE)
    store = EncryptedSessionStore(plain, RING)
    with pytest.raises(DecryptionError):
        await store.reencrypt(ctx(None))
    assert bodies(await EncryptedSessionStore(plain, Keyring(NEW)).inbox(ALICE, "alice", OTHER)) == ["2"]
