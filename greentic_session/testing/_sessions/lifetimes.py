"""Lifetimes: TTLs, defaults, touch, and what is left when they end."""

from datetime import timedelta

import pytest

from greentic_session.errors import NotFoundError
from greentic_session.expiry import NEVER
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .calls import by_user
from .samples import ALICE, CHAT, DAY, MINUTE, MakeStore, Time, ctx, data

__all__ = ["LifetimesContract"]


async def assert_absent(store: SessionStore, key: str = "k") -> None:
    """Check that alice's expired session is absent from every operation."""
    assert await store.get_session(key) is None
    assert await store.get_versioned(key) is None
    assert await store.find_wait(ALICE, "alice", CHAT) is None
    assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None
    assert await store.list_waits_for_user(ALICE, "alice") == []
    assert await store.claim_wait(ALICE, "alice", CHAT) is None
    assert [wait async for wait in store.iter_sessions(ALICE)] == []
    assert await store.touch(key, MINUTE) is False
    assert await store.remaining_ttl(key) is None
    assert await by_user(store, ALICE, "alice") is None
    with pytest.raises(NotFoundError):
        await store.update_session(key, data())
    with pytest.raises(NotFoundError):
        await store.remove_session(key)
    assert await store.purge(ALICE) == 0


class LifetimesContract:
    """Lifetimes: setting, keeping and changing them, and expiry."""

    async def test_an_expired_wait_is_absent_everywhere(self, store: SessionStore, time: Time) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=time.moment)
        await time.wait_out(time.moment)
        await assert_absent(store)

    async def test_an_expired_session_is_absent_everywhere(self, store: SessionStore, time: Time) -> None:
        await store.create_session(ALICE, data(), key="k", ttl=timedelta(seconds=time.moment))
        await time.wait_out(time.moment)
        await assert_absent(store)

    async def test_an_expired_key_and_scope_are_free_for_anyone(self, store: SessionStore, time: Time) -> None:
        bob = ctx("bob", tenant="globex")
        await store.register_wait(ALICE, "alice", CHAT, "a", data(), ttl=time.moment)
        await store.create_session(ALICE, data(), key="b", ttl=time.moment)
        await time.wait_out(time.moment)
        await store.register_wait(bob, "bob", CHAT, "a", data(bob))
        await store.create_session(bob, data(bob), key="b")
        assert await store.register_wait(ALICE, "alice", CHAT, "c", data(), on_conflict="fail") is None
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "c"
        assert await store.find_wait_by_scope(bob, "bob", CHAT) == "a"
        assert await by_user(store, bob, "bob") == ("a", data(bob))

    async def test_the_fallback_is_tried_once_the_exact_wait_expired(self, store: SessionStore, time: Time) -> None:
        exact = ReplyScope("telegram:chat-1", correlation="cid-7")
        await store.register_wait(ALICE, "alice", CHAT, "plain", data())
        await store.register_wait(ALICE, "alice", exact, "exact", data(), ttl=time.moment)
        await time.wait_out(time.moment)
        found = await store.find_wait(ALICE, "alice", exact, fallback=True)
        assert found is not None
        assert found.key == "plain"
        claim = await store.claim_wait(ALICE, "alice", exact, fallback=True)
        assert claim is not None
        assert claim.key == "plain"

    async def test_the_smallest_and_the_largest_ttl(self, store: SessionStore, time: Time) -> None:
        """In the Rust crate a huge TTL failed half way through, or panicked."""
        scope = ReplyScope("elsewhere")
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=1e-9)
        with pytest.warns(UserWarning, match="longer than ten years"):
            await store.register_wait(ALICE, "alice", scope, "for-ages", data(), ttl=2**52 / 1000)
        with pytest.warns(UserWarning, match="longer than ten years"):
            await store.create_session(ALICE, data(), key="for-long", ttl=timedelta(days=36500))
        await time.wait_out(0.001)
        assert await store.get_session("k") is None
        assert await store.list_waits_for_user(ALICE, "alice") == ["for-ages"]
        assert await store.get_session("for-long") == data()

    async def test_update_keeps_the_remaining_ttl(self, store: SessionStore, time: Time) -> None:
        """In the Rust crate an update dropped the TTL."""
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=time.brief)
        await store.update_session("k", data(node="b"))
        await time.wait_out(time.brief)
        await assert_absent(store)

    async def test_registering_again_sets_the_ttl_anew(self, store: SessionStore, time: Time) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "longer", data(), ttl=time.brief)
        await store.register_wait(ALICE, "alice", CHAT, "longer", data())
        await store.register_wait(ctx("bob"), "bob", CHAT, "shorter", data(ctx("bob")))
        await store.register_wait(ctx("bob"), "bob", CHAT, "shorter", data(ctx("bob")), ttl=time.brief)
        await time.wait_out(time.brief)
        assert await store.get_session("longer") == data()
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "longer"
        assert await store.get_session("shorter") is None
        assert await store.list_waits_for_user(ctx("bob"), "bob") == []

    async def test_a_displaced_session_keeps_its_remaining_ttl(self, store: SessionStore, time: Time) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=time.brief)
        assert await store.register_wait(ALICE, "alice", CHAT, "new", data()) == "k"
        await time.wait_out(time.brief)
        assert await store.get_session("k") is None
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "new"

    async def test_an_expired_session_is_not_displaced(self, store: SessionStore, time: Time) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=time.moment)
        await time.wait_out(time.moment)
        assert await store.register_wait(ALICE, "alice", CHAT, "new", data()) is None

    async def test_touch_lengthens_all_of_it(self, store: SessionStore, time: Time) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=time.brief)
        assert await store.touch("k", DAY, ctx=ALICE) is True
        await time.wait_out(time.brief)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
        assert await store.get_session("k") == data()

    async def test_touch_shortens_all_of_it(self, store: SessionStore, time: Time) -> None:
        await store.create_session(ALICE, data(), key="k")
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        assert await store.touch("k", time.moment) is True
        await time.wait_out(time.moment)
        await assert_absent(store)

    async def test_touch_keeps_the_latest_session_of_its_user(self, store: SessionStore, time: Time) -> None:
        await store.create_session(ALICE, data(), key="k", ttl=time.brief)
        await store.touch("k", None)
        await time.wait_out(time.brief)
        assert await by_user(store, ALICE, "alice") == ("k", data())

    async def test_defaults_apply_where_no_ttl_is_given(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(default_wait_ttl=time.moment, default_session_ttl=timedelta(seconds=time.moment)) as store:
            await store.register_wait(ALICE, "alice", ReplyScope("a"), "wait", data())
            await store.create_session(ALICE, data(), key="session")
            await store.register_wait(ALICE, "alice", ReplyScope("b"), "long wait", data(), ttl=DAY)
            await store.create_session(ALICE, data(), key="long session", ttl=DAY)
            await store.register_wait(ALICE, "alice", ReplyScope("c"), "wait for ever", data(), ttl=NEVER)
            await store.create_session(ALICE, data(), key="session for ever", ttl=NEVER)
            await time.wait_out(time.moment)
            assert await store.get_session("wait") is None
            assert await store.get_session("session") is None
            for key in ("long wait", "long session", "wait for ever", "session for ever"):
                assert await store.get_session(key) == data()

    async def test_defaults_apply_to_parking_and_not_to_touching(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(default_wait_ttl=time.brief, default_session_ttl=time.brief) as store:
            for key in ("parked", "touched", "never"):
                await store.register_wait(ALICE, "alice", ReplyScope(key), key, data(), ttl=DAY)
            claim = await store.claim_wait(ALICE, "alice", ReplyScope("parked"))
            assert claim is not None
            await claim.park(CHAT, data())
            await store.touch("touched", None)
            await store.touch("never", NEVER)
            await time.wait_out(time.brief)
            assert await store.list_waits_for_user(ALICE, "alice") == ["never", "touched"]

    async def test_without_defaults_nothing_expires(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(default_wait_ttl=NEVER, default_session_ttl=None) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k", data())
            await store.create_session(ALICE, data(), key="l")
            await time.wait_out(time.moment)
            assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
            assert await store.get_session("l") == data()

    async def test_what_is_left_of_a_lifetime(self, store: SessionStore) -> None:
        await store.create_session(ALICE, data(), key="k", ttl=MINUTE)
        first = await store.remaining_ttl("k")
        assert isinstance(first, float)
        assert 0 < first <= MINUTE
        await store.touch("k", 2 * MINUTE)
        second = await store.remaining_ttl("k")
        assert isinstance(second, float)
        assert MINUTE < second <= 2 * MINUTE
        await store.touch("k", NEVER)
        assert await store.remaining_ttl("k") is NEVER
        assert await store.touch("k", await store.remaining_ttl("k"))
        assert await store.remaining_ttl("other") is None

    async def test_what_is_left_is_told_to_whoever_reaches_the_session(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        runner = ctx(None)
        for caller, told in ((ALICE, NEVER), (runner, NEVER), (ctx("bob"), None), (ctx("alice", tenant="globex"), None)):
            assert await store.remaining_ttl("k", ctx=caller) is told
