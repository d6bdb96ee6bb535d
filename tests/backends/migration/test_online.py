"""Copies of replies beside runners that deliver, take, park and complete at the source."""

import asyncio
import time
from contextlib import suppress
from random import Random
from typing import Any, Literal, NamedTuple

import pytest
from cluster_servers import Cluster, slot_of
from migration_places import Stores, findings_of

from greentic_session import Claim, Start
from greentic_session.backends.migration.exported import Exported
from greentic_session.backends.migration.sides import Target
from greentic_session.errors import GreenticError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, inbox, park, ready
from greentic_session.testing._sessions.samples import CHAT, DAY, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

PEOPLE = tuple(ctx(name, tenant=tenant) for name, tenant in (("ann", "t"), ("ben", "t"), ("cem", "u"), ("dan", "u")))
PLACES = [(who, scope) for who in PEOPLE for scope in (CHAT, OTHER)]
LEASE = 600.0
HOW: tuple[Literal["forget", "resume"], ...] = ("forget", "resume")


class Turn(NamedTuple):
    """What a runner hears of a wait."""

    key: str
    scope: ReplyScope
    attempt: int
    idempotency_key: str
    """Empty for a first attempt, which has a new one."""
    timed_out: bool
    bodies: tuple[str, ...]


class Runner:
    """What runners and senders do at the source.

    Attributes:
        settled: The bodies that a verdict has settled.
    """

    def __init__(self, store: SessionStore, seed: int) -> None:
        self._store = store
        self._random = Random(seed)
        self._sent = 0
        self._seed = seed
        self.settled = set[str]()

    async def act(self) -> None:
        """Do something."""
        random, (who, scope) = self._random, self._random.choice(PLACES)
        user = who.user or ""
        with suppress(GreenticError):  # somebody else was there before
            match random.randrange(8):
                case 0 | 1 | 2:
                    self._sent += 1
                    body = f"{self._seed}-{self._sent}"
                    await self._deliver(who, scope, body, body if self._sent % 2 else None)
                case 3 | 4:
                    for claim in await self._store.claim_ready(lease=LEASE):
                        await self._end(claim, who)
                case 5:
                    claim_ = await self._store.claim_wait(who, user, scope, lease=LEASE)
                    if claim_ is not None:
                        await claim_.take(random.randrange(1, 3))
                        await self._end(claim_, who)
                case 6:
                    key = f"{user}-{random.randrange(3)}"
                    how = random.choice(HOW)
                    await self._store.register_wait(
                        who, user, scope, key, data(who), ttl=random.choice((LEASE, DAY)), on_timeout=how
                    )
                case _:
                    await self._store.touch(f"{user}-{random.randrange(3)}", ttl=DAY)

    async def _deliver(self, who: TenantCtx, scope: ReplyScope, body: str, delivery_id: str | None) -> None:
        random = self._random
        start = Start(data(who), ttl=DAY, on_timeout="resume") if random.randrange(3) == 0 else None
        keep_for = DAY if random.randrange(2) else None
        delivery = await self._store.deliver(
            who,
            who.user or "",
            scope,
            body,
            delivery_id=delivery_id,
            start=start,
            keep_for=keep_for,
            claim=random.randrange(2) == 0,
            lease=LEASE,
        )
        if delivery.claim is not None:
            await self._end(delivery.claim, who)

    async def _end(self, claim: Claim, who: TenantCtx) -> None:
        who = claim.data.tenant_ctx
        scope = self._random.choice((CHAT, OTHER))
        match self._random.randrange(6):
            case 0:
                await claim.complete()
            case 1 | 2:
                await claim.stay(data(who, snapshot="later") if self._random.randrange(2) else None)
            case 3:
                await claim.park(scope, data(who), DAY, on_timeout=self._random.choice(("forget", "resume", None)))
            case 4:
                await claim.release(self._random.choice((0, 300)))
                return
            case _:
                return  # it dies with it
        self.settled |= set(bodies(claim.replies))
        for reply in claim.leftovers:
            await self._deliver(who, reply.scope, reply.body, reply.delivery_id)  # to where the flow waits now, say


async def lying(store: SessionStore) -> dict[str, list[str]]:
    """Return what lies at each place."""
    found = dict[str, list[str]]()
    for who, scope in PLACES:
        replies = await store.inbox(who, who.user or "", scope)
        found[f"{who.user} {scope.conversation}"] = [f"{reply.body} {reply.id}" for reply in replies]
    return found


async def waiting(store: SessionStore) -> dict[str, str | None]:
    """Return what waits at each place."""
    found = dict[str, str | None]()
    for who, scope in PLACES:
        found[f"{who.user} {scope.conversation}"] = await store.find_wait_by_scope(who, who.user or "", scope)
    return found


