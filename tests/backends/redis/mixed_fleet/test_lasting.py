"""Sessions without a lifetime, or with one of more than a day, that the reference removes.

What we keep beside them goes within a day of ordinary writes.
"""

from collections.abc import Awaitable, Callable

import pytest
import redis
from redis_invariants import check, dump
from reference_fleet import Reference
from time_passing import pass_time

from greentic_session import ReplyScope, TenantCtx
from greentic_session.backends.redis import RedisSessionStore
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio

DAY = 86_400.0
NOTED = "lasting:sessions"
OTHER = ReplyScope("telegram:chat-2")


def noted(raw: redis.Redis, namespace: str) -> set[str]:
    """Return the session keys that are due for a check some day."""
    found = dump(raw, namespace).get(NOTED)
    return set() if found is None else {key.decode() for key in found.fields}


async def park(store: RedisSessionStore, who: TenantCtx = ALICE, key: str = "k", ttl: float | None = None) -> None:
    await store.register_wait(who, str(who.user_id), CHAT, key, data(who), ttl)


async def create(store: RedisSessionStore, who: TenantCtx, key: str) -> None:
    await store.create_session(who, data(who), key=key)


async def touch(store: RedisSessionStore, who: TenantCtx, key: str) -> None:
    await park(store, who, key, 60)
    assert await store.touch(key, None)


async def displace(store: RedisSessionStore, who: TenantCtx, key: str) -> None:
    await park(store, who, f"{key}-before")
    await park(store, who, key)


async def update(store: RedisSessionStore, who: TenantCtx, key: str) -> None:
    await park(store, who, key)
    await store.update_session(key, data(who, "later"))


WRITES: list[Callable[[RedisSessionStore, TenantCtx, str], Awaitable[None]]] = [park, create, touch, displace, update]


@pytest.mark.parametrize("ttl", [None, 7 * DAY], ids=["no lifetime", "a week"])
@pytest.mark.parametrize("write", WRITES)
async def test_what_the_reference_removes_is_forgotten_within_a_day(
    store: RedisSessionStore,
    reference: Reference,
    raw: redis.Redis,
    namespace: str,
    write: Callable[[RedisSessionStore, TenantCtx, str], Awaitable[None]],
    ttl: float | None,
) -> None:
    await park(store, ttl=ttl)
    await store.register_wait(ALICE, "alice", OTHER, "k2", data(), ttl)
    reference.clear_wait(ALICE, CHAT)
    reference.clear_wait(ALICE, OTHER)
    assert {"own:k", "own:k2"} <= dump(raw, namespace).keys()
    await write(store, ctx("bob"), "early")
    assert {"own:k", "own:k2"} <= dump(raw, namespace).keys()  # it is not time yet
    pass_time(raw, DAY + 1, namespace)
    await write(store, ctx("carol"), "late")
    left = dump(raw, namespace)
    assert not [name for name in left if "alice" in name or name in ("own:k", "own:k2")]
    assert not {"k", "k2"} & noted(raw, namespace)
    check(raw, namespace)


