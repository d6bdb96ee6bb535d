"""Replies on a server: what a poll costs, that scripts come back, that every key ends by itself."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis
from redis_server import Server

from greentic_session import Claim, RedisSessionStore, Start
from greentic_session.backend import Readiness, Readying
from greentic_session.errors import ConflictError, InternalError
from greentic_session.models import ReplyScope
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, MINUTE, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

YEAR = 365 * DAY
REPLIES = ("replies", "delivered", "kept", "ready", "made")


def calls(raw: redis.Redis) -> dict[str, int]:
    stats: Any = raw.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


def kinds(raw: redis.Redis, namespace: str) -> set[str]:
    return {key.decode().removeprefix(f"{namespace}:").split(":")[0] for key in raw.scan_iter(f"{namespace}:*")}


async def spent_in_polls(store: RedisSessionStore, raw: redis.Redis, polls: int) -> dict[str, int]:
    """Return which commands so many polls of an idle `iter_ready` take."""
    ask, before, left = store.backend.claim_ready, dict[str, int](), polls + 1  # the first one sends the script

    async def poll(readying: Readying) -> Readiness:
        nonlocal left
        if left == 0:
            raise InternalError("that is enough")
        answer = await ask(readying)
        if left == polls + 1:
            before.update(calls(raw))
        left -= 1
        return answer

    vars(store.backend)["claim_ready"] = poll
    with pytest.raises(InternalError):
        await anext(store.iter_ready(poll=0.001))
    spent = {name: count - before.get(name, 0) for name, count in calls(raw).items()}
    return {name: count for name, count in spent.items() if count and name != "info"}


async def test_an_idle_poll_is_one_command(shared: Server) -> None:
    """Of `iter_ready`, and so of a Runner, however many waits there are."""
    with shared.client() as raw:
        for count in (10, 300):
            raw.flushall()
            async with RedisSessionStore.from_url(shared.url, namespace="idle") as store:
                for number in range(count):
                    who = ctx(f"user-{number}", tenant=f"tenant-{number % 5}")
                    await store.register_wait(
                        who, f"user-{number}", CHAT, f"w-{number}", data(who), DAY, on_timeout="resume"
                    )
                assert await spent_in_polls(store, raw, 10) == {"evalsha": 10, "zrange": 10, "time": 10}


async def test_plain_operations_leave_no_key_of_replies(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    await park(store)
    await park(store, "l", OTHER)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.renew(MINUTE)
    await claim.park(CHAT, data(), DAY)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    await claim.release()
    await store.touch("k", MINUTE)
    await store.clear_wait(ALICE, "alice", OTHER)
    assert not kinds(raw, namespace) & set(REPLIES)
    fields: Any = raw.hkeys(f"{namespace}:own:k")
    assert not set(fields) & {b"r", b"d", b"t", b"q", b"a", b"z", b"i", b"k", b"l", b"y"}  # nor anything in the record


async def test_a_settled_wait_takes_part_no_more(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    await park(store)
    await (await claim_answer(store)).stay()
    assert not kinds(raw, namespace) & {"replies", "kept", "delivered"}
    assert raw.hget(f"{namespace}:own:k", "r") is None
    assert raw.zcard(f"{namespace}:ready:dev:acme:ops") == 0


@pytest.mark.parametrize(
    ("lease", "ttl"), [(MINUTE, DAY), (MINUTE / 2, DAY), (MINUTE, YEAR)], ids=["same", "sooner", "longer"]
)
async def test_a_team_that_an_earlier_claim_has_named_is_met_in_time(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, advance: Callable[[float], None], lease: float, ttl: float
) -> None:
    await park(store)
    await (await claim_answer(store, lease=MINUTE)).complete()
    teams, tenants = (f"{namespace}:ready:{rest}" for rest in ("dev:acme", "tenants"))
    assert (raw.zcard(teams), raw.zcard(tenants)) == (1, 1)  # that nothing is there any more, nobody has looked
    await park(store, ttl=ttl)
    await claim_answer(store, lease=lease)
    shortest = ttl * 1000 - 60_000
    assert min(raw.pttl(key) for key in (f"{teams}:ops", teams, tenants)) > shortest
    advance(lease)
    assert (await ready(store)).attempt == 2


async def test_a_wait_that_is_parked_again_for_longer_is_ready_for_longer(
    store: RedisSessionStore, advance: Callable[[float], None]
) -> None:
    """Nobody looked for days: its entry must not end when the lifetime from before would have."""
    await park(store, ttl=MINUTE)
    await answer(store, claim=False)
    await park(store, ttl=30 * DAY)
    advance(2 * DAY)
    assert bodies((await ready(store)).replies) == ["yes"]


async def test_what_is_ready_is_not_so_since_an_earlier_wait_was(
    store: RedisSessionStore, advance: Callable[[float], None]
) -> None:
    """That one has ended unheard, and its entry is left, which says nothing of the next one."""
    await park(store, "before", ttl=MINUTE)
    await answer(store, "before", claim=False)
    advance(DAY + MINUTE)
    await park(store, ttl=30 * DAY)
    await answer(store, claim=False)
    since = (await store.backend.readiness(None)).oldest_ms
    assert since is not None
    assert since < MINUTE * 1000
    advance(2 * DAY)
    assert bodies((await ready(store)).replies) == ["yes"]


async def test_scripts_that_the_server_forgets_are_sent_again(store: RedisSessionStore, raw: redis.Redis) -> None:
    claims: list[Claim] = []

    async def deliver() -> None:
        delivery = await answer(store, "1", start=Start(data(), key="k"), delivery_id="d")
        assert delivery.claim is not None
        claims.append(delivery.claim)

    async def claim() -> None:
        claims.extend(await store.claim_ready())

    async def take() -> None:
        await claims[-1].take()

    async def release() -> None:
        await claims[-1].release()

    async def complete() -> None:
        await claims[-1].complete()

    steps: list[Callable[[], Any]] = [
        deliver,
        lambda: answer(store, "2"),
        lambda: store.inbox(ALICE, "alice", CHAT),
        take,
        release,
        claim,
        lambda: claims[-1].renew(MINUTE),
        lambda: claims[-1].stay(data(node="stayed")),
        claim,
        lambda: claims[-1].release(MINUTE),
        lambda: store.backend.retry("k"),
        claim,
        complete,
    ]
    for step in steps:
        raw.script_flush()
        await step()
    assert [bodies(claim.replies) for claim in claims] == [["1", "2"], ["1"], ["2"], ["2"]]
    assert await store.inbox(ALICE, "alice", CHAT) == []


async def all_sorts(store: RedisSessionStore) -> None:
    """Leave something of every kind, all with lifetimes."""
    await park(store, "settled", CHAT, MINUTE)
    await (await claim_answer(store, delivery_id="settled")).stay()
    await answer(store, "queued", delivery_id="queued", claim=False)
    await park(store, "due", OTHER, MINUTE, on_timeout="resume")
    await answer(store, "kept", scope=ReplyScope("kept"), delivery_id="kept", keep_for=MINUTE)
    await park(store, "worked", ReplyScope("worked"), DAY)
    await answer(store, "worked", scope=ReplyScope("worked"), delivery_id="worked")
    await park(store, "displacing", ReplyScope("worked"), MINUTE)
    await park(store, "delayed", ReplyScope("delayed"), MINUTE)
    delayed = (await answer(store, "delayed", scope=ReplyScope("delayed"))).claim
    assert delayed is not None
    await delayed.release(3 * DAY)
    await ready(store)  # leaves a note of its token
    other = ctx("bob", tenant="other", team=None)
    await store.register_wait(other, "bob", CHAT, "b", data(other), MINUTE)
    await store.deliver(other, "bob", CHAT, "x", claim=False)


async def test_a_turn_leaves_nothing_but_its_id(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    """One alone in its tenant, one with others due before, and one behind which a reply lies."""
    place = f"alice:{CHAT.scope_hash()}"
    for number in range(3):
        if number == 1:
            await park(store, "other", OTHER)
            await answer(store, scope=OTHER)  # is due by its lease
        await park(store)
        plain = set(raw.hkeys(f"{namespace}:own:k"))
        claim = await claim_answer(store, "1", delivery_id=f"d{number}", lease=2 * MINUTE)
        assert raw.zscore(f"{namespace}:ready:dev:acme:ops", place) is not None
        if number == 2:
            await answer(store, "2", claim=False)
        await claim.park(CHAT, data(), DAY)
        if number < 2:
            assert set(raw.hkeys(f"{namespace}:own:k")) <= {*plain, b"x"}
            assert raw.zscore(f"{namespace}:ready:dev:acme:ops", place) is None
            assert not raw.exists(f"{namespace}:claim:k")
            assert not raw.exists(f"{namespace}:replies:dev:acme:ops:{place}")
        assert (await answer(store, "1", delivery_id=f"d{number}")).outcome == "duplicate"
    assert bodies((await ready(store)).replies) == ["2"]


async def test_every_key_ends_by_itself(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, advance: Callable[[float], None]
) -> None:
    await all_sorts(store)
    assert kinds(raw, namespace) >= set(REPLIES)
    endless = [key for key in raw.scan_iter(f"{namespace}:*") if raw.pttl(key) == -1]
    assert endless == []
    advance(YEAR)
    assert list(raw.scan_iter(f"{namespace}:*")) == []


async def test_what_was_for_good_ends_with_its_wait(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, advance: Callable[[float], None]
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data())  # for good
    await answer(store, "1", delivery_id="d", claim=False)
    await answer(store, "2", delivery_id="e", claim=False)
    advance(YEAR)
    assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1", "2"]
    await store.remove_session("k")
    assert kinds(raw, namespace) <= {"accepted", "delivered", "ready"}
    advance(YEAR)
    assert kinds(raw, namespace) <= {"ready"}
    await store.claim_ready()
    assert list(raw.scan_iter(f"{namespace}:*")) == []


async def test_doctor_and_purge_know_all_of_it(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    await all_sorts(store)
    inspector = store.backend.inspector()
    assert inspector is not None
    assert list((await inspector.examine(lambda _: None)).findings) == []
    raw.zrem(f"{namespace}:ready:dev:acme:ops", f"alice:{CHAT.scope_hash()}")
    [finding] = (await inspector.examine(lambda _: None)).findings
    assert (finding.name, finding.fault, finding.count) == ("unready", True, 1)
    await store.purge(ctx(None, team=None))
    await store.purge(ctx(None, tenant="other", team=None))
    assert kinds(raw, namespace) <= {"accepted", "ready", "made"}
    assert await store.claim_ready() == []
    assert kinds(raw, namespace) <= {"accepted", "made"}


async def test_a_runner_that_stood_still_past_its_lease_settles_nothing(
    store: RedisSessionStore, advance: Callable[[float], None]
) -> None:
    await park(store)
    stale = await claim_answer(store, "1", lease=MINUTE)
    advance(MINUTE)
    second = await ready(store)
    assert (second.attempt, second.idempotency_key) == (2, stale.idempotency_key)
    for late in (stale.stay, stale.complete, lambda: stale.renew(MINUTE), lambda: stale.release(MINUTE), stale.take):
        with pytest.raises(ConflictError):
            await late()
    assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]
    await second.complete()


@pytest.mark.parametrize("first", ["deliver", "park"])
async def test_two_scripts_in_any_order_lose_nothing(store: RedisSessionStore, first: str) -> None:
    for number in range(20):
        scope = ReplyScope(f"chat-{number}")
        both: list[Callable[[], Any]] = [
            partial(answer, store, "yes", scope, keep_for=DAY),
            partial(park, store, f"k-{number}", scope),
        ]
        if first == "park":
            both.reverse()
        results = await asyncio.gather(*(call() for call in both))
        [delivery] = [result for result in results if result is not None]
        claim = delivery.claim or await ready(store)
        assert (claim.key, bodies(claim.replies)) == (f"k-{number}", ["yes"])
        await claim.complete()


async def test_deadlines_shorter_than_their_scripts_are_heard(store: RedisSessionStore) -> None:
    """Redis removes at once what ends while its lifetime is set."""
    count, heard = 1000, set[str]()
    people = [ctx(f"u{number}") for number in range(count)]
    calls = (
        store.register_wait(who, str(who.user_id), CHAT, f"k-{who.user_id}", data(who), 0.001, on_timeout="resume")
        for who in people
    )
    await asyncio.gather(*calls)
    while claims := await store.claim_ready(limit=100, lease=DAY):
        heard |= {claim.key for claim in claims}
    assert len(heard) == count


@pytest.mark.slow
async def test_a_step_takes_as_few_commands_with_100_000_ready_waits(shared: Server) -> None:
    """The crowd's waits are gone, as the reference leaves them, and their entries are there."""

    async def spent(work: Callable[[], Any]) -> int:
        before = calls(raw)
        await work()
        after = calls(raw)
        return sum(after[name] - before.get(name, 0) for name in after if name != "info")

    async def step(number: int) -> None:
        await park(store, f"k-{number}", ReplyScope(f"a{number}"))
        await answer(store, scope=ReplyScope(f"a{number}"), claim=False)
        claim = await ready(store, lease=MINUTE)
        assert claim.key == f"k-{number}"
        await claim.complete()

    with shared.client() as raw:
        raw.flushall()
        async with RedisSessionStore.from_url(shared.url, namespace="many") as store:
            crowd = ctx("crowd", tenant="crowd")
            await store.register_wait(crowd, "crowd", CHAT, "c", data(crowd), DAY)
            await store.deliver(crowd, "crowd", CHAT, "x", claim=False)
            await ready(store, lease=DAY)  # the crowd has had its turn
            await step(0)
            alone = await spent(partial(step, 1))
            first: Any = raw.zrange("many:ready:dev:crowd:ops", 0, 0, withscores=True)
            [(_, due)] = first
            for start in range(0, 100_000, 10_000):
                stale = {f"crowd:{number:064x}": due + number for number in range(start, start + 10_000)}
                raw.zadd("many:ready:dev:crowd:ops", stale)
            assert await spent(partial(step, 2)) < 2 * alone
            crowded = {f"crowd:{number:064x}": 1.0 + number / 10 for number in range(100_000)}  # all are due
            raw.zadd("many:ready:dev:crowd:ops", crowded)
            raw.zadd("many:ready:dev:crowd", {"ops": 1.0})
            raw.zadd("many:ready:tenants", {"dev:crowd": 1.0})
            await step(3)  # the other tenant's turn comes at once
            assert (await store.backend.readiness(None)).count >= 99_000
