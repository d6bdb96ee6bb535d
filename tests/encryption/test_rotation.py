"""Encryption of sessions that are stored already: moving over to it, and rotation of keys."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from samples.encrypted import FULL, NEW, OLD, RING, stored

from greentic_session import (
    ClaimedError,
    CorruptSessionError,
    DecryptionError,
    InMemorySessionStore,
    SessionCursor,
    SessionData,
    SessionStore,
)
from greentic_session.backend import Update
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data


def key_id(stored: SessionData) -> str:
    return stored.context_json.split(":")[1]


# -- moving over, and rotation


@pytest.mark.asyncio
async def test_moving_over(plain: SessionStore) -> None:
    await plain.register_wait(ALICE, "alice", CHAT, "k", FULL)
    with pytest.raises(DecryptionError, match="not encrypted"):
        await EncryptedSessionStore(plain, RING).get_session("k")
    moving = EncryptedSessionStore(plain, RING, allow_plain=True)
    found = await moving.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert found.data == FULL
    assert await moving.reencrypt(ALICE) == 1
    assert await EncryptedSessionStore(plain, RING).get_session("k") == FULL
    assert await moving.reencrypt(ALICE) == 0


@pytest.mark.asyncio
async def test_rotation(plain: SessionStore) -> None:
    await EncryptedSessionStore(plain, Keyring(OLD)).register_wait(ALICE, "alice", CHAT, "w", FULL, ttl=60)
    await EncryptedSessionStore(plain, Keyring(OLD)).create_session(ctx("bob"), data(ctx("bob")), key="bobs")
    await EncryptedSessionStore(plain, Keyring(OLD)).create_session(
        ctx(tenant="globex"), data(ctx(tenant="globex")), key="g"
    )
    store = EncryptedSessionStore(plain, Keyring(NEW, OLD))
    await store.create_session(ALICE, data(), key="fresh")
    fresh = await plain.get_versioned("fresh")
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None

    assert await store.reencrypt(ctx(None, team=None)) == 2
    assert {key: key_id(await stored(plain, key)) for key in ("w", "bobs", "g", "fresh")} == {
        "w": "new",
        "bobs": "new",
        "g": "old",
        "fresh": "new",
    }
    assert await plain.get_versioned("fresh") == fresh
    newest = EncryptedSessionStore(plain, Keyring(NEW))
    found = await newest.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert found.data == FULL
    with pytest.raises(ClaimedError):
        await newest.claim_wait(ALICE, "alice", CHAT)
    await claim.complete()
    assert await newest.get_session("w") is None


@pytest.mark.asyncio
async def test_rotation_keeps_lifetimes() -> None:
    now = [1000.0]
    inner = InMemorySessionStore(timer=lambda: now[0])
    await EncryptedSessionStore(inner, Keyring(OLD)).register_wait(ALICE, "alice", CHAT, "w", FULL, ttl=60)
    now[0] += 30
    store = EncryptedSessionStore(inner, Keyring(NEW, OLD))
    assert await store.reencrypt(ALICE) == 1
    now[0] += 29
    assert await store.get_session("w") == FULL
    now[0] += 2
    assert await store.get_session("w") is None
    await store.aclose()


@pytest.mark.asyncio
async def test_rotation_sees_to_the_others_where_one_does_not_decrypt(plain: SessionStore) -> None:
    lost = EncryptionKey.generate("lost")
    for key in ("a", "b", "c"):
        ring = Keyring(lost if key == "b" else OLD)
        await EncryptedSessionStore(plain, ring).create_session(ALICE, data(), key=key)
    with pytest.raises(DecryptionError) as caught:
        await EncryptedSessionStore(plain, Keyring(NEW, OLD)).reencrypt(ALICE)
    assert caught.value.session_key == "b"
    assert [key_id(await stored(plain, key)) for key in ("a", "b", "c")] == ["new", "lost", "new"]


class Meddling(InMemorySessionStore):
    """A store in which something happens to a session just before it is updated."""

    def __init__(self) -> None:
        super().__init__()
        self.meddle: Callable[[], Any] | None = None
        update = self._backend.update

        async def meddle_first(change: Update) -> str:
            meddle, self.meddle = self.meddle, None
            if meddle is not None:
                await meddle()
            return await update(change)

        self._backend.update = meddle_first  # type: ignore[assignment,method-assign]  # of this one


@pytest.mark.asyncio
async def test_rotation_overwrites_nothing_that_was_written_meanwhile() -> None:
    inner = Meddling()
    old, store = EncryptedSessionStore(inner, Keyring(OLD)), EncryptedSessionStore(inner, Keyring(NEW, OLD))
    later = replace(FULL, cursor=SessionCursor("later"))
    await old.create_session(ALICE, FULL, key="k")

    inner.meddle = lambda: old.register_wait(ALICE, "alice", CHAT, "k", later)
    assert await store.reencrypt(ALICE) == 1
    assert await store.get_session("k") == later
    assert key_id(await stored(inner)) == "new"

    await old.create_session(ALICE, FULL, key="l")
    inner.meddle = lambda: store.register_wait(ALICE, "alice", CHAT, "l", later)
    assert await store.reencrypt(ALICE) == 0
    assert await store.get_session("l") == later

    await old.create_session(ALICE, FULL, key="m")
    inner.meddle = lambda: store.remove_session("m")
    assert await store.reencrypt(ALICE) == 0
    assert await store.get_session("m") is None

    async def hand_over() -> None:
        await store.remove_session("n")
        await store.create_session(ctx("bob"), data(ctx("bob")), key="n")

    await old.create_session(ALICE, FULL, key="n")
    inner.meddle = hand_over
    assert await store.reencrypt(ALICE) == 0
    assert await store.get_session("n") == data(ctx("bob"))
    await store.aclose()


@pytest.mark.asyncio
async def test_rotation_tells_of_what_became_corrupt_meanwhile() -> None:
    inner = Meddling()
    store = EncryptedSessionStore(inner, Keyring(NEW, OLD))
    await EncryptedSessionStore(inner, Keyring(OLD)).create_session(ALICE, FULL, key="k")

    async def spoil() -> None:
        raise CorruptSessionError("the stored text is not a session", session_key="k")

    inner.meddle = spoil
    with pytest.raises(CorruptSessionError):
        await store.reencrypt(ALICE)
    await store.aclose()