async def test_where_the_schedule_was_somebody_elses_the_next_write_notes_the_session(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    raw.set(f"{namespace}:{NOTED}", "not ours")
    await park(store)
    raw.delete(f"{namespace}:{NOTED}")
    await park(store)
    assert noted(raw, namespace) == {"k"}


async def test_a_session_that_lives_is_due_again_in_a_day(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    await park(store)
    for number in range(3):
        pass_time(raw, DAY + 1, namespace)
        await park(store, ctx(f"user-{number}"), f"new-{number}")
        due = raw.zscore(f"{namespace}:{NOTED}", "k")
        seconds, _ = raw.time()
        assert isinstance(due, float)
        assert 0.9 * DAY < due / 1000 - seconds <= DAY + 1
        check(raw, namespace)
    assert await store.find_wait(ALICE, "alice", CHAT) is not None


async def test_a_session_that_lives_for_days_is_due_until_its_last_one(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    await park(store, ttl=2.5 * DAY)
    for number, named in enumerate([True, False]):
        pass_time(raw, DAY + 1, namespace)
        await park(store, ctx(f"user-{number}"), f"new-{number}", 2 * DAY)
        assert ("k" in noted(raw, namespace)) is named
        check(raw, namespace)
    assert await store.find_wait(ALICE, "alice", CHAT) is not None


async def test_the_schedule_lives_as_long_as_the_longest(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    for number, days in enumerate([2, 5, 3]):
        await park(store, ctx(f"user-{number}"), f"k-{number}", days * DAY)
    assert 4.9 * DAY < raw.ttl(f"{namespace}:{NOTED}") <= 5 * DAY
    await park(store, ctx("for-good"), "for-good")
    assert raw.ttl(f"{namespace}:{NOTED}") == -1
    await park(store, ctx("user-9"), "k-9", 2 * DAY)
    assert raw.ttl(f"{namespace}:{NOTED}") == -1


async def test_each_session_that_is_noted_lets_two_be_checked(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis, namespace: str
) -> None:
    for number in range(6):
        who = ctx(f"gone-{number}")
        await park(store, who, f"k{number}")
        reference.clear_wait(who, CHAT)
    pass_time(raw, DAY + 1, namespace)
    for number in range(3):
        await park(store, ctx(f"new-{number}"), f"new-{number}")
        await park(store, ctx(f"new-{number}"), f"new-{number}")  # it is noted already
        assert len(noted(raw, namespace)) == 5 - number
    left = dump(raw, namespace)
    assert {name for name in left if name.startswith("own:")} == {f"own:new-{number}" for number in range(3)}
    assert not [name for name in left if "gone" in name]


@pytest.mark.parametrize("more", [0, 1], ids=["the only wait", "one of two"])
@pytest.mark.parametrize("end", ["complete", "clear", "remove", "touch", "park", "purge"])
async def test_whoever_ends_it_or_gives_it_a_lifetime_takes_it_out(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, end: str, more: int
) -> None:
    await park(store)
    if more:
        await store.register_wait(ALICE, "alice", OTHER, "k2", data(), 60)
    assert noted(raw, namespace) == {"k"}
    match end:
        case "complete":
            claim = await store.claim_wait(ALICE, "alice", CHAT)
            assert claim is not None
            await claim.complete()
        case "clear":
            await store.clear_wait(ALICE, "alice", CHAT)
        case "remove":
            await store.remove_session("k")
        case "touch":
            await store.touch("k", 60)
        case "park":
            await park(store, ttl=60)
        case _:
            await store.purge(ALICE)
    assert not raw.exists(f"{namespace}:{NOTED}")


async def test_purge_leaves_nothing_of_what_the_reference_removed(
    store: RedisSessionStore, reference: Reference, raw: redis.Redis, namespace: str
) -> None:
    await park(store)
    await store.register_wait(ALICE, "alice", OTHER, "k2", data())
    reference.clear_wait(ALICE, CHAT)
    reference.remove_session("k2")
    await store.purge(ALICE)
    assert dump(raw, namespace) == {}


async def test_programs_that_use_lifetimes_have_no_such_key(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    await park(store, ttl=60)
    await store.create_session(ALICE, data(), key="c", ttl=60)
    await store.touch("c", 120)
    claim = await store.claim_wait(ALICE, "alice", CHAT, lease=100)
    assert claim is not None
    await claim.park(OTHER, data(), ttl=60)
    assert not raw.exists(f"{namespace}:{NOTED}")


async def test_another_type_under_its_name_stops_nobody(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    raw.set(f"{namespace}:{NOTED}", "not ours")
    await park(store)
    await store.touch("k", None)
    await store.clear_wait(ALICE, "alice", CHAT)
    assert dump(raw, namespace).keys() == {NOTED}
