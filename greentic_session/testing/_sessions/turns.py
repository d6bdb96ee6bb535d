"""Turns: attempts, verdicts, what a claim holds, and what is left when a wait leaves its place."""

import pytest

from greentic_session.errors import ConflictError, InvalidInputError, TenantMismatchError
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .calls import answer, bodies, claim_answer, park, ready
from .samples import ALICE, CHAT, DAY, MINUTE, OTHER, MakeStore, Time, ctx, data

__all__ = ["TurnsContract"]


class TurnsContract:
    """Claims that hold replies."""

    # -- attempts

    async def test_a_burst_is_worked_on_in_order(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        for body in ("2", "3"):
            await answer(store, body)
        keys = {claim.idempotency_key}
        await claim.stay(data(node="1"))
        for body in ("2", "3"):
            claim = await ready(store)
            assert (bodies(claim.replies), claim.attempt) == ([body], 1)
            keys.add(claim.idempotency_key)
            await claim.stay(data(node=body))
        assert len(keys) == 3
        assert await store.claim_ready() == []
        assert await store.get_session("k") == data(node="3")

    async def test_an_attempt_that_is_put_off_counts(self, store: SessionStore, time: Time) -> None:
        await park(store)
        first = await claim_answer(store)
        await first.release(time.moment)
        assert await store.claim_ready() == []
        await time.wait_out(time.moment)
        second = await ready(store)
        assert (second.attempt, second.idempotency_key) == (2, first.idempotency_key)
        assert second.replies == first.replies

    async def test_an_attempt_that_ends_by_its_lease_counts(self, store: SessionStore, time: Time) -> None:
        await park(store)
        first = await claim_answer(store, lease=time.moment)
        await time.wait_out(time.moment)
        second = await ready(store, lease=time.moment)
        assert (second.attempt, second.idempotency_key, second.replies) == (2, first.idempotency_key, first.replies)
        for call in (first.stay(), first.take(), first.complete(), first.release(MINUTE)):
            with pytest.raises(ConflictError):
                await call
        await time.wait_out(time.moment)
        assert (await claim_answer(store, "2")).attempt == 3  # of the oldest, which it holds

    async def test_an_attempt_that_is_given_back_does_not_count(self, store: SessionStore) -> None:
        await park(store)
        first = await claim_answer(store)
        await first.release()
        second = await ready(store)
        assert (second.attempt, second.idempotency_key) == (1, first.idempotency_key)

    async def test_each_attempt_begins_with_what_the_first_began_with(self, store: SessionStore, time: Time) -> None:
        await park(store)
        first = await claim_answer(store, "1")
        await answer(store, "2")
        assert bodies(await first.take()) == ["2"]
        await first.release(time.moment)
        await time.wait_out(time.moment)
        second = await ready(store)
        assert (bodies(second.replies), second.attempt) == (["1"], 2)
        assert second.idempotency_key == first.idempotency_key

    async def test_a_verdict_begins_a_new_turn(self, store: SessionStore) -> None:
        await park(store)
        first = await claim_answer(store, "1")
        await answer(store, "2")
        await first.park(CHAT, data(node="next"))
        second = await ready(store)
        assert (second.attempt, bodies(second.replies), second.data) == (1, ["2"], data(node="next"))
        assert second.idempotency_key != first.idempotency_key

    async def test_a_plain_claim_joins_an_open_turn(self, store: SessionStore, time: Time) -> None:
        await park(store)
        first = await claim_answer(store)
        await first.release(time.moment)
        joined = await store.claim_wait(ALICE, "alice", CHAT)  # which does not look at the delay
        assert joined is not None
        assert (joined.attempt, joined.idempotency_key, joined.replies) == (2, first.idempotency_key, ())
        await joined.release()
        await time.wait_out(time.moment)
        assert (await ready(store)).attempt == 2

    async def test_a_plain_claim_without_a_turn(self, store: SessionStore, time: Time) -> None:
        await park(store)
        plain = await store.claim_wait(ALICE, "alice", CHAT, lease=time.moment)
        assert plain is not None
        assert plain.attempt == 1
        assert plain.idempotency_key
        await answer(store)
        await time.wait_out(time.moment)
        claim = await ready(store)
        assert claim.attempt == 1
        assert claim.idempotency_key != plain.idempotency_key  # it was not stored

    async def test_take_stores_the_key_of_a_plain_claim(self, store: SessionStore, time: Time) -> None:
        await park(store)
        plain = await store.claim_wait(ALICE, "alice", CHAT, lease=time.moment)
        assert plain is not None
        await answer(store)
        assert bodies(await plain.take()) == ["yes"]
        await time.wait_out(time.moment)
        claim = await ready(store)
        assert (claim.attempt, claim.idempotency_key) == (2, plain.idempotency_key)

    # -- what is held

    async def test_take_holds_what_nobody_holds(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        for body in "234":
            await answer(store, body)
        assert bodies(await claim.take(2)) == ["2", "3"]
        assert bodies(claim.replies) == ["1", "2", "3"]
        assert claim.reply == claim.replies[0]
        assert bodies(await claim.take()) == ["4"]
        assert await claim.take() == ()
        for limit in (0, -1):
            with pytest.raises(InvalidInputError):
                await claim.take(limit)
        await claim.stay()
        assert await store.inbox(ALICE, "alice", CHAT) == []

    async def test_a_plain_claim_settles_what_it_took(self, store: SessionStore) -> None:
        await park(store)
        await answer(store, "1", claim=False)
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        assert bodies(await claim.take()) == ["1"]
        await answer(store, "2")
        await claim.park(CHAT, data())
        assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["2"]

    async def test_a_plain_claim_holds_nothing_until_it_takes(self, store: SessionStore) -> None:
        await park(store)
        await answer(store, "1", claim=False)
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.park(CHAT, data())
        assert bodies((await ready(store)).replies) == ["1"]

    async def test_two_claims_of_one_place_hold_what_each_took(self, store: SessionStore) -> None:
        await park(store)
        old = await claim_answer(store, "1")
        await park(store, "newer")
        await answer(store, "2")
        new = await store.claim_wait(ALICE, "alice", CHAT)
        assert new is not None
        assert new.key == "newer"
        assert bodies(await new.take()) == ["2"]
        assert await old.take() == ()  # it was displaced: nothing lies at its place
        await new.stay()
        assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]
        await old.complete()
        assert await store.inbox(ALICE, "alice", CHAT) == []
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "newer"

    # -- stay

    async def test_stay_leaves_the_wait_as_it_is(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)
        left = await store.remaining_ttl("k")
        await claim.stay()
        for call in (claim.stay(), claim.complete(), claim.take()):
            with pytest.raises(ConflictError):
                await call
        assert claim.leftovers == ()
        again = await claim_answer(store)
        assert (again.key, again.data, again.scope) == ("k", data(node="k"), CHAT)
        assert again.deadline is not None
        assert claim.deadline == again.deadline
        assert left is not None

    async def test_stay_with_data(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)
        with pytest.raises(TenantMismatchError):
            await claim.stay(data(ctx("bob")))
        with pytest.raises(InvalidInputError):
            await claim.stay(data(ctx(None)))
        await claim.stay(data(node="b"))
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert found.data == data(node="b")

    async def test_a_displaced_session_that_stays_takes_no_place(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        await park(store, "newer")
        await claim.stay(data(node="kept"))
        assert await store.get_session("k") == data(node="kept")
        assert await store.list_waits_for_user(ALICE, "alice") == ["newer"]
        assert await store.inbox(ALICE, "alice", CHAT) == []

    # -- leaving a place

    async def test_leftovers_of_completing(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1", delivery_id="1")
        await answer(store, "2", delivery_id="2")
        await answer(store, "3")
        assert claim.leftovers == ()
        await claim.complete()
        assert bodies(claim.leftovers) == ["2", "3"]
        assert await store.inbox(ALICE, "alice", CHAT) == []
        await park(store)
        assert (await answer(store, delivery_id="1")).outcome == "duplicate"
        assert (await answer(store, delivery_id="2")).outcome == "claimed"

    async def test_leftovers_of_parking_elsewhere(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        await answer(store, "2")
        await answer(store, "early", scope=OTHER, keep_for=MINUTE)
        await claim.park(OTHER, data(node="next"))
        assert bodies(claim.leftovers) == ["2"]
        assert await store.inbox(ALICE, "alice", CHAT) == []
        taken = await ready(store)
        assert (taken.scope, bodies(taken.replies)) == (OTHER, ["early"])

    async def test_what_another_live_claim_holds_is_not_left_over(self, store: SessionStore) -> None:
        await park(store)
        old = await claim_answer(store, "1")
        await park(store, "newer")
        new = await store.claim_wait(ALICE, "alice", CHAT)
        assert new is not None
        await answer(store, "2")
        await new.complete()
        assert bodies(new.leftovers) == ["2"]
        assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]
        await old.complete()
        assert await store.inbox(ALICE, "alice", CHAT) == []

    async def test_a_wait_that_lived_on_for_a_reply_ends_with_its_verdict(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=2 * time.brief) as store:
            await park(store)
            claim = await claim_answer(store, lease=DAY)
            await park(store, "newer", ttl=time.moment)
            await time.wait_out(time.moment)
            assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "newer"  # for the reply that lies there
            assert await claim.park(CHAT, data(node="again")) is None  # nothing is there to be displaced any more
            assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
            assert await store.get_session("newer") is None

    async def test_a_reply_whose_claim_ends_where_nothing_waits_is_kept(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.brief) as store:
            await park(store)
            claim = await claim_answer(store, "1")
            await park(store, "newer")
            await store.clear_wait(ALICE, "alice", CHAT)
            assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]
            await claim.release()
            assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["1"]
            await park(store, "third")
            assert bodies((await ready(store)).replies) == ["1"]
            await store.remove_session("third")
            await answer(store, "2", keep_for=time.brief)
            await time.wait_out(time.brief)
            assert await store.inbox(ALICE, "alice", CHAT) == []

    async def test_what_a_lease_has_ended_is_not_given_back_once_more(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.brief) as store:
            await park(store)
            await claim_answer(store, "1", lease=time.moment)
            await park(store, "newer", ttl=time.moment)  # it waits while that lease ends, and goes with its reply
            await time.wait_out(time.brief)
            await store.remove_session("k")  # which had that claim
            assert await store.inbox(ALICE, "alice", CHAT) == []
            await park(store, "third")
            assert await store.claim_ready() == []

    async def test_a_wait_that_takes_a_place_has_its_inbox(self, store: SessionStore) -> None:
        await park(store)
        await answer(store, "1", claim=False)
        await park(store, "newer")
        claim = await ready(store)
        assert (claim.key, bodies(claim.replies)) == ("newer", ["1"])
        assert await store.get_session("k") == data(node="k")

    async def test_a_displaced_sessions_turn_yields(self, store: SessionStore, time: Time) -> None:
        await park(store)
        old = await claim_answer(store, "1", lease=time.moment)
        await park(store, "newer")
        await time.wait_out(time.moment)
        claim = await ready(store)
        assert (claim.key, bodies(claim.replies), claim.attempt) == ("newer", ["1"], 1)
        assert claim.idempotency_key != old.idempotency_key

    async def test_removing_the_session_ends_its_claim_and_frees_the_place(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        await park(store, "newer")
        await store.remove_session("k")
        with pytest.raises(ConflictError):
            await claim.stay()
        assert bodies((await ready(store)).replies) == ["1"]

    # -- leaving the block

    async def test_leaving_the_block_without_a_verdict_puts_off(self, store: SessionStore, time: Time) -> None:
        await park(store)
        async with await claim_answer(store) as claim:
            pass
        assert (await answer(store, "2")).outcome == "queued"
        with pytest.raises(ConflictError):
            await claim.stay()
        await time.wait_out(1)
        second = await ready(store)
        assert second.attempt == 2
        with pytest.raises(KeyError):  # as it is, in no group
            async with second:
                raise KeyError
        await time.wait_out(1)
        assert await store.claim_ready() == []
        await time.wait_out(1)
        assert (await ready(store)).attempt == 3

    async def test_a_verdict_in_the_block_is_one(self, store: SessionStore) -> None:
        await park(store)
        async with await claim_answer(store, "1") as claim:
            await claim.stay()
        async with await claim_answer(store, "2") as claim:
            await claim.park(OTHER, data())
        await park(store, "l")
        async with await claim_answer(store, "3") as claim:
            await claim.complete()
        assert await store.claim_ready() == []

    async def test_a_claim_that_was_removed_leaves_quietly(self, store: SessionStore) -> None:
        await park(store)
        async with await claim_answer(store) as claim:
            await store.remove_session(claim.key)
        assert await store.inbox(ALICE, "alice", CHAT) == []

    async def test_release_with_a_delay(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief)
        claim = await claim_answer(store)
        bad: list[float] = [-1, float("nan"), float("inf")]
        for delay in bad:
            with pytest.raises(InvalidInputError):
                await claim.release(delay)
        with pytest.raises(TypeError):
            await claim.release("1")  # type: ignore[arg-type]  # refused
        await claim.release(2 * DAY)
        await time.wait_out(time.brief)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"  # the delay lengthens the lifetime
        plain = await store.claim_wait(ALICE, "alice", CHAT)
        assert plain is not None
        await plain.release()
        assert await store.claim_ready() == []

    async def test_a_delay_longer_than_all_graces_is_followed_by_a_turn(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.brief) as store:
            await park(store, ttl=time.brief)
            await (await claim_answer(store)).release(3 * time.brief)
            await time.wait_out(3 * time.brief)
            assert bodies((await ready(store)).replies) == ["yes"]

    async def test_what_ends_a_delay(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)
        await claim.release(DAY)
        await store.touch("k", DAY)
        claim = await ready(store)
        await claim.release(DAY)
        await park(store)
        claim = await ready(store)
        await claim.release(DAY)
        plain = await store.claim_wait(ALICE, "alice", CHAT)
        assert plain is not None
        await plain.stay()
        claim = await ready(store)
        await claim.release(DAY)
        plain = await store.claim_wait(ALICE, "alice", CHAT)
        assert plain is not None
        await plain.park(CHAT, data())
        assert (await ready(store)).attempt == 1

    async def test_replies_of_scopes_that_name_one_place(self, store: SessionStore) -> None:
        spelled = ReplyScope(CHAT.conversation, "", "", "")
        await park(store)
        claim = await claim_answer(store, scope=spelled)
        assert claim.reply is not None
        assert claim.reply.scope == spelled
        assert (await answer(store)).outcome == "queued"
