"""Copies carry inboxes, remembered ids, deadlines, attempts and what is put off."""

from random import Random

import pytest
from migration_places import Stores

from greentic_session import ReplyScope, Start
from greentic_session.claim import Claim
from greentic_session.testing import later
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, inbox, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, MINUTE, OTHER, data

pytestmark = pytest.mark.asyncio


async def test_an_inbox_is_carried_in_its_order(stores: Stores) -> None:
    await park(stores.source)
    for number in range(7):
        await answer(stores.source, f"answer {number}", delivery_id=str(number), sender="bob", claim=False)
    report = await stores.copy()
    assert (report.copied, report.replies) == (1, 7)
    assert await stores.target.inbox(ALICE, "alice", CHAT) == await stores.source.inbox(ALICE, "alice", CHAT)
    again = await answer(stores.target, "other", delivery_id="3", claim=False)
    assert (again.outcome, again.reply and again.reply.body) == ("queued", "answer 3")
    claim = await ready(stores.target)
    assert bodies((*claim.replies, *await claim.take())) == [f"answer {number}" for number in range(7)]
    await claim.stay()
    assert (await answer(stores.target, delivery_id="3")).outcome == "duplicate"


async def test_a_copy_that_is_repeated_changes_nothing(stores: Stores) -> None:
    await park(stores.source, ttl=3600, on_timeout="resume")
    await answer(stores.source, "1", claim=False)
    await answer(stores.source, "early", scope=OTHER, keep_for=DAY)
    await stores.copy()
    for _ in range(2):
        report = await stores.copy()
        assert (report.copied, report.kept, report.unchanged, report.replies, report.removed) == (0, 0, 1, 0, 0)
    assert (await inbox(stores.target), await inbox(stores.target, OTHER)) == (["1"], ["early"])


async def test_attempts_and_keys_go_on(stores: Stores) -> None:
    await park(stores.source)
    first = await claim_answer(stores.source)
    await first.release(MINUTE)
    await stores.copy()
    assert await stores.target.claim_ready() == []  # it is put off there, too
    assert (await answer(stores.target, "2")).outcome == "queued"
    await stores.later(MINUTE)
    second = await ready(stores.target)
    assert (second.attempt, second.idempotency_key) == (2, first.idempotency_key)
    assert bodies(second.replies) == ["yes"]


async def test_a_claim_holds_there_what_it_holds(stores: Stores) -> None:
    await park(stores.source)
    claim = await claim_answer(stores.source, "1", lease=600)
    await answer(stores.source, "2")
    await stores.copy()
    assert await stores.target.claim_ready() == []
    assert (await answer(stores.target, "3")).outcome == "queued"
    await stores.later(601)
    again = await ready(stores.target)
    assert (again.attempt, again.idempotency_key) == (2, claim.idempotency_key)
    assert bodies(again.replies) == ["1"]
    await again.stay()
    assert await inbox(stores.target) == ["2", "3"]


async def test_deadlines_are_heard_there(stores: Stores) -> None:
    await park(stores.source, ttl=3600, on_timeout="resume")
    await park(stores.source, "passed", OTHER, ttl=60, on_timeout="resume")
    await later(stores.source, 61)
    heard = await ready(stores.source, lease=30)
    await stores.copy()
    assert await stores.target.claim_ready() == []
    await stores.later(31)
    [again] = await stores.target.claim_ready(limit=9)
    assert (again.key, again.timed_out, again.attempt) == ("passed", True, 2)
    assert again.idempotency_key == heard.idempotency_key
    await again.complete()
    await stores.later(3600)
    claim = await ready(stores.target)
    assert (claim.key, claim.timed_out, claim.attempt) == ("k", True, 1)


async def test_what_is_new_is_new_there(stores: Stores) -> None:
    await answer(stores.source, start=Start(data(), key="begun"), claim=False)
    await stores.copy()
    claim = await ready(stores.target)
    assert (claim.key, claim.is_new) == ("begun", True)


async def test_a_kept_reply_waits_there(stores: Stores) -> None:
    await answer(stores.source, "early", keep_for=3600, delivery_id="d")
    await answer(stores.source, "gone", scope=OTHER, keep_for=60)
    await stores.copy()
    await stores.later(61)
    assert (await inbox(stores.target), await inbox(stores.target, OTHER)) == (["early"], [])
    await park(stores.target)
    assert bodies((await ready(stores.target)).replies) == ["early"]
    await stores.later(3600)
    assert await inbox(stores.target) == ["early"]


