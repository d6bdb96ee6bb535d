"""What lies in Redis.

The dumps recorded from the reference, lifetimes, and who may ever share a key.
"""

import asyncio
import time
import uuid
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from redis_invariants import Dump, check, dump
from redis_server import Server
from reference_fleet import Reference
from samples.layout_replay import SCENARIOS, Replay, recorded_outcome
from time_passing import pass_time

from greentic_session import RedisSessionStore, ReplyScope, TenantCtx
from greentic_session._redis.lua_source import script_text
from greentic_session.backends.redis.keys import Keys, owner_path
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio


# -- the recorded dumps


def is_ours(key: str) -> bool:
    return key.startswith(("own:", "claim:", "scopes:", "lasting:"))


def is_pointer(key: str) -> bool:
    return key.startswith("user:")


def shared(found: Dump, created: list[str]) -> dict[str, tuple[str, bool, Any]]:
    """Return the keys that the reference knows, as it was recorded.

    ``$KEY<n>`` for the n-th key that was created.
    """

    def named(text: str) -> str:
        for number, key in enumerate(created, 1):
            text = text.replace(key, f"$KEY{number}")
        return text

    def plain(value: Any) -> Any:
        return named(value.decode()) if isinstance(value, bytes) else sorted(named(member.decode()) for member in value)

    return {
        named(key): (entry.kind, entry.ttl != -1, plain(entry.value))
        for key, entry in found.items()
        if not is_ours(key) and not is_pointer(key)
    }


def recorded(step: dict[str, Any]) -> dict[str, tuple[str, bool, Any]]:
    keys = {
        entry["key"].removeprefix("vec:"): (entry["type"], entry["ttl_set"], entry["value"]) for entry in step["redis_keys"]
    }
    for name, (kind, _, members) in keys.items():
        if name.startswith("waits:user:"):  # the reference never gives it a lifetime
            keys[name] = (kind, all(keys[f"session:{member}"][1] for member in members), sorted(members))
    return keys


def serves_of(key: str) -> str:
    return f"session:{key.split(':', 1)[1]}"


@pytest.mark.filterwarnings("ignore:use find_wait_by_scope:DeprecationWarning")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
async def test_every_step_leaves_the_recorded_keys(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, scenario: dict[str, Any]
) -> None:
    replay = Replay(store)
    for number, step in enumerate(scenario["steps"]):
        where = f"step {number}: {step['op']['op']}"
        assert await replay.play(step["op"]) == recorded_outcome(step), where
        found = dump(raw, namespace)
        assert shared(found, replay.created) == recorded(step), where
        for key, entry in found.items():
            if is_ours(key) and not key.startswith(("scopes:", "lasting:")):  # they serve the user, and all
                assert (entry.ttl == -1) <= (found[serves_of(key)].ttl == -1), where
            elif is_pointer(key):
                assert (entry.ttl == -1) == (found[f"session:{entry.text.decode()}"].ttl == -1), where
        check(raw, namespace)


