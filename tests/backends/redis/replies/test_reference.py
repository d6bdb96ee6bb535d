"""Replies at waits that the reference's plain commands park, move, clear and write over."""

from collections.abc import Callable

import pytest
from redis_invariants import dump
from reference_fleet import Reference

from greentic_session import RedisSessionStore
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, MINUTE, OTHER, data

pytestmark = pytest.mark.asyncio

HOUR_MS = 3_600_000


async def test_a_wait_of_the_reference_is_answered(store: RedisSessionStore, reference: Reference) -> None:
    reference.register_wait(CHAT, "k", data(), HOUR_MS)
    claim = await claim_answer(store, "1")
    assert (claim.key, claim.scope, bodies(claim.replies)) == ("k", CHAT, ["1"])
    assert (await answer(store, "2")).outcome == "queued"
    await claim.stay()
    again = await ready(store)
    assert bodies(again.replies) == ["2"]
    await again.complete()
    assert reference.find_wait_by_scope(ALICE, CHAT) is None
    assert await store.inbox(ALICE, "alice", CHAT) == []


async def test_a_wait_of_the_reference_takes_what_was_kept(store: RedisSessionStore, reference: Reference) -> None:
    await answer(store, "early", keep_for=DAY)
    reference.register_wait(CHAT, "k", data(), HOUR_MS)
    claim = await store.claim_wait(ALICE, "alice", CHAT)  # the next operation there
    assert claim is not None
    assert bodies(await claim.take()) == ["early"]
    await claim.complete()
    assert await store.inbox(ALICE, "alice", CHAT) == []


@pytest.mark.parametrize("taken_up", ["claimed", "parked"])
async def test_a_session_key_that_the_reference_uses_again_takes_what_was_kept(
    store: RedisSessionStore, reference: Reference, taken_up: str
) -> None:
    """What we know of the session from before says nothing of what lies there now."""
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    reference.clear_wait(ALICE, CHAT)
    await answer(store, "early", keep_for=DAY)
    reference.register_wait(CHAT, "k", data(node="theirs"))
    if taken_up == "claimed":
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.release()
    else:
        await park(store)
    assert bodies((await ready(store)).replies) == ["early"]


async def test_an_answer_finds_what_was_kept_before_it(store: RedisSessionStore, reference: Reference) -> None:
    await answer(store, "early", keep_for=DAY)
    reference.register_wait(CHAT, "k", data())
    claim = await claim_answer(store, "late")
    assert bodies(claim.replies) == ["early"]
    assert bodies(await claim.take()) == ["late"]


