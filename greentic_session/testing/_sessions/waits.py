"""Waits by scope: register, find with fallback, list, clear, find_by_user."""

from enum import Enum

import anyio
import pytest

from greentic_session.errors import ConflictError, ErrorCode, InvalidInputError, TenantMismatchError, TooManyWaitsError
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .by_key import STRANGERS
from .calls import by_user
from .samples import ALICE, CHAT, DAY, MINUTE, MakeStore, Time, ctx, data

__all__ = ["WaitsContract"]

OTHER = ReplyScope("telegram:chat-2")
CORRELATED = ReplyScope("telegram:chat-1", correlation="cid-7")


class Names(str, Enum):  # noqa: UP042  # not a StrEnum: that one formats as its text
    """Names as many a program keeps them."""

    USER = "alice"
    CHAT = "chat"
    KEY = "k"


class WaitsContract:
    """The operations by scope."""

    async def test_a_registered_wait_is_found(self, store: SessionStore) -> None:
        assert await store.register_wait(ALICE, "alice", CHAT, "k", data()) is None
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert (found.key, found.data, found.scope) == ("k", data(), CHAT)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
        assert await store.get_session("k", ctx=ALICE) == data()

    async def test_the_version_of_a_wait_serves_an_update(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        found = await store.find_wait(ALICE, "alice", CHAT)
        versioned = await store.get_versioned("k")
        assert found is not None
        assert versioned is not None
        assert found.version == versioned.version
        assert versioned.scope is None
        await store.update_session("k", data(node="b"), if_version=found.version)
        with pytest.raises(ConflictError):
            await store.update_session("k", data(node="c"), if_version=found.version)

    async def test_every_part_of_a_scope_counts(self, store: SessionStore) -> None:
        scopes = [
            ReplyScope("c"),
            ReplyScope("d"),
            ReplyScope("c", "t"),
            ReplyScope("c", None, "t"),
            ReplyScope("c", None, None, "t"),
            ReplyScope("c", "t", "r", "x"),
        ]
        for index, scope in enumerate(scopes):
            await store.register_wait(ALICE, "alice", scope, f"k{index}", data(node=f"n{index}"))
        for index, scope in enumerate(scopes):
            found = await store.find_wait(ALICE, "alice", scope)
            assert found is not None
            assert (found.key, found.scope) == (f"k{index}", scope)

    async def test_an_empty_part_is_no_part(self, store: SessionStore) -> None:
        empty = ReplyScope("telegram:chat-1", "", "", "")
        await store.register_wait(ALICE, "alice", empty, "k", data())
        for scope in (CHAT, empty, ReplyScope("telegram:chat-1", None, "")):
            found = await store.find_wait(ALICE, "alice", scope)
            assert found is not None
            assert (found.key, found.scope) == ("k", scope)
        assert await store.register_wait(ALICE, "alice", CHAT, "l", data()) == "k"
        assert await store.list_waits_for_user(ALICE, "alice") == ["l"]

    async def test_a_str_subclass_is_the_text_that_it_holds(self, store: SessionStore) -> None:
        """A member of a str Enum formats and hashes as its name.

        It must name the same thing all the same.
        """
        await store.register_wait(ALICE, Names.USER, ReplyScope(Names.CHAT), Names.KEY, data())
        for key, user, chat in (("k", "alice", "chat"), (Names.KEY, Names.USER, Names.CHAT)):
            assert await store.get_session(key) == data()
            assert await store.find_wait_by_scope(ALICE, user, ReplyScope(chat)) == "k"
            assert [type(found) for found in await store.list_waits_for_user(ALICE, user)] == [str]
        assert await store.purge(ctx(None), user=Names.USER) == 1

    async def test_without_its_correlation_a_scope_still_finds(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "plain", data())
        found = await store.find_wait(ALICE, "alice", CORRELATED, fallback=True)
        assert found is not None
        assert (found.key, found.scope) == ("plain", CHAT)
        assert await store.find_wait(ALICE, "alice", CORRELATED) is None
        assert await store.find_wait_by_scope(ALICE, "alice", CORRELATED) is None
        await store.register_wait(ALICE, "alice", CORRELATED, "exact", data())
        exact = await store.find_wait(ALICE, "alice", CORRELATED, fallback=True)
        assert exact is not None
        assert (exact.key, exact.scope) == ("exact", CORRELATED)
        await store.remove_session("exact")
        again = await store.find_wait(ALICE, "alice", CORRELATED, fallback=True)
        assert again is not None
        assert again.key == "plain"

    async def test_the_fallback_gives_up_the_correlation_only(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        for other in (
            ReplyScope(CHAT.conversation, "topic", None, "cid-7"),
            ReplyScope(CHAT.conversation, None, "msg", "cid-7"),
        ):
            assert await store.find_wait(ALICE, "alice", other, fallback=True) is None
        await store.register_wait(ALICE, "alice", CORRELATED, "k", data())
        assert await store.find_wait(ALICE, "alice", CHAT, fallback=True) is None

    async def test_registering_again_replaces_the_data(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        assert await store.register_wait(ALICE, "alice", CHAT, "k", data(node="b")) is None
        assert await store.get_session("k") == data(node="b")
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]

    async def test_registering_elsewhere_moves_the_wait(self, store: SessionStore) -> None:
        """In the Rust crate a session could wait at two scopes, and clearing one removed the other.

        The old scope went on routing, and clearing it deleted the new one.
        """
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        assert await store.register_wait(ALICE, "alice", OTHER, "k", data(node="b")) is None
        assert await store.find_wait(ALICE, "alice", CHAT) is None
        await store.clear_wait(ALICE, "alice", CHAT)
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) == "k"
        assert await store.get_session("k") == data(node="b")
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]

    async def test_a_displaced_session_stays_readable(self, store: SessionStore) -> None:
        """In the Rust crate removing the displaced session unrouted the new one."""
        await store.register_wait(ALICE, "alice", CHAT, "old", data(node="old"))
        assert await store.register_wait(ALICE, "alice", CHAT, "new", data(node="new")) == "old"
        assert await store.get_session("old") == data(node="old")
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "new"
        assert await store.list_waits_for_user(ALICE, "alice") == ["new"]
        await store.remove_session("old")
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "new"
        assert await store.list_waits_for_user(ALICE, "alice") == ["new"]

    async def test_a_displaced_session_may_wait_again(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "a", data())
        await store.register_wait(ALICE, "alice", CHAT, "b", data())
        assert await store.register_wait(ALICE, "alice", OTHER, "a", data()) is None
        assert await store.list_waits_for_user(ALICE, "alice") == ["a", "b"]
        assert await store.register_wait(ALICE, "alice", CHAT, "a", data()) == "b"
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) is None
        assert await store.list_waits_for_user(ALICE, "alice") == ["a"]

    async def test_on_conflict_fail(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "a", data(), on_conflict="fail")
        await store.register_wait(ALICE, "alice", OTHER, "b", data(node="b"))
        for key in ("b", "c"):
            with pytest.raises(ConflictError) as caught:
                await store.register_wait(ALICE, "alice", CHAT, key, data(node="x"), on_conflict="fail")
            assert "a" not in str(caught.value).split()
        assert await store.get_session("c") is None
        assert await store.get_session("b") == data(node="b")
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) == "b"
        # The holder itself is no other session, and a scope that became free is free.
        await store.register_wait(ALICE, "alice", CHAT, "a", data(node="again"), on_conflict="fail")
        await store.remove_session("a")
        await store.register_wait(ALICE, "alice", CHAT, "c", data(), on_conflict="fail")
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "c"

    async def test_register_wants_one_and_the_same_user(self, store: SessionStore) -> None:
        bob, nobody = ctx("bob"), ctx(None)
        with pytest.raises(InvalidInputError):
            await store.register_wait(nobody, "alice", CHAT, "k", data(nobody))
        for caller, user, stored in (
            (ALICE, "bob", data(bob)),
            (ALICE, "bob", data()),
            (bob, "bob", data()),
            (bob, "alice", data()),
            (nobody, "alice", data()),
        ):
            with pytest.raises(TenantMismatchError):
                await store.register_wait(caller, user, CHAT, "k", stored)
        assert await store.get_session("k") is None
        assert await store.list_waits_for_user(nobody, "alice") == []

    async def test_register_preserves_whose_a_live_session_is(self, store: SessionStore) -> None:
        """In the Rust crate any tenant could overwrite a session by its key."""
        await store.create_session(ALICE, data(), key="k")
        await store.create_session(ctx(None), data(ctx(None)), key="nobodys")
        for stranger in STRANGERS.values():
            user = stranger.effective_user
            if user is None:
                continue
            with pytest.raises(TenantMismatchError):
                await store.register_wait(stranger, user, CHAT, "k", data(stranger))
            assert await store.find_wait(stranger, user, CHAT) is None
        with pytest.raises(TenantMismatchError):
            await store.register_wait(ALICE, "alice", CHAT, "nobodys", data())
        assert await store.get_session("k") == data()

    async def test_a_created_session_can_be_parked(self, store: SessionStore) -> None:
        key = await store.create_session(ALICE, data())
        await store.register_wait(ALICE, "alice", CHAT, key, data(node="parked"))
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == key

    async def test_owners_share_no_scope(self, store: SessionStore) -> None:
        owners = [ALICE, *(stranger for stranger in STRANGERS.values() if stranger.effective_user)]
        for index, owner in enumerate(owners):
            await store.register_wait(owner, owner.effective_user or "", CHAT, f"k{index}", data(owner))
        for index, owner in enumerate(owners):
            user = owner.effective_user or ""
            assert await store.find_wait_by_scope(owner, user, CHAT) == f"k{index}"
            assert await store.list_waits_for_user(owner, user) == [f"k{index}"]

    async def test_the_callers_user_decides(self, store: SessionStore) -> None:
        """In the Rust crate lookups trusted the user argument over the context."""
        bob, team = ctx("bob"), ctx(None)
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        assert await store.find_wait(bob, "alice", CHAT) is None
        assert await store.find_wait_by_scope(bob, "alice", CHAT) is None
        assert await store.list_waits_for_user(bob, "alice") == []
        assert await store.claim_wait(bob, "alice", CHAT) is None
        assert await by_user(store, bob, "alice") is None
        await store.clear_wait(bob, "alice", CHAT)
        assert await store.find_wait_by_scope(team, "alice", CHAT) == "k"
        assert await store.list_waits_for_user(team, "alice") == ["k"]
        found = await store.find_wait(team, "alice", CHAT)
        assert found is not None
        assert found.data == data()
        await store.clear_wait(team, "alice", CHAT)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None

    async def test_list_is_sorted_and_complete(self, store: SessionStore) -> None:
        keys = ["b", "a", "ä", "Z", "10", "9", "\uffff", "😀"]
        for index, key in enumerate(keys):
            await store.register_wait(ALICE, "alice", ReplyScope(f"c{index}"), key, data(), ttl=MINUTE)
        await store.create_session(ALICE, data(), key="no wait")
        assert await store.list_waits_for_user(ALICE, "alice") == sorted(keys)
        await store.register_wait(ALICE, "alice", OTHER, "two\nlines", data(), ttl=MINUTE)
        assert await store.list_waits_for_user(ALICE, "alice") == sorted([*keys, "two\nlines"])
        assert await store.list_waits_for_user(ctx("bob"), "bob") == []

    async def test_clear_takes_wait_and_session(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "a", data())
        await store.register_wait(ALICE, "alice", OTHER, "b", data())
        await store.clear_wait(ALICE, "alice", CHAT)
        assert await store.get_session("a") is None
        assert await store.find_wait(ALICE, "alice", CHAT) is None
        assert await store.list_waits_for_user(ALICE, "alice") == ["b"]
        await store.clear_wait(ALICE, "alice", CHAT)

    async def test_clear_is_exact(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        await store.clear_wait(ALICE, "alice", CORRELATED)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"

    async def test_find_by_user_prefers_the_only_wait(self, store: SessionStore) -> None:
        await store.create_session(ALICE, data(node="created"))
        await store.register_wait(ALICE, "alice", CHAT, "k", data(node="parked"))
        assert await by_user(store, ALICE, "alice") == ("k", data(node="parked"))
        await store.register_wait(ALICE, "alice", OTHER, "l", data())
        with pytest.raises(InvalidInputError, match="multiple waits"):
            await by_user(store, ALICE, "alice")

    async def test_find_by_user_finds_the_latest_created(self, store: SessionStore) -> None:
        """In the Rust crate find_by_user found nothing after create_session."""
        assert await by_user(store, ALICE, "alice") is None
        await store.create_session(ALICE, data(node="first"), key="first")
        await store.create_session(ctx("bob"), data(ctx("bob")), key="bobs")
        await store.create_session(ALICE, data(ctx(None), node="second"), key="second")
        assert await by_user(store, ALICE, "alice") == ("second", data(ctx(None), node="second"))
        assert await by_user(store, ctx(None), "alice") == ("second", data(ctx(None), node="second"))
        assert await by_user(store, ctx("alice", team="sales"), "alice") is None
        await store.remove_session("second")
        # The pointer is gone with what it led to; it does not go back.
        assert await by_user(store, ALICE, "alice") is None
        await store.create_session(ctx("eve"), data(ctx("eve")), key="second")
        assert await by_user(store, ALICE, "alice") is None
        assert await by_user(store, ctx("bob"), "bob") == ("bobs", data(ctx("bob")))

    async def test_take_overs_leave_one_wait(self, store: SessionStore) -> None:
        """In the Rust crate racing take-overs left both sessions listed."""
        displaced: list[str | None] = []

        async def take(key: str) -> None:
            displaced.append(await store.register_wait(ALICE, "alice", CHAT, key, data(node=key)))

        async with anyio.create_task_group() as tasks:
            for index in range(10):
                tasks.start_soon(take, f"k{index}")
        winner = await store.find_wait_by_scope(ALICE, "alice", CHAT)
        assert winner is not None
        assert await store.list_waits_for_user(ALICE, "alice") == [winner]
        assert {*displaced, winner} == {None, *(f"k{index}" for index in range(10))}
        assert displaced.count(None) == 1

    async def test_update_racing_remove_does_not_resurrect(self, store: SessionStore) -> None:
        """In the Rust crate an update could bring back what was removed meanwhile."""
        for index in range(20):
            key = await store.create_session(ALICE, data(), key=f"k{index}")

            async def update(key: str = key) -> None:
                try:
                    await store.update_session(key, data(node="late"))
                except LookupError:
                    pass

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(update)
                tasks.start_soon(store.remove_session, key)
            assert await store.get_session(key) is None

    async def test_max_waits_per_user(self, make_store: MakeStore) -> None:
        async with make_store(max_waits_per_user=2) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k1", data(), MINUTE)
            await store.create_session(ALICE, data(), key="k0")  # no wait
            await store.register_wait(ALICE, "alice", OTHER, "k2", data(), MINUTE)
            with pytest.raises(TooManyWaitsError) as refused:
                await store.register_wait(ALICE, "alice", CORRELATED, "k3", data(), MINUTE)
            assert (refused.value.code, refused.value.session_key) == (ErrorCode.RATE_LIMITED, "k3")
            assert await store.get_session("k3") is None
            with pytest.raises(TooManyWaitsError):
                await store.register_wait(ALICE, "alice", CORRELATED, "k0", data(node="b"), MINUTE)
            assert await store.get_session("k0") == data()
            assert await store.list_waits_for_user(ALICE, "alice") == ["k1", "k2"]
            bob = ctx(user="bob")
            await store.register_wait(bob, "bob", CHAT, "kb", data(bob), MINUTE)  # each user has as many

            # What adds none is not refused: the same again, another scope, another session in its
            # place.
            await store.register_wait(ALICE, "alice", CHAT, "k1", data(node="b"), MINUTE)
            await store.register_wait(ALICE, "alice", CORRELATED, "k1", data(), MINUTE)
            assert await store.register_wait(ALICE, "alice", OTHER, "k3", data(), MINUTE) == "k2"
            assert await store.list_waits_for_user(ALICE, "alice") == ["k1", "k3"]
            claim = await store.claim_wait(ALICE, "alice", OTHER)
            assert claim is not None
            await claim.park(CHAT, data(), MINUTE)
            await store.clear_wait(ALICE, "alice", CHAT)
            await store.register_wait(ALICE, "alice", OTHER, "k4", data(), MINUTE)
            assert await store.list_waits_for_user(ALICE, "alice") == ["k1", "k4"]

    async def test_an_expired_wait_counts_for_nothing(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(max_waits_per_user=1) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k1", data(), time.moment)
            await time.wait_out(time.moment)
            await store.register_wait(ALICE, "alice", OTHER, "k2", data(), DAY)
            with pytest.raises(TooManyWaitsError):
                await store.register_wait(ALICE, "alice", CHAT, "k3", data(), DAY)

    async def test_a_displaced_holder_cannot_park_one_wait_too_many(self, make_store: MakeStore) -> None:
        async with make_store(max_waits_per_user=1) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k1", data(), MINUTE)
            claim = await store.claim_wait(ALICE, "alice", CHAT)
            assert claim is not None
            assert await store.register_wait(ALICE, "alice", CHAT, "k2", data(), MINUTE) == "k1"
            with pytest.raises(TooManyWaitsError):
                await claim.park(OTHER, data(node="b"), MINUTE)
            assert await store.get_session("k1") == data()
            await claim.complete()  # it goes on
