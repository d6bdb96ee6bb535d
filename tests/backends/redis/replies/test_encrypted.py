"""Replies of an encrypted store on Redis: no key holds a body in plain, and keys can be changed."""

from typing import Any

import pytest
import redis
from redis_invariants import dump

from greentic_session import RedisSessionStore, Start
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.models import ReplyScope
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

OLD, NEW = (EncryptionKey.generate(name) for name in ("k1", "k2"))


async def test_no_key_holds_a_body_in_plain(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    sealed = EncryptedSessionStore(store, Keyring(NEW))
    await park(sealed)
    claim = await claim_answer(sealed, "hush-hush 1", delivery_id="d")
    await answer(sealed, {"say": "hush-hush 2"})
    await answer(sealed, "hush-hush 3", scope=OTHER, keep_for=MINUTE)
    await answer(sealed, "hush-hush 4", scope=ReplyScope("new"), start=Start(data(snapshot='"hush-hush"')))
    await claim.release(MINUTE)
    entries = dump(raw, namespace)
    assert any(name.startswith("replies:") for name in entries)
    assert "hush" not in str(entries)
    assert bodies(await sealed.inbox(ALICE, "alice", CHAT)) == ["hush-hush 1", '{"say":"hush-hush 2"}']


async def test_reencrypt_covers_bodies(store: RedisSessionStore) -> None:
    before = EncryptedSessionStore(store, Keyring(OLD))
    await park(before)
    await answer(before, "one", claim=False)
    await answer(before, "two", scope=OTHER, keep_for=MINUTE)
    between = EncryptedSessionStore(store, Keyring(NEW, OLD))
    await between.reencrypt(ctx(None))
    after = EncryptedSessionStore(store, Keyring(NEW))
    claim: Any = await ready(after)
    assert bodies(claim.replies) == ["one"]
    assert bodies(await after.inbox(ALICE, "alice", OTHER)) == ["two"]
