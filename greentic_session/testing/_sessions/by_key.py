"""Sessions by key: create, get, update with versions, remove."""

import uuid
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from greentic_session.errors import ConflictError, GreenticError, NotFoundError, TenantMismatchError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.store import SessionStore

from .calls import by_user
from .samples import ALICE, CHAT, MINUTE, ctx, data

__all__ = ["SessionsContract"]

STRANGERS = {
    "another env": ctx(env="prod"),
    "another tenant": ctx(tenant="globex"),
    "another team": ctx(team="sales"),
    "no team": ctx(team=None),
    "another user": ctx("bob"),
    "another env, no user": ctx(None, env="prod"),
    "another tenant, no user": ctx(None, tenant="globex"),
    "another team, no user": ctx(None, team="sales"),
    "no team, no user": ctx(None, team=None),
}
RUNNER = ctx(None)
OTHERS = {**STRANGERS, "no user": RUNNER}


class SessionsContract:
    """The operations by key."""

    async def test_a_created_session_is_read_back(self, store: SessionStore) -> None:
        stored = data(snapshot='{"text":"é 漢字 😀 \\u0000"}')
        key = await store.create_session(ALICE, stored)
        assert await store.get_session(key) == stored
        assert await store.get_session(key, ctx=ALICE) == stored

    async def test_the_snapshot_is_opaque(self, store: SessionStore) -> None:
        for snapshot in ("", "not json", "\x00\x1f\x7f", "\u2028\ufeff\uffff", "x" * 100_000):
            key = await store.create_session(ALICE, data(snapshot=snapshot))
            found = await store.get_session(key)
            assert found is not None
            assert found.context_json == snapshot

    async def test_every_field_comes_back(self, store: SessionStore) -> None:
        full = ALICE.with_attributes({"b": "2", "a": "1"}).with_session("s").with_node("n").with_attempt(7)
        stored = data(full)
        key = await store.create_session(full, stored)
        found = await store.get_session(key)
        assert found is not None
        assert found.to_json() == stored.to_json()

    async def test_fresh_keys_are_random_uuid4s(self, store: SessionStore) -> None:
        keys = [await store.create_session(ALICE, data()) for _ in range(20)]
        assert len(set(keys)) == len(keys)
        assert {uuid.UUID(key).version for key in keys} == {4}

    async def test_a_key_of_ones_own(self, store: SessionStore) -> None:
        for key in ("k", "a:b c/ü\n", "x" * 1024, "é" * 512):
            assert await store.create_session(ALICE, data(node=key), key=key) == key
            found = await store.get_session(key)
            assert found is not None
            assert found.cursor.node_pointer == key

    async def test_a_taken_key_is_a_conflict_for_everybody(self, store: SessionStore) -> None:
        await store.create_session(ALICE, data(), key="taken-key")
        for caller in (ALICE, *OTHERS.values()):
            with pytest.raises(ConflictError) as caught:
                await store.create_session(caller, data(caller), key="taken-key")
            assert caught.value.session_key == "taken-key"
            assert "taken-key" not in str(caught.value)
        assert await store.get_session("taken-key") == data()

    async def test_create_wants_alignment(self, store: SessionStore) -> None:
        for stranger in OTHERS.values():
            with pytest.raises(TenantMismatchError):
                await store.create_session(stranger, data(), key="k")
        assert await store.get_session("k") is None

    async def test_data_without_a_user_may_come_from_anyone_in_the_team(self, store: SessionStore) -> None:
        nobodys = data(ctx(None))
        key = await store.create_session(ALICE, nobodys)
        for caller in (ALICE, ctx("bob"), ctx(None)):
            assert await store.get_session(key, ctx=caller) == nobodys
        assert await store.get_session(key, ctx=ctx("bob", team="sales")) is None

    async def test_identity_is_what_counts(self, store: SessionStore) -> None:
        """`tenant_id`, and the effective team and user: the legacy fields do not decide."""
        legacy = TenantCtx(
            env="dev", tenant="old", tenant_id="acme", team="old", team_id="ops", user="old", user_id="alice", attempt=0
        )
        only_legacy = TenantCtx(env="dev", tenant="acme", tenant_id="acme", team="ops", user="alice", attempt=0)
        for index, caller in enumerate((legacy, only_legacy)):
            key = await store.create_session(ALICE, data(caller))
            assert await store.get_session(key, ctx=ALICE) == data(caller)
            assert await store.get_session(key, ctx=caller) == data(caller)
            await store.update_session(key, data(), ctx=caller)
            scope = ReplyScope(f"c-{index}")
            await store.register_wait(caller, "alice", scope, key, data(caller))
            assert await store.find_wait_by_scope(ALICE, "alice", scope) == key
            assert await store.find_wait_by_scope(caller, "alice", scope) == key

    async def test_absent_sessions(self, store: SessionStore) -> None:
        assert await store.get_session("nowhere") is None
        assert await store.get_versioned("nowhere") is None
        assert await store.touch("nowhere", MINUTE) is False
        for call in (store.update_session("nowhere", data()), store.remove_session("nowhere")):
            with pytest.raises(NotFoundError) as caught:
                await call
            assert caught.value.session_key == "nowhere"
            assert "nowhere" not in str(caught.value)

    async def test_strangers_find_nothing(self, store: SessionStore) -> None:
        key = await store.create_session(ALICE, data())
        for stranger in STRANGERS.values():
            assert await store.get_session(key, ctx=stranger) is None
            assert await store.get_versioned(key, ctx=stranger) is None
            assert await store.touch(key, MINUTE, ctx=stranger) is False
            with pytest.raises(NotFoundError):
                await store.update_session(key, data(stranger), ctx=stranger)
            with pytest.raises(NotFoundError):
                await store.remove_session(key, ctx=stranger)
        assert await store.get_session(key, ctx=ALICE) == data()

    async def test_a_context_without_a_user_reaches_every_user_of_its_team(self, store: SessionStore) -> None:
        """A runner's context does by key what it does by scope."""
        for owner in (ALICE, ctx("bob"), RUNNER):
            key = await store.create_session(owner, data(owner))
            assert await store.get_session(key, ctx=RUNNER) == data(owner)
            found = await store.get_versioned(key, ctx=RUNNER)
            assert found is not None
            assert found.data == data(owner)
            version = await store.update_session(key, data(owner, "b"), ctx=RUNNER)
            assert version != found.version
            with pytest.raises(ConflictError):
                await store.update_session(key, data(owner, "c"), ctx=RUNNER, if_version=found.version)
            await store.update_session(key, data(owner, "d"), ctx=RUNNER, if_version=version)
            assert await store.get_session(key, ctx=owner) == data(owner, "d")
            assert await store.touch(key, MINUTE, ctx=RUNNER) is True
            await store.remove_session(key, ctx=RUNNER)
            assert await store.get_session(key) is None

    async def test_a_context_without_a_user_reaches_a_wait_by_its_key(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        await store.update_session("k", data(node="b"), ctx=RUNNER)
        assert await store.touch("k", MINUTE, ctx=RUNNER) is True
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert found.data == data(node="b")
        with pytest.raises(TenantMismatchError):  # to park still wants alignment
            await store.register_wait(RUNNER, "alice", CHAT, "k", data())
        await store.remove_session("k", ctx=RUNNER)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None

    async def test_errors_tell_of_the_caller_only(self, store: SessionStore) -> None:
        await store.create_session(ALICE, data(snapshot="hush-hush"), key="hidden-key")
        mallory = ctx("mallory", tenant="evil", team="red")
        calls = (
            store.update_session("hidden-key", data(mallory)),
            store.update_session("hidden-key", data(mallory), ctx=mallory),
            store.remove_session("hidden-key", ctx=mallory),
            store.register_wait(mallory, "mallory", CHAT, "hidden-key", data(mallory)),
            store.create_session(mallory, data(), key="other-key"),
        )
        for call in calls:
            with pytest.raises(GreenticError) as caught:
                await call
            told = f"{caught.value} {caught.value.args}"
            for secret in ("acme", "ops", "alice", "mallory", "hush-hush", "hidden-key", "order.flow"):
                assert secret not in told

    async def test_update_replaces_and_returns_the_version(self, store: SessionStore) -> None:
        key = await store.create_session(ALICE, data())
        first = await store.get_versioned(key, ctx=ALICE)
        version = await store.update_session(key, data(node="node.next"), ctx=ALICE)
        second = await store.get_versioned(key)
        assert first is not None
        assert second is not None
        assert second.data == data(node="node.next")
        assert second.key == key
        assert second.scope is None
        assert first.version != version == second.version

    async def test_update_if_version(self, store: SessionStore) -> None:
        key = await store.create_session(ALICE, data())
        found = await store.get_versioned(key)
        assert found is not None
        second = await store.update_session(key, data(node="b"), if_version=found.version)
        for stale in (found.version, "", "no version"):
            with pytest.raises(ConflictError):
                await store.update_session(key, data(node="c"), if_version=stale)
        assert await store.get_session(key) == data(node="b")
        await store.update_session(key, data(node="c"), if_version=second)
        assert await store.get_session(key) == data(node="c")

    async def test_versioned_writers_lose_nothing(self, store: SessionStore) -> None:
        key = await store.create_session(ALICE, data(snapshot="0"))

        async def add_ten() -> None:
            added = 0
            while added < 10:
                found = await store.get_versioned(key)
                assert found is not None
                await anyio.lowlevel.checkpoint()
                try:
                    total = int(found.data.context_json) + 1
                    await store.update_session(key, data(snapshot=str(total)), if_version=found.version)
                    added += 1
                except ConflictError:
                    pass

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(add_ten)
        assert await store.get_session(key) == data(snapshot="50")

    async def test_update_preserves_whose_it_is(self, store: SessionStore) -> None:
        key = await store.create_session(ALICE, data())
        nobodys = await store.create_session(ctx(None), data(ctx(None)))
        for stranger in OTHERS.values():
            for caller in (None, ALICE, RUNNER):
                with pytest.raises(TenantMismatchError):
                    await store.update_session(key, data(stranger), ctx=caller)
        with pytest.raises(TenantMismatchError):
            await store.update_session(nobodys, data())
        assert await store.get_session(key) == data()
        assert await store.get_session(nobodys) == data(ctx(None))

    async def test_update_keeps_the_wait(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        await store.update_session("k", data(node="b"))
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert (found.key, found.data, found.scope) == ("k", data(node="b"), CHAT)
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]

    async def test_remove_takes_every_index_entry_along(self, store: SessionStore) -> None:
        """The Rust crate's remove leaves the scope key, which later leads to a reused key."""
        key = await store.create_session(ALICE, data(), key="k")
        await store.register_wait(ALICE, "alice", CHAT, key, data())
        await store.remove_session(key, ctx=ALICE)
        assert await store.get_session(key) is None
        await store.create_session(ctx("bob"), data(ctx("bob")), key="k")
        assert await store.find_wait(ALICE, "alice", CHAT) is None
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None
        assert await store.list_waits_for_user(ALICE, "alice") == []
        assert await store.claim_wait(ALICE, "alice", CHAT) is None
        assert await by_user(store, ALICE, "alice") is None
        with pytest.raises(NotFoundError):
            await store.remove_session(key, ctx=ALICE)

    async def test_what_a_caller_changes_is_not_what_is_stored(self, store: SessionStore) -> None:
        attributes = {"a": "1"}
        owner = ALICE.with_attributes(attributes)
        key = await store.create_session(owner, data(owner))
        attributes["a"] = "changed"
        found = await store.get_session(key)
        assert found is not None
        assert dict(found.tenant_ctx.attributes) == {"a": "1"}
        held: Any = found.tenant_ctx.attributes
        changes: list[Callable[[], object]] = [lambda: held.update(a="changed"), held.clear, lambda: held.pop("a")]
        for change in changes:
            with pytest.raises((TypeError, AttributeError)):
                change()
        with pytest.raises(AttributeError):
            found.context_json = "changed"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is what is refused
        again = await store.get_session(key)
        assert again is not None
        assert dict(again.tenant_ctx.attributes) == {"a": "1"}
        assert again.context_json == '{"step":1}'
