"""The store as a whole: iter_sessions, purge, health, closing, limits."""

from contextlib import aclosing

import anyio
import pytest

from greentic_session.errors import InvalidInputError, UnavailableError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.store import SessionStore

from .calls import by_user
from .samples import ALICE, CHAT, MINUTE, MakeStore, ctx, data

__all__ = ["AdministrationContract"]

TENANT = ctx(None, team=None)
OWNERS = [
    ctx("alice", team="ops"),
    ctx("bob", team="ops"),
    ctx("alice", team="sales"),
    ctx("alice", team=None),
    ctx("alice", tenant="acme2"),
    ctx("alice", env="prod"),
]


async def settle(store: SessionStore) -> None:
    """Give every owner a wait ``w<n>`` and a session ``s<n>``; one session has no user."""
    for index, owner in enumerate(OWNERS):
        await store.register_wait(owner, owner.effective_user or "", CHAT, f"w{index}", data(owner))
        await store.create_session(owner, data(owner), key=f"s{index}")
    await store.create_session(ctx(None), data(ctx(None)), key="nobodys")


async def keys_of(store: SessionStore, caller: TenantCtx) -> set[str]:
    """Return the keys that a caller iterates over; each is seen once."""
    keys = [wait.key async for wait in store.iter_sessions(caller)]
    assert len(set(keys)) == len(keys)
    return set(keys)


REACH = {
    "a tenant": (TENANT, {"w0", "s0", "w1", "s1", "w2", "s2", "w3", "s3", "nobodys"}),
    "a team": (ctx(None), {"w0", "s0", "w1", "s1", "nobodys"}),
    "a user of a team": (ALICE, {"w0", "s0"}),
    "a user of all teams": (ctx("alice", team=None), {"w0", "s0", "w2", "s2", "w3", "s3"}),
    "another tenant": (ctx(None, tenant="acme2"), {"w4", "s4"}),
    "a tenant of which the name begins alike": (ctx(None, tenant="acm", team=None), set[str]()),
}
EVERYTHING = {"nobodys", *(f"{kind}{index}" for kind in "ws" for index in range(len(OWNERS)))}


