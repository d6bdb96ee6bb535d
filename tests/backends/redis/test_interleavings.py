"""Links between slots of a cluster: every order of the server steps of clients.

Owner pointers lead from a session key to its session, entries of the index to what is ready. Two
slots cannot be changed in one step, so what must hold is held against every order of the steps of
several clients, and every point where one of them dies.

The first seven steps are in every order: some 19,200 orders of steps in nine scenes of entries,
1,000 in five of copies from another store, and 6,100 in five of owner pointers; `-rP` shows how
many there were in each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import pytest
import redis
from races.interleavings import NAMESPACE, Race, Work, run_alone
from redis_server import Server

from greentic_session import Claim, Reply, SessionStore, Start
from greentic_session.backends.migration.exported import Exported, ExportedInbox, ExportedReply, ExportedTurn
from greentic_session.backends.migration.redis_sessions import RedisTarget
from greentic_session.backends.migration.redis_side import ClusterSide
from greentic_session.backends.migration.report import Report
from greentic_session.backends.redis.cluster import RedisClusterBackend
from greentic_session.backends.redis.keys import owner_text
from greentic_session.errors import ConflictError, NotFoundError, TenantMismatchError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, OTHER, ctx, data

pytestmark = pytest.mark.asyncio  # an operation asks the loop for the time; it is driven by hand

NEAR_MS = 2
"""How much later an entry may be due than what it tells of: what is written is rounded."""
BOB = ctx("bob")
PEOPLE = (ALICE, BOB)

# When the first place of a user is due, and when the entry of the user is.
TOLD = """
local told = {}
for _, tag in ipairs(ARGV) do
  local team, user = tag:match('^(.*):([^:]*)$')
  told[#told + 1] = redis.call('ZRANGE', KEYS[1] .. ':{' .. tag .. '}:ready:' .. team, 0, 0, 'WITHSCORES')[2] or 'inf'
  told[#told + 1] = redis.call('ZSCORE', KEYS[1] .. ':{:ready}:ready:' .. team, user) or 'inf'
end
local time = redis.call('TIME')
told[#told + 1] = string.format('%.3f', time[1] * 1000 + time[2] / 1000)
return told
"""


@pytest.fixture
def raw(shared: Server) -> Iterator[redis.Redis]:
    with shared.client() as client:
        yield client


def tag(who: TenantCtx) -> str:
    return f"{who.env}:{who.tenant}:{who.team}:{who.user}"


def told(raw: redis.Redis) -> list[tuple[float, float]]:
    """Return when something of each user is due, now at the earliest, and when the entry is."""
    found = raw.eval(TOLD, 1, NAMESPACE, *map(tag, PEOPLE))
    *moments, now = [float(each) for each in found]
    return [(max(due, now), named) for due, named in zip(moments[::2], moments[1::2], strict=True)]


def check_never_too_little(raw: redis.Redis) -> None:
    for due, named in told(raw):
        assert named <= due + NEAR_MS, f"something is due at {due}, its entry at {named}"


def check_all_is_found(raw: redis.Redis, dead: frozenset[int]) -> None:
    """Check that lookers find all that is ready, whoever has died."""
    del dead

    async def look(store: SessionStore) -> list[Claim]:
        return await store.claim_ready(limit=10, lease=DAY)

    run_alone(raw, look)
    now = raw.time()[0] * 1000
    assert all(due > now + DAY * 500 for due, _ in told(raw)), "something is ready, and nobody finds it"
    check_never_too_little(raw)


# -- what clients do


def park(who: TenantCtx, key: str, scope: ReplyScope = CHAT) -> Work:
    return lambda store: store.register_wait(who, who.user or "", scope, key, data(who), ttl=DAY)


def deliver(who: TenantCtx, *, claim: bool = False, scope: ReplyScope = CHAT) -> Work:
    return lambda store: store.deliver(who, who.user or "", scope, "yes", claim=claim, lease=DAY)


def look(limit: int = 1) -> Work:
    return lambda store: store.claim_ready(limit=limit, lease=DAY)


def answer_and(finish: Callable[[Claim], Awaitable[object]]) -> Work:
    """Deliver and claim, then finish by a verdict or without one."""

    async def work(store: SessionStore) -> None:
        delivery = await store.deliver(ALICE, "alice", CHAT, "yes", lease=DAY)
        if delivery.claim is not None:
            await finish(delivery.claim)

    return work


def begin_with(raw: redis.Redis, works: Sequence[Work]) -> Callable[[], None]:
    def prepare() -> None:
        for work in works:
            run_alone(raw, work)

    return prepare


PARKED = (park(ALICE, "a"), park(BOB, "b"), park(ALICE, "o", OTHER))
READY = (*PARKED, deliver(ALICE))


async def stale(store: SessionStore) -> None:
    """Leave an entry that is due, and leads to nothing."""
    await store.deliver(ALICE, "alice", CHAT, "yes", claim=False)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.take()
    await claim.stay()


STALE = (*PARKED, stale)

SCENES: dict[str, tuple[Sequence[Work], Sequence[Work]]] = {
    "two write one entry, and one looks": (PARKED, (deliver(ALICE), look(), deliver(ALICE, scope=OTHER))),
    "one writes over what a looker finds empty": (STALE, (deliver(ALICE), look())),
    "two write over what a looker finds empty": (STALE, (deliver(ALICE), look(), deliver(ALICE, scope=OTHER))),
    "another slot's is written meanwhile": (STALE, (deliver(ALICE), look(), deliver(BOB))),
    "two look at what is ready": (READY, (look(), look(), deliver(ALICE, scope=OTHER))),
    "two look at what is empty": (STALE, (look(), look(), deliver(ALICE))),
    "a claim ends while one looks": (PARKED, (answer_and(lambda claim: claim.release()), look(), deliver(ALICE))),
    "a claim is put off while one looks": (READY, (answer_and(lambda claim: claim.release(DAY)), look())),
    "a claim is settled while one writes": (PARKED, (answer_and(lambda claim: claim.complete()), look(), deliver(ALICE))),
}


@pytest.mark.parametrize("scene", ["one writes over what a looker finds empty"])
async def test_an_entry_is_never_too_little(raw: redis.Redis, scene: str) -> None:
    assert explore_scene(raw, scene) > 50


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
async def test_entries_are_never_too_little(
    raw: redis.Redis, scene: str, record_property: Callable[[str, object], None]
) -> None:
    seen = explore_scene(raw, scene)
    record_property("interleavings", seen)
    print(f"{seen} interleavings")  # noqa: T201  # shown with -rP


def explore_scene(raw: redis.Redis, scene: str) -> int:
    before, works = SCENES[scene]
    check = partial(check_never_too_little, raw)
    return Race(raw, begin_with(raw, before), works, check, partial(check_all_is_found, raw)).explore()


# -- a copy from another store


def copy(who: TenantCtx, *, text: str = "", scope: ReplyScope = CHAT) -> Work:
    """Copy a wait whose deadline has passed, and a reply to it."""
    owner, key, at = (who.env, who.tenant, who.team, who.user), f"copied by {who.user}", msgspec.json.encode(scope)
    turn = ExportedTurn(0, 32 * 86_400_000, resume=True, put_off=None, is_new=False, about="", failed=0, key="")

    async def work(store: SessionStore) -> None:
        backend = store.backend
        assert isinstance(backend, RedisClusterBackend)
        side = ClusterSide("steps", backend.client, NAMESPACE)
        target, seen = RedisTarget(side, "0123456789abcdef", Report()), asyncio.get_running_loop().time()
        session = Exported(
            believed=False, seen=seen, key=key.encode(), text=data(who, snapshot=text).to_json(), ttl=32 * 86_400_000,
            owner=owner_text(owner).encode(), scope_hash=scope.scope_hash().encode(), scope=at, latest=b"", unseen=b"",
            claim=b"", lease=0, turn=turn,
        )  # fmt: skip
        await target.put(session)
        reply = ExportedReply(
            id="0" * 32, scope=at, delivery_id="d", sender=None, size=3, accepted=0, told=0, keep=None, token="", held=0,
            body=b"yes",
        )  # fmt: skip
        await target.replies.put_inbox(ExportedInbox(seen, session.owner, at, (reply,)))

    return work


COPY_SCENES: dict[str, tuple[Sequence[Work], Sequence[Work]]] = {
    "a copy, and one looks": ((), (copy(ALICE), look())),
    "a copy beside what a looker finds empty": (STALE, (copy(ALICE, scope=OTHER), look())),
    "two copies at once": ((), (copy(ALICE), copy(ALICE))),
    "a copy while another writes": (PARKED, (copy(ALICE), deliver(ALICE, scope=OTHER))),
    "a later copy while its reply is taken": ((copy(ALICE),), (copy(ALICE, text='"later"'), look())),
}


@pytest.mark.slow
@pytest.mark.parametrize("scene", COPY_SCENES)
async def test_a_copy_is_found_whoever_dies(raw: redis.Redis, scene: str) -> None:
    before, works = COPY_SCENES[scene]

    async def lying(store: SessionStore) -> list[Reply]:
        return [*await store.inbox(ALICE, "alice", CHAT), *await store.inbox(ALICE, "alice", OTHER)]

    def conclude(dead: frozenset[int]) -> None:
        run_alone(raw, works[0])  # it is made again
        check_all_is_found(raw, dead)
        check_pointer(raw, "copied by alice")
        replies = run_alone(raw, lying)
        assert isinstance(replies, list)
        assert [reply.id for reply in replies].count("0" * 32) == 1

    seen = Race(raw, begin_with(raw, before), works, partial(check_never_too_little, raw), conclude).explore()
    print(f"{seen} interleavings")  # noqa: T201  # shown with -rP


# -- owner pointers


def check_pointer(raw: redis.Redis, key: str = "k") -> None:
    """Check that at most one user has a session under a key, and that its pointer leads there."""
    living = [each for each in map(tag, PEOPLE) if raw.exists(f"{NAMESPACE}:{{{each}}}:session:{key}")]
    assert len(living) <= 1, "two users have a session under one key"
    for each in living:
        pointer = raw.get(f"{NAMESPACE}:owner:{key}")
        assert isinstance(pointer, bytes)
        assert pointer.decode().partition(" ")[2] == each, "the pointer leads elsewhere"


def check_key_is_free(raw: redis.Redis, dead: frozenset[int]) -> None:
    """Check that whoever comes later can have the key, or removes who has it, whoever has died."""
    del dead

    async def come(store: SessionStore) -> None:
        with suppress(NotFoundError):
            await store.remove_session("k")
        await store.register_wait(BOB, "bob", CHAT, "k", data(BOB), ttl=DAY)
        found = await store.get_session("k")
        assert found is not None
        assert found.tenant_ctx.user_id == "bob"

    run_alone(raw, come)
    check_pointer(raw)


def trying(work: Work) -> Work:
    """Return work that may be refused, for somebody else has the key."""

    async def run(store: SessionStore) -> None:
        with suppress(ConflictError, NotFoundError, TenantMismatchError):
            await work(store)

    return run


def begin_at(who: TenantCtx) -> Work:
    return lambda store: store.deliver(who, who.user or "", OTHER, "yes", start=Start(data(who), key="k", ttl=DAY))


def create(who: TenantCtx) -> Work:
    return lambda store: store.create_session(who, data(who), key="k", ttl=DAY)


def remove(store: SessionStore) -> Coroutine[Any, Any, object]:
    return store.remove_session("k")


POINTER_SCENES: dict[str, tuple[Sequence[Work], Sequence[Work]]] = {
    "two users want one key": ((), (park(ALICE, "k"), park(BOB, "k"))),
    "two users create": ((), (create(ALICE), create(BOB), remove)),
    "a removal, and two who want the key": (
        (park(ALICE, "k"),),
        (remove, park(BOB, "k"), park(ALICE, "k")),
    ),
    "a session is removed twice": ((park(ALICE, "k"),), (remove, remove, park(BOB, "k"))),
    "a delivery begins what another user begins": ((), (begin_at(ALICE), begin_at(BOB))),
}


@pytest.mark.parametrize("scene", ["two users want one key"])
async def test_a_pointer_leads_to_its_session(raw: redis.Redis, scene: str) -> None:
    assert explore_pointers(raw, scene) > 50


@pytest.mark.slow
@pytest.mark.parametrize("scene", POINTER_SCENES)
async def test_pointers_lead_to_their_sessions(raw: redis.Redis, scene: str) -> None:
    print(f"{explore_pointers(raw, scene)} interleavings")  # noqa: T201  # shown with -rP


def explore_pointers(raw: redis.Redis, scene: str) -> int:
    before, works = POINTER_SCENES[scene]
    check, conclude = partial(check_pointer, raw), partial(check_key_is_free, raw)
    return Race(raw, begin_with(raw, before), [trying(work) for work in works], check, conclude).explore()