async def test_a_pointer_is_written_as_the_reference_documents_it(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    await store.create_session(ALICE, data(), key="with", ttl=60)
    await store.create_session(ctx(team=None), data(ctx(team=None)), key="without")
    assert raw.get(f"{namespace}:user:dev:acme:ops:alice") == b"with"
    assert 55_000 < raw.pttl(f"{namespace}:user:dev:acme:ops:alice") <= 60_020
    assert raw.get(f"{namespace}:user:dev:acme:-:alice") == b"without"
    assert raw.pttl(f"{namespace}:user:dev:acme:-:alice") == -1


async def test_lifetimes_of_all_that_belongs_together(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    """A lifetime given to a session is given to all its keys, too; `check` compares them."""
    other = ReplyScope("telegram:chat-2")
    await store.create_session(ALICE, data(), key="k1", ttl=50)
    check(raw, namespace)
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 40)
    check(raw, namespace)
    await store.register_wait(ALICE, "alice", other, "k2", data())
    assert raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") == -1
    check(raw, namespace)
    await store.touch("k2", 10)
    assert 35_000 < raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") <= 40_020
    check(raw, namespace)
    claim = await store.claim_wait(ALICE, "alice", other, lease=100)
    assert claim is not None
    assert 95_000 < raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") <= 100_020
    check(raw, namespace)
    await claim.renew(120)
    check(raw, namespace)
    await claim.park(CHAT, data(), 20)  # displaces k1
    assert 15_000 < raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") <= 20_020
    check(raw, namespace)
    await store.update_session("k1", data(node="later"))
    await store.touch("k1", None)
    check(raw, namespace)
    await store.clear_wait(ALICE, "alice", CHAT)
    check(raw, namespace)
    await store.remove_session("k1")
    assert dump(raw, namespace) == {}


async def test_a_set_lives_no_longer_for_a_key_that_somebody_else_uses_now(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    """The set lives as long as its longest wait.

    K1 is still a member of alice's, and bob's session by now.
    """
    await store.register_wait(ALICE, "alice", ReplyScope("telegram:chat-2"), "k2", data(), 60)
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 10)
    pass_time(raw, 11, namespace)
    bob = ctx("bob")
    await store.create_session(bob, data(bob), key="k1")  # never expires
    await store.touch("k2", 30)
    assert 25_000 < raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") <= 30_020
    check(raw, namespace)


async def test_a_set_lives_no_longer_for_a_key_that_its_user_uses_for_no_wait(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    await store.register_wait(ALICE, "alice", ReplyScope("telegram:chat-2"), "k2", data(), 60)
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 10)
    pass_time(raw, 11, namespace)
    await store.create_session(ALICE, data(), key="k1")  # never expires, and waits for nothing
    check(raw, namespace)  # this was her next operation: the member that the expired wait left is gone
    await store.touch("k2", 30)
    assert 25_000 < raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") <= 30_020
    check(raw, namespace)


# -- the index of a user's waits

INDEX = "scopes:dev:acme:ops:alice"
OTHER, THIRD = ReplyScope("telegram:chat-2"), ReplyScope("telegram:chat-3")


def indexed(raw: redis.Redis, namespace: str) -> set[bytes] | None:
    """Return the scopes in alice's index; None if she has none."""
    index = dump(raw, namespace).get(INDEX)
    return None if index is None else set(index.fields)


async def test_only_a_user_with_several_waits_has_an_index(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    chat, other = CHAT.scope_hash().encode(), OTHER.scope_hash().encode()
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(node="again"), 50)
    assert await store.list_waits_for_user(ALICE, "alice") == ["k1"]
    assert indexed(raw, namespace) is None
    await store.register_wait(ALICE, "alice", OTHER, "k2", data(), 600)
    assert indexed(raw, namespace) == {chat, other}
    check(raw, namespace)
    await store.clear_wait(ALICE, "alice", OTHER)
    assert indexed(raw, namespace) is None
    check(raw, namespace)  # the set lives as long as the wait that is left
    await store.register_wait(ALICE, "alice", OTHER, "k2", data())
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.park(THIRD, data(), 600)
    assert indexed(raw, namespace) == {THIRD.scope_hash().encode(), other}
    check(raw, namespace)
    claim = await store.claim_wait(ALICE, "alice", OTHER)
    assert claim is not None
    await claim.complete()
    assert indexed(raw, namespace) is None
    check(raw, namespace)


@pytest.mark.parametrize("ends", [b"inf", b"1", b"9999999999999"])
async def test_an_index_of_one_wait_as_0_1_0_keeps_it_does_no_harm(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, ends: bytes
) -> None:
    def leave() -> None:
        raw.zadd(f"{namespace}:{INDEX}", {CHAT.scope_hash(): ends.decode()})

    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 60)
    leave()
    await store.register_wait(ALICE, "alice", CHAT, "k1", data(), 600)
    assert 595_000 < raw.pttl(f"{namespace}:waits:user:dev:acme:ops:alice") <= 600_020
    assert await store.list_waits_for_user(ALICE, "alice") == ["k1"]
    await store.register_wait(ALICE, "alice", OTHER, "k2", data(), 60)
    check(raw, namespace)
    await store.clear_wait(ALICE, "alice", OTHER)
    leave()
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.complete()
    await store.register_wait(ALICE, "alice", OTHER, "k2", data(), 60)
    await store.clear_wait(ALICE, "alice", OTHER)
    assert dump(raw, namespace) == {}


@pytest.mark.parametrize(
    "does", ["complete", "list what is left", "list nothing", "register what was left", "register anew"]
)
async def test_an_index_that_the_reference_left_goes_with_the_next_look(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, does: str
) -> None:
    """The reference clears waits of ours but knows no index.

    The waits have no lifetime, so that nothing but this library removes the index.
    """
    reference = Reference(raw, namespace)
    await store.register_wait(ALICE, "alice", CHAT, "k1", data())
    await store.register_wait(ALICE, "alice", OTHER, "k2", data())
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    reference.clear_wait(ALICE, OTHER)
    if does in ("list nothing", "register anew"):
        reference.clear_wait(ALICE, CHAT)
    assert indexed(raw, namespace) == {CHAT.scope_hash().encode(), OTHER.scope_hash().encode()}
    match does:
        case "complete":
            await claim.complete()
        case "list what is left":
            assert await store.list_waits_for_user(ALICE, "alice") == ["k1"]
        case "list nothing":
            assert await store.list_waits_for_user(ALICE, "alice") == []
        case "register what was left":
            await store.register_wait(ALICE, "alice", THIRD, "k1", data())
        case _:
            await store.register_wait(ALICE, "alice", THIRD, "k3", data())
    assert indexed(raw, namespace) is None