def unlike(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what is not the same at both."""
    return {name: (theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]}


async def heard(store: SessionStore) -> list[Turn]:
    """Return all that runners hear now, each wait once."""
    turns = list[Turn]()
    while claims := await store.claim_ready(limit=20, lease=DAY):
        for claim in claims:
            await claim.take()
            key = claim.idempotency_key if claim.attempt > 1 else ""
            turns.append(Turn(claim.key, claim.scope, claim.attempt, key, claim.timed_out, tuple(bodies(claim.replies))))
    return sorted(turns, key=lambda turn: (turn.key, turn.scope.scope_hash()))


async def check_takeover(stores: Stores, settled: set[str]) -> None:
    """Check that runners hear at the target what they would have heard at the source."""
    assert unlike(await waiting(stores.source), await waiting(stores.target)) == {}
    assert unlike(await lying(stores.source), await lying(stores.target)) == {}
    await stores.later(LEASE + 1)
    theirs, ours = await heard(stores.source), await heard(stores.target)
    assert ours == theirs
    said = [body for turn in ours for body in turn.bodies]
    assert len(set(said)) == len(said)
    assert not settled & set(said)


# -- one thing at a time


async def test_what_was_worked_on_while_it_was_copied_is_not_worked_on_again(stores: Stores) -> None:
    for scope in (CHAT, OTHER):
        await park(stores.source, scope.conversation, scope)
    settled = await claim_answer(stores.source, "settled", lease=LEASE)
    released = await claim_answer(stores.source, "released", scope=OTHER, lease=LEASE)
    await stores.copy()
    await settled.stay()
    await released.release()
    await stores.copy()
    claim = await ready(stores.target)  # at once: nobody holds it any more
    assert bodies(claim.replies) == ["released"]
    assert await inbox(stores.target) == []


async def test_what_was_left_over_and_came_again_is_carried(stores: Stores) -> None:
    await park(stores.source)
    await park(stores.source, "stays", OTHER)
    claim = await claim_answer(stores.source, "1", delivery_id="1")
    await answer(stores.source, "2", delivery_id="2")
    await stores.copy()
    await claim.complete()
    assert bodies(claim.leftovers) == ["2"]
    await stores.copy()
    assert await inbox(stores.target) == []
    await answer(stores.source, "2", delivery_id="2", keep_for=DAY)
    await stores.copy()
    assert await inbox(stores.target) == ["2"]
    assert (await answer(stores.target, "1", delivery_id="1")).outcome == "duplicate"


async def test_who_takes_the_place_has_the_inbox(stores: Stores) -> None:
    await park(stores.source, "a")
    await answer(stores.source, "1", claim=False)
    await stores.copy()
    await park(stores.source, "b")  # where "a" waited
    await stores.copy()
    claim = await ready(stores.target)
    assert (claim.key, bodies(claim.replies)) == ("b", ["1"])


async def test_who_takes_the_place_behind_a_copy_has_the_inbox(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Target.write

    async def write_others(target: Target, session: Exported) -> None:
        if session.key != b"b":  # it was read before it parked, say
            await write(target, session)

    await park(stores.source, "a")
    await answer(stores.source, "1", claim=False)
    await stores.copy()
    await park(stores.source, "b")
    with monkeypatch.context() as patch:
        patch.setattr(Target, "write", write_others)
        await stores.copy()
    await stores.copy()
    claim = await ready(stores.target)
    assert (claim.key, bodies(claim.replies)) == ("b", ["1"])


async def test_a_wait_that_is_written_again_has_its_inbox(stores: Stores) -> None:
    await park(stores.source)
    await answer(stores.source, "1", delivery_id="d", claim=False)
    await stores.copy()
    await stores.source.update_session("k", data(node="later"))
    assert (await stores.copy()).copied == 1
    claim = await ready(stores.target)
    assert (claim.data.cursor.node_pointer, bodies(claim.replies)) == ("later", ["1"])


async def test_an_answer_to_the_target_keeps_its_wait(stores: Stores) -> None:
    await park(stores.source)
    await park(stores.source, "stays", OTHER)
    await stores.copy()
    await answer(stores.target, "theirs", claim=False)
    await stores.source.remove_session("k")
    assert (await stores.copy()).removed == 0
    assert bodies((await ready(stores.target)).replies) == ["theirs"]


# -- all at once


@pytest.mark.slow
@pytest.mark.parametrize("stores", ["sqlite-cluster", "server-cluster"], indirect=True)
async def test_slots_move_and_two_copies_are_made_at_once(stores: Stores, bare_cluster: Cluster) -> None:
    await stores.source.health()
    runner, is_over = Runner(stores.source, 99), False
    slots = [slot_of(":ready"), *(slot_of(f"{who.env}:{who.tenant}:{who.team}:{who.user}") for who in PEOPLE[:2])]

    def shuffle() -> None:
        for slot in slots:
            home = bare_cluster.owner(slot)
            other = next(node for node in bare_cluster.primaries if node is not home)
            bare_cluster.move(slot, other, lambda: time.sleep(0.01))
            bare_cluster.move(slot, home, lambda: time.sleep(0.01))

    async def go_on() -> None:
        while not is_over:
            await runner.act()
            await asyncio.sleep(0)

    traffic, moving = asyncio.create_task(go_on()), asyncio.create_task(asyncio.to_thread(shuffle))
    while not moving.done():
        await asyncio.gather(stores.copy_only(), stores.copy_only())
    is_over = True
    await asyncio.gather(traffic, moving)
    await stores.copy_only()
    assert [await findings_of(store) for store in (stores.source, stores.target)] == [[], []]
    await check_takeover(stores, runner.settled)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_runners_go_on_while_copies_are_made(stores: Stores, seed: int) -> None:
    await stores.source.health()  # makes a file
    runners, chance, is_over = [Runner(stores.source, 10 * seed + number) for number in range(3)], Random(seed), False

    async def go_on(runner: Runner) -> None:
        while not is_over:
            await runner.act()
            await asyncio.sleep(0)

    traffic = [asyncio.create_task(go_on(runner)) for runner in runners]
    for number in range(8):
        if number % 2:
            await stores.copy_a_part(chance.randrange(300))
        else:
            await stores.copy_only()
    is_over = True
    await asyncio.gather(*traffic)
    await stores.copy_only()
    assert [await findings_of(store) for store in (stores.source, stores.target)] == [[], []]
    settled = set[str]().union(*(runner.settled for runner in runners))
    await check_takeover(stores, settled)