async def test_what_the_reference_clears_is_noticed(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    await answer(store, "1", delivery_id="d", claim=False)
    reference.clear_wait(ALICE, CHAT)
    assert await store.claim_ready() == []
    assert await store.inbox(ALICE, "alice", CHAT) == []
    assert (await answer(store, "1", delivery_id="d")).outcome == "duplicate"  # as after clear_wait: its id stays
    await park(store)
    assert await store.claim_ready() == []


async def test_what_the_reference_clears_while_it_is_worked_on(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    claim = await claim_answer(store)
    reference.clear_wait(ALICE, CHAT)
    await park(store, "newer")
    assert await store.claim_ready() == []
    with pytest.raises(Exception, match="claim"):
        await claim.stay()
    assert (await answer(store, "next")).outcome == "claimed"


async def test_what_the_reference_parks_has_no_deadline(
    store: RedisSessionStore, reference: Reference, advance: Callable[[float], None]
) -> None:
    await park(store, ttl=MINUTE, on_timeout="resume")
    reference.register_wait(CHAT, "k", data(node="theirs"), HOUR_MS)
    advance(2 * MINUTE)
    assert await store.claim_ready() == []
    claim = await claim_answer(store)
    assert (claim.data, claim.timed_out, claim.deadline) == (data(node="theirs"), False, None)
    await claim.stay()
    assert await store.claim_ready() == []


async def test_a_plain_claim_on_what_the_reference_parked_over_ours_has_no_deadline(
    store: RedisSessionStore, reference: Reference
) -> None:
    await park(store, ttl=DAY)
    reference.register_wait(CHAT, "k", data(node="theirs"), HOUR_MS)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    assert (claim.data, claim.deadline) == (data(node="theirs"), None)


async def test_a_claim_keeps_the_scope_of_a_wait_whose_lifetime_was_brought_back(
    store: RedisSessionStore, reference: Reference, advance: Callable[[float], None]
) -> None:
    """The reference has parked it for a minute, and an update of it has taken even that."""
    await park(store, ttl=DAY)
    reference.register_wait(CHAT, "k", data(node="theirs"), int(MINUTE * 1000))
    reference.update_session("k", data(node="updated"))
    await store.find_wait(ALICE, "alice", CHAT)
    claim = await store.claim_wait(ALICE, "alice", CHAT, lease=5 * MINUTE)
    assert claim is not None
    advance(2 * MINUTE)
    assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
    await claim.complete()
    assert reference.led_to(reference.scope_key(ALICE, CHAT)) is None


async def test_another_wait_of_the_reference_has_the_inbox(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    await answer(store, "1", claim=False)
    reference.register_wait(CHAT, "theirs", data(node="theirs"), HOUR_MS)
    claim = await ready(store)
    assert (claim.key, bodies(claim.replies)) == ("theirs", ["1"])


async def test_a_wait_that_the_reference_moves_leaves_its_inbox(store: RedisSessionStore, reference: Reference) -> None:
    await park(store, ttl=MINUTE, on_timeout="resume")
    await answer(store, "1", claim=False)
    reference.register_wait(OTHER, "k", data(node="moved"), HOUR_MS)
    reference.raw.delete(reference.scope_key(ALICE, CHAT))
    assert await store.claim_ready() == []
    claim = await claim_answer(store, "2", scope=OTHER)
    assert (claim.key, claim.data, claim.is_new) == ("k", data(node="moved"), False)
    await claim.complete()


async def test_an_update_of_the_reference_changes_nothing_of_a_turn(
    store: RedisSessionStore, reference: Reference, advance: Callable[[float], None]
) -> None:
    await park(store, ttl=MINUTE, on_timeout="resume")
    reference.update_session("k", data(node="updated"))  # its lifetime is lost
    advance(MINUTE)
    claim = await ready(store)
    assert (claim.timed_out, claim.data) == (True, data(node="updated"))
    reference.update_session("k", data(node="again"))
    advance(MINUTE)
    again = await ready(store)
    assert (again.timed_out, again.attempt, again.data) == (True, 2, data(node="again"))
    await again.complete()
    assert reference.get_session("k") is None


async def test_a_corrupt_session_rests_and_others_go_on(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    await answer(store, "1", claim=False)
    await park(store, "l", OTHER)
    await answer(store, "2", scope=OTHER, claim=False)
    reference.raw.set(reference.session_key("k"), "no session", keepttl=True)
    claims = await store.claim_ready(limit=5)
    assert [claim.key for claim in claims] == ["l"]
    assert await store.claim_ready() == []
    assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]
    assert (await answer(store, "3")).outcome == "queued"
    await store.clear_wait(ALICE, "alice", CHAT)
    assert await store.inbox(ALICE, "alice", CHAT) == []


async def test_a_corrupt_session_that_is_free_queues(store: RedisSessionStore, reference: Reference) -> None:
    await park(store)
    reference.raw.set(reference.session_key("k"), data().to_json()[:-2], keepttl=True)
    delivery = await answer(store, "1")
    assert (delivery.outcome, delivery.claim) == ("queued", None)
    assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]


async def test_what_lies_at_a_wait_for_good_that_the_reference_clears_ends(
    store: RedisSessionStore, reference: Reference, advance: Callable[[float], None]
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    await answer(store, "1", delivery_id="d", claim=False)
    reference.clear_wait(ALICE, CHAT)
    for number in range(3):  # whoever notes such a session checks those that are due, a day later
        advance(DAY + MINUTE)
        await store.register_wait(ALICE, "alice", OTHER, f"l-{number}", data())
    left = dump(reference.raw, reference.namespace)
    assert [name for name in left if name.startswith(("replies:", "delivered:", "kept:"))] == []
    assert await store.claim_ready() == []