@pytest.mark.parametrize("waits", [1, 2, 3])
async def test_what_is_no_index_is_made_anew(store: RedisSessionStore, raw: redis.Redis, namespace: str, waits: int) -> None:
    for number in range(1, waits):
        await store.register_wait(ALICE, "alice", ReplyScope(f"{number}"), f"k{number}", data(), 60)
    raw.delete(f"{namespace}:{INDEX}")
    raw.set(f"{namespace}:{INDEX}", "not ours")
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    assert len(await store.list_waits_for_user(ALICE, "alice")) == waits
    await store.register_wait(ALICE, "alice", OTHER, "l", data(), 60)
    check(raw, namespace)
    for wait in await store.list_waits_for_user(ALICE, "alice"):
        await store.remove_session(wait)
    assert dump(raw, namespace) == {}


# -- no two of anything share a key

alphabet = "abAB01.-_"
ids = st.text(alphabet, min_size=1, max_size=4) | st.sampled_from(["--", "-.", "_", ".", "..", "a-b", "a"])
teams = st.none() | ids.filter(lambda team: team != "-")
session_keys = st.sampled_from(
    ["k", "a:b", ":", "::", "waits:scope:a", "own:k", "session:k", "k:own", "\n", "\0", " ", "é"]
) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
scopes = st.builds(ReplyScope, st.sampled_from(["c", "c:t", ""]), st.sampled_from([None, "t"]))
callers = st.builds(lambda env, tenant, team, user: TenantCtx.new(env, tenant, team=team, user=user), ids, ids, teams, ids)


def owner(who: TenantCtx) -> tuple[str, str, str | None, str]:
    assert who.user_id is not None
    return (who.env, who.tenant_id, who.team_id, who.user_id)


@settings(max_examples=150)
@given(callers, callers, scopes, scopes, session_keys, session_keys)
@example(ctx("a", team=None), ctx("a", team="--"), CHAT, CHAT, "k", "k")
async def test_names_are_different_for_whoever_is_different(
    one: TenantCtx, other: TenantCtx, scope: ReplyScope, other_scope: ReplyScope, key: str, other_key: str
) -> None:
    keys = Keys("ns")
    names: list[tuple[str, str, object]] = [
        (keys.session(key), "session", key),
        (keys.session(other_key), "session", other_key),
    ]
    names += [(keys.claim(key), "claim", key), (keys.claim(other_key), "claim", other_key)]
    for who, where in ((one, scope), (other, other_scope)):
        place = owner_path(owner(who))
        names.append((keys.scope(place, where.scope_hash()), "scope", (owner(who), where.scope_hash())))
        names.append((keys.waits(place), "waits", owner(who)))
        names.append((keys.scopes(place), "scopes", owner(who)))
        names.append((keys.latest(place), "latest", owner(who)))
    for name, kind, what in names:
        for other_name, other_kind, other_what in names:
            assert (name == other_name) == ((kind, what) == (other_kind, other_what))


async def touched(store: RedisSessionStore, raw: redis.Redis, who: TenantCtx, scope: ReplyScope, key: str) -> dict[str, str]:
    """Return each key that a session writes in its life, with its kind; none of them is left."""
    space = store._backend._keys.namespace  # type: ignore[attr-defined]  # the Redis backend's
    user = str(who.user_id)
    await store.create_session(who, data(who), key=key)
    await store.register_wait(who, user, scope, key, data(who))
    another, beside = (
        uuid.uuid4().hex,
        ReplyScope("beside"),
    )  # a second wait has the user's index made; its own keys do not count
    await store.register_wait(who, user, beside, another, data(who))
    claim = await store.claim_wait(who, user, scope)
    assert claim is not None
    assert claim.key == key
    found = [name for name in dump(raw, space) if another not in name and beside.scope_hash() not in name]
    found.remove("lasting:sessions")
    await claim.complete()
    await store.clear_wait(who, user, beside)
    assert dump(raw, space) == {}
    return {name: "key" if name.startswith(("session:", "own:", "claim:")) else "owner" for name in found}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(callers, callers, scopes, scopes, session_keys, session_keys)