class AdministrationContract:
    """Administration: iter_sessions, purge, health, lifecycle, max_snapshot_bytes."""

    async def test_an_iteration_may_be_left_and_closed(self, store: SessionStore) -> None:
        for number in range(3):
            await store.create_session(ALICE, data(), key=f"k{number}")
        async with aclosing(store.iter_sessions(ALICE)) as sessions:
            async for _ in sessions:
                break
        assert [wait async for wait in sessions] == []
        await sessions.aclose()
        assert len([wait async for wait in store.iter_sessions(ALICE)]) == 3

    async def test_iter_sessions_reaches_what_it_should(self, store: SessionStore) -> None:
        await settle(store)
        for name, (caller, expected) in REACH.items():
            assert await keys_of(store, caller) == expected, name

    async def test_iter_sessions_yields_waits(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        await store.create_session(ALICE, data(node="b"), key="l")
        found = {str(wait.key): wait async for wait in store.iter_sessions(ALICE)}
        versioned = await store.get_versioned("k")
        assert versioned is not None
        assert (found["k"].data, found["k"].version) == (data(), versioned.version)
        assert found["l"].data == data(node="b")
        assert found["l"].scope is None

    async def test_iter_sessions_survives_changes_meanwhile(self, store: SessionStore) -> None:
        for index in range(50):
            await store.create_session(ALICE, data(), key=f"k{index}")
        stays = {f"k{index}" for index in range(25)}
        seen: list[str] = []
        async for wait in store.iter_sessions(ALICE):
            if not seen:
                for index in range(25, 50):
                    await store.remove_session(f"k{index}")
                    await store.create_session(ALICE, data(), key=f"new{index}")
            seen.append(wait.key)
        assert stays <= set(seen)
        assert len(set(seen)) == len(seen)

    async def test_purge_removes_what_iter_sessions_reaches(self, make_store: MakeStore) -> None:
        for name, (caller, expected) in REACH.items():
            async with make_store() as store:
                await settle(store)
                assert await store.purge(caller) == len(expected), name
                left = set[str]()
                for owner in (TENANT, ctx(None, tenant="acme2"), ctx(None, env="prod")):
                    left |= await keys_of(store, owner)
                assert left == EVERYTHING - expected, name
                for index, owner in enumerate(OWNERS):
                    gone = f"w{index}" in expected
                    user = owner.effective_user or ""
                    assert await store.list_waits_for_user(owner, user) == ([] if gone else [f"w{index}"])
                    assert (await store.find_wait(owner, user, CHAT) is None) is gone
                assert await store.purge(caller) == 0

    async def test_purge_of_one_user(self, store: SessionStore) -> None:
        await settle(store)
        assert await store.purge(ctx("bob", team=None), user="alice") == 0
        assert await store.purge(ctx(None), user="alice") == 2
        assert await keys_of(store, TENANT) == {"w1", "s1", "w2", "s2", "w3", "s3", "nobodys"}
        assert await store.purge(TENANT, user="alice") == 4
        assert await keys_of(store, TENANT) == {"w1", "s1", "nobodys"}
        assert await by_user(store, ALICE, "alice") is None
        assert await by_user(store, ctx("bob"), "bob") == ("w1", data(ctx("bob")))

    async def test_many_sessions_are_walked_and_purged(self, store: SessionStore) -> None:
        for index in range(600):
            await store.register_wait(ALICE, "alice", ReplyScope(f"c{index}"), f"k{index}", data(), ttl=MINUTE)
        assert len(await keys_of(store, TENANT)) == 600
        assert len(await store.list_waits_for_user(ALICE, "alice")) == 600
        assert await store.purge(TENANT) == 600
        assert await store.list_waits_for_user(ALICE, "alice") == []

    async def test_health(self, store: SessionStore) -> None:
        await store.health()

    async def test_max_snapshot_bytes(self, make_store: MakeStore) -> None:
        exact = len(data(snapshot="x" * 1000).to_json())
        async with make_store(max_snapshot_bytes=exact) as store:
            fits, too_long, too_wide = "x" * 1000, "x" * 1001, "é" * 501
            key = await store.create_session(ALICE, data(snapshot=fits))
            await store.register_wait(ALICE, "alice", CHAT, "k", data(snapshot=fits))
            claim = await store.claim_wait(ALICE, "alice", CHAT)
            assert claim is not None
            for large in (too_long, too_wide, "\x00" * 200):
                for call in (
                    store.create_session(ALICE, data(snapshot=large)),
                    store.update_session(key, data(snapshot=large)),
                    store.register_wait(ALICE, "alice", CHAT, "k", data(snapshot=large)),
                    claim.park(CHAT, data(snapshot=large)),
                ):
                    with pytest.raises(InvalidInputError, match="the limit is"):
                        await call
            assert await store.get_session("k") == data(snapshot=fits)
            assert await keys_of(store, TENANT) == {key, "k"}

    async def test_a_closed_store_is_unavailable(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await store.aclose()
        await store.aclose()
        for call in (
            store.create_session(ALICE, data()),
            store.get_session("k"),
            store.get_versioned("k"),
            store.update_session("k", data()),
            store.remove_session("k"),
            store.register_wait(ALICE, "alice", CHAT, "k", data()),
            store.find_wait(ALICE, "alice", CHAT),
            store.find_wait_by_scope(ALICE, "alice", CHAT),
            store.list_waits_for_user(ALICE, "alice"),
            store.clear_wait(ALICE, "alice", CHAT),
            store.touch("k", MINUTE),
            store.claim_wait(ALICE, "alice", CHAT),
            store.purge(ALICE),
            store.health(),
            claim.park(CHAT, data()),
            claim.complete(),
            claim.release(),
            claim.renew(30),
        ):
            with pytest.raises(UnavailableError, match="closed"):
                await call
        with pytest.raises(UnavailableError):
            await by_user(store, ALICE, "alice")
        with pytest.raises(UnavailableError):
            _ = [wait async for wait in store.iter_sessions(ALICE)]

    async def test_a_store_is_a_context_manager(self, make_store: MakeStore) -> None:
        async with make_store() as store:
            await store.create_session(ALICE, data(), key="k")
        with pytest.raises(UnavailableError):
            await store.get_session("k")

    async def test_a_cancelled_call_leaves_the_store_usable(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        for _ in range(20):
            with anyio.move_on_after(0):
                await store.find_wait(ALICE, "alice", CHAT)
                await store.update_session("k", data(node="b"))
            found = await store.find_wait(ALICE, "alice", CHAT)
            assert found is not None
            assert found.key == "k"