async def test_ids_that_were_settled_are_remembered_there(stores: Stores) -> None:
    await park(stores.source)
    await (await claim_answer(stores.source, delivery_id="d")).complete()
    await park(stores.source, ttl=2 * DAY)
    await stores.copy()
    assert (await answer(stores.target, delivery_id="d")).outcome == "duplicate"
    await stores.later(DAY)
    assert (await answer(stores.target, delivery_id="d")).outcome == "claimed"


async def test_what_either_side_did_since_is_respected(stores: Stores) -> None:
    await park(stores.source)
    await park(stores.source, "l", OTHER)
    for scope in (CHAT, OTHER):
        for number in range(3):
            await answer(stores.source, str(number), scope=scope, delivery_id=str(number), claim=False)
    await stores.copy()
    await settle_one(await stores.source.claim_wait(ALICE, "alice", OTHER))
    await settle_one(await stores.target.claim_wait(ALICE, "alice", CHAT))
    await answer(stores.source, "new", claim=False)
    report = await stores.copy()
    assert report.replies == 1
    assert await inbox(stores.target) == ["1", "2", "new"]  # what was settled there does not come back
    assert await inbox(stores.target, OTHER) == ["1", "2"]  # what was settled where it came from goes
    assert (await answer(stores.target, scope=OTHER, delivery_id="0")).outcome == "duplicate"


async def settle_one(claim: Claim | None) -> None:
    """Settle the oldest reply."""
    assert claim is not None
    assert len(await claim.take(1)) == 1
    await claim.stay()


async def test_what_the_target_has_accepted_itself_comes_once(stores: Stores) -> None:
    for store in (stores.source, stores.target):
        await park(store)
        await answer(store, delivery_id="d", claim=False)
    await stores.copy()
    assert await inbox(stores.target) == ["yes"]


async def test_a_wait_of_the_targets_own_has_what_is_copied_to_its_place(stores: Stores) -> None:
    await answer(stores.source, "early", keep_for=3600)
    await park(stores.target)
    await stores.copy()
    assert bodies((await ready(stores.target)).replies) == ["early"]


async def test_a_session_that_moves_meanwhile(stores: Stores) -> None:
    await park(stores.source)
    await answer(stores.source, "1", claim=False)
    await stores.copy()
    await park(stores.source, scope=OTHER)
    await answer(stores.source, "2", scope=OTHER, claim=False)
    await stores.copy()
    assert (await inbox(stores.target), await inbox(stores.target, OTHER)) == ([], ["2"])
    assert (await ready(stores.target)).scope == OTHER


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_copies_that_are_interrupted_lose_nothing_and_double_nothing(stores: Stores, seed: int) -> None:
    random = Random(seed)
    named, accepted, settled = set[str](), dict[str, ReplyScope](), {stores.source: set[str](), stores.target: set[str]()}
    await park(stores.source, ttl=DAY)
    await park(stores.source, "l", OTHER, ttl=DAY, on_timeout="resume")
    for number in range(60):
        match random.choice(("answer", "answer", "settle", "settle", "copy")):
            case "answer":
                body, scope = f"answer {number}", random.choice((CHAT, OTHER))
                delivery_id = body if number % 2 else None  # without one, only its own id tells that it came before
                await answer(stores.source, body, scope=scope, delivery_id=delivery_id, claim=False)
                named |= {body} if delivery_id else set()
                accepted[body] = scope
            case "settle":
                store = random.choice((stores.source, stores.target))
                for claim in await store.claim_ready():
                    [body] = bodies(claim.replies)
                    assert body not in settled[store]
                    settled[store].add(body)
                    await claim.stay()
            case _:
                await stores.copy_a_part(random.randrange(400))
    await stores.copy()
    lying = await inbox(stores.target) + await inbox(stores.target, OTHER)
    await stores.copy()
    assert await inbox(stores.target) + await inbox(stores.target, OTHER) == lying
    gone = settled[stores.source] | settled[stores.target]
    assert sorted(lying) == sorted(accepted.keys() - gone)
    for body in gone & named:
        again = await answer(stores.target, body, scope=accepted[body], delivery_id=body, claim=False)
        assert again.outcome == "duplicate"