@example(ctx("a", team=None), ctx("a", team="--"), CHAT, CHAT, "k", "k:")
async def test_what_the_scripts_write_is_different_for_whoever_is_different(
    redis_url: str,
    raw: redis.Redis,
    one: TenantCtx,
    other: TenantCtx,
    scope: ReplyScope,
    other_scope: ReplyScope,
    key: str,
    other_key: str,
) -> None:
    async with RedisSessionStore.from_url(redis_url, namespace=f"test-{uuid.uuid4().hex}") as store:
        first = await touched(store, raw, one, scope, key)
        second = await touched(store, raw, other, other_scope, other_key)
    assert len(first) == len(second) == 7  # session, own, claim, scope, set, index, pointer
    expected = set()
    if key == other_key:
        expected |= {name for name, kind in first.items() if kind == "key"}
    if owner(one) == owner(other):
        same_scope = scope.scope_hash() == other_scope.scope_hash()
        expected |= {
            name for name, kind in first.items() if kind == "owner" and (same_scope or not name.startswith("waits:scope:"))
        }
    assert first.keys() & second.keys() == expected


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(callers, callers, scopes, session_keys, session_keys)
@example(ctx("a", team=None), ctx("a", team="--"), CHAT, "k", "k:")
async def test_two_side_by_side_do_not_meet(
    redis_url: str, raw: redis.Redis, one: TenantCtx, other: TenantCtx, scope: ReplyScope, key: str, other_key: str
) -> None:
    assume(owner(one) != owner(other) and key != other_key)
    namespace = f"test-{uuid.uuid4().hex}"
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        await store.register_wait(one, str(one.user_id), scope, key, data(one))
        await store.register_wait(other, str(other.user_id), scope, other_key, data(other))
        assert await store.list_waits_for_user(one, str(one.user_id)) == [key]
        assert await store.find_wait_by_scope(one, str(one.user_id), scope) == key
        assert await store.find_wait_by_scope(other, str(other.user_id), scope) == other_key
        check(raw, namespace)
        await store.clear_wait(one, str(one.user_id), scope)
        assert await store.find_wait_by_scope(other, str(other.user_id), scope) == other_key
        await store.remove_session(other_key)
        assert dump(raw, namespace) == {}


# -- nothing stays behind


async def test_a_purge_does_not_look_at_all_waits_of_a_user_for_each_of_them(server: Server) -> None:
    """Else the server would stand still, the longer the more waits a user has."""
    waits = 600
    with server.client() as raw:
        reference = Reference(raw, "n")
        for number in range(waits):
            reference.register_wait(ReplyScope(f"chat-{number}"), f"k{number}", data())
        raw.config_resetstat()
        async with RedisSessionStore.from_url(server.url, namespace="n", timeout=60) as store:
            assert await store.purge(ALICE) == waits
        commands = sum(one["calls"] for one in raw.info("commandstats").values())
        assert commands < 100 * waits
        assert not raw.exists(reference.set_key(ALICE))


@pytest.mark.parametrize("waits", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_waits_that_nobody_touches_again_leave_nothing(server: Server, waits: int) -> None:
    """Ten waits a user; some are moved, displaced, updated and claimed before all expire."""
    life = max(1.0, waits / 2_000)
    async with RedisSessionStore.from_url(server.url, namespace="n", timeout=60) as store:

        async def leave(number: int) -> None:
            who = ctx(f"user-{number // 10}")
            user = str(who.user_id)
            scope = ReplyScope(f"chat-{number}")
            await store.register_wait(who, user, scope, f"k{number}", data(who), life)
            match number % 50:
                case 0:
                    await store.create_session(who, data(who), key=f"c{number}", ttl=life)
                case 1:
                    await store.register_wait(who, user, ReplyScope("elsewhere"), f"k{number}", data(who), life)
                case 2:
                    await store.register_wait(who, user, scope, f"d{number}", data(who), life)
                case 3:
                    await store.update_session(f"k{number}", data(who, "later"))
                case 4:
                    await store.claim_wait(who, user, scope, lease=life)
                case _:
                    pass

        for start in range(0, waits, 200):
            await asyncio.gather(*map(leave, range(start, start + 200)))
        with server.client() as raw:
            give_up = time.monotonic() + life + 60
            while left := raw.dbsize():
                assert time.monotonic() < give_up, f"{left} keys are left: {raw.keys()[:5]}"
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("ended", [0, 1, 2, 1000], ids=lambda ms: f"{ms} ms ago")
async def test_an_index_whose_last_wait_has_ended_is_never_taken_for_one_without_an_end(
    raw: redis.Redis, namespace: str, ended: int
) -> None:
    lua = script_text("greentic_session.backends.redis.lua", "wait_index")
    settle = f"""
        redis.call('SADD', KEYS[1], 'key', 'other')
        redis.call('ZADD', KEYS[2], now() - {ended}, 'hash', now() - {ended}, 'other')
        return {{tostring(sync_lifetimes(KEYS[1], KEYS[2])), redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2])}}
    """
    assert raw.eval(lua + settle, 2, f"{namespace}:set", f"{namespace}:index") == [b"false", -1, -1]  # it needs a repair
