"""Deliveries: what becomes of a reply, by what is at its place."""

from collections.abc import Awaitable, Callable
from datetime import UTC

import pytest

from greentic_session import DeliveryOutcome, Start
from greentic_session.errors import ConflictError, TooManyWaitsError
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .calls import answer, bodies, claim_answer, inbox, park, ready
from .samples import ALICE, CHAT, CORRELATED, DAY, MINUTE, OTHER, MakeStore, Time, ctx, data

__all__ = ["DeliveriesContract"]

BOB = ctx("bob")


class DeliveriesContract:
    """deliver and inbox."""

    # -- by what is at the place

    async def test_a_wait_that_is_free_is_claimed(self, store: SessionStore) -> None:
        await park(store)
        delivery = await answer(store, "yes", delivery_id="d", sender="bob")
        assert (delivery.outcome, delivery.accepted) == (DeliveryOutcome.CLAIMED, True)
        claim, reply = delivery.claim, delivery.reply
        assert claim is not None
        assert reply is not None
        assert (claim.key, claim.data, claim.scope, claim.attempt) == ("k", data(node="k"), CHAT, 1)
        assert (claim.replies, claim.reply, claim.timed_out, claim.is_new) == ((reply,), reply, False, False)
        assert (reply.body, reply.scope, reply.delivery_id, reply.sender) == ("yes", CHAT, "d", "bob")
        assert reply.accepted_at.tzinfo is UTC
        assert isinstance(claim.idempotency_key, str)
        assert claim.idempotency_key
        await claim.complete()
        assert (claim.leftovers, await inbox(store)) == ((), [])

    async def test_a_wait_that_is_claimed_queues(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        delivery = await answer(store, "2")
        assert (delivery.outcome, delivery.accepted, delivery.claim) == ("queued", True, None)
        assert delivery.reply is not None
        assert delivery.reply.body == "2"
        assert await inbox(store) == ["1", "2"]
        assert bodies(claim.replies) == ["1"]

    async def test_a_wait_that_a_plain_claim_holds_queues(self, store: SessionStore) -> None:
        await park(store)
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        assert (await answer(store)).outcome == "queued"
        assert claim.replies == ()
        await claim.release()
        assert bodies((await ready(store)).replies) == ["yes"]

    async def test_a_wait_that_is_put_off_queues(self, store: SessionStore) -> None:
        await park(store)
        await (await claim_answer(store, "1")).release(MINUTE)
        assert (await answer(store, "2")).outcome == "queued"
        assert await store.claim_ready() == []

    async def test_a_place_that_is_busy_queues(self, store: SessionStore) -> None:
        """A claim on a displaced session still holds a reply of the place."""
        await park(store)
        claim = await claim_answer(store, "1")
        await park(store, "newer")
        assert (await answer(store, "2")).outcome == "queued"
        assert await store.claim_ready() == []
        await claim.complete()
        assert claim.leftovers == ()  # they are the newer wait's
        taken = await ready(store)
        assert (taken.key, bodies(taken.replies)) == ("newer", ["2"])

    async def test_without_claim_a_reply_is_queued(self, store: SessionStore) -> None:
        await park(store)
        assert (await answer(store, claim=False)).outcome == "queued"
        assert (await ready(store)).key == "k"

    async def test_where_nothing_waits_nothing_is_accepted(self, store: SessionStore) -> None:
        delivery = await answer(store, delivery_id="d")
        assert (delivery.outcome, delivery.accepted, delivery.reply, delivery.claim) == ("unmatched", False, None, None)
        assert await inbox(store) == []
        await park(store)
        assert await store.claim_ready() == []
        assert (await answer(store, delivery_id="d")).outcome == "claimed"  # it may come again

    async def test_an_early_reply_is_kept_until_the_wait_comes(self, store: SessionStore) -> None:
        delivery = await answer(store, keep_for=MINUTE)
        assert (delivery.outcome, delivery.accepted, delivery.claim) == ("kept", True, None)
        assert delivery.reply is not None
        assert await inbox(store) == ["yes"]
        assert await store.claim_ready() == []
        await park(store)
        claim = await ready(store)
        assert claim.replies == (delivery.reply,)

    async def test_a_kept_reply_runs_out(self, store: SessionStore, time: Time) -> None:
        await answer(store, "early", keep_for=time.moment, delivery_id="d")
        await time.wait_out(time.moment)
        assert await inbox(store) == []
        await park(store)
        assert await store.claim_ready() == []
        assert (await answer(store, delivery_id="d")).outcome == "claimed"  # the id is forgotten with it

    async def test_a_kept_reply_does_not_run_out_while_something_waits(self, store: SessionStore, time: Time) -> None:
        await answer(store, keep_for=time.brief)
        await park(store)
        await time.wait_out(time.brief)
        assert bodies((await ready(store)).replies) == ["yes"]

    async def test_kept_replies_outlive_a_wait_that_expires(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.moment) as store:
            await answer(store, keep_for=DAY)
            await park(store, ttl=time.moment)
            await time.wait_out(time.moment)
            assert await store.list_waits_for_user(ALICE, "alice") == []
            await park(store, "later")
            assert bodies((await ready(store)).replies) == ["yes"]

    async def test_what_is_delivered_to_a_wait_is_not_kept_when_that_expires(
        self, make_store: MakeStore, time: Time
    ) -> None:
        async with make_store(reply_grace=time.moment) as store:
            await park(store, ttl=time.moment)
            assert (await answer(store, keep_for=DAY, claim=False)).outcome == "queued"
            await time.wait_out(2 * time.moment)
            assert await inbox(store) == []

    async def test_start_begins_where_nothing_waits(self, store: SessionStore) -> None:
        start = Start(data(node="begun"), key="new", ttl=MINUTE)
        delivery = await answer(store, start=start)
        assert delivery.outcome == "claimed"
        claim = delivery.claim
        assert claim is not None
        assert (claim.key, claim.data, claim.is_new, claim.attempt) == ("new", data(node="begun"), True, 1)
        assert bodies(claim.replies) == ["yes"]
        assert claim.deadline is not None
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "new"
        await claim.release()
        again = await ready(store)
        assert again.is_new  # its first verdict is still due
        await again.stay()
        assert not (await claim_answer(store)).is_new

    async def test_start_may_queue(self, store: SessionStore) -> None:
        delivery = await answer(store, start=Start(data()), claim=False)
        assert delivery.outcome == "queued"
        claim = await ready(store)
        assert claim.is_new
        assert claim.deadline is None
        assert len(claim.key) == 36

    async def test_start_is_ignored_where_something_waits(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, start=Start(data(), key="new"))
        assert (claim.key, claim.is_new) == ("k", False)
        assert await store.get_session("new") is None

    async def test_start_takes_what_was_kept(self, store: SessionStore) -> None:
        await answer(store, "early", keep_for=MINUTE)
        claim = await claim_answer(store, "late", start=Start(data()), keep_for=MINUTE)
        assert bodies(claim.replies) == ["early"]
        assert await inbox(store) == ["early", "late"]

    async def test_start_at_a_busy_place_queues(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, "1")
        await park(store, "newer")
        await store.clear_wait(ALICE, "alice", CHAT)
        assert (await answer(store, "2", start=Start(data(), key="third"))).outcome == "queued"
        await claim.complete()
        assert (await ready(store)).key == "third"

    async def test_start_with_a_key_that_is_taken(self, store: SessionStore) -> None:
        await store.create_session(BOB, data(BOB), key="taken")
        with pytest.raises(ConflictError) as refused:
            await answer(store, delivery_id="d", start=Start(data(), key="taken"))
        assert refused.value.session_key == "taken"
        assert await inbox(store) == []
        assert (await answer(store, delivery_id="d", start=Start(data()))).outcome == "claimed"

    async def test_start_counts_as_a_wait(self, make_store: MakeStore) -> None:
        async with make_store(max_waits_per_user=1) as store:
            await park(store, scope=OTHER)
            with pytest.raises(TooManyWaitsError):
                await answer(store, start=Start(data()))
            assert await inbox(store) == []

    # -- the same delivery again

    async def test_a_second_try_of_an_unsettled_delivery_claims(self, store: SessionStore) -> None:
        await park(store)
        first = await claim_answer(store, "1", delivery_id="d")
        again = await answer(store, "other", delivery_id="d", scope=ReplyScope(CHAT.conversation, "elsewhere"))
        assert (again.outcome, again.claim) == ("queued", None)  # somebody is at it
        assert again.reply == first.reply
        await first.release()
        assert (await answer(store, delivery_id="d", claim=False)).outcome == "queued"
        second = await claim_answer(store, delivery_id="d")
        assert second.replies == first.replies
        assert await inbox(store) == ["1"]
        await second.release(MINUTE)
        assert (await answer(store, delivery_id="d")).outcome == "queued"

    async def test_a_second_try_of_a_kept_delivery(self, store: SessionStore) -> None:
        first = await answer(store, delivery_id="d", keep_for=MINUTE)
        again = await answer(store, delivery_id="d", start=Start(data()), keep_for=DAY)
        assert (again.outcome, again.reply) == ("kept", first.reply)
        assert await store.list_waits_for_user(ALICE, "alice") == []

    async def test_a_second_try_changes_no_lifetime(self, store: SessionStore, time: Time) -> None:
        await answer(store, delivery_id="d", keep_for=time.moment)
        await answer(store, delivery_id="d", keep_for=DAY)
        await time.wait_out(time.moment)
        assert await inbox(store) == []

    async def test_what_was_settled_is_a_duplicate(self, store: SessionStore) -> None:
        await park(store)
        await (await claim_answer(store, delivery_id="d")).stay()
        for scope in (CHAT, ReplyScope(CHAT.conversation, "thread")):
            again = await answer(store, delivery_id="d", scope=scope, start=Start(data()), keep_for=MINUTE)
            assert (again.outcome, again.accepted, again.reply, again.claim) == ("duplicate", True, None, None)
        assert await inbox(store) == []

    async def test_what_was_removed_is_a_duplicate(self, store: SessionStore) -> None:
        removals: list[Callable[[], Awaitable[None]]] = [
            lambda: store.clear_wait(ALICE, "alice", CHAT),
            lambda: store.remove_session("k"),
            lambda: park(store, scope=OTHER),
        ]
        for number, remove in enumerate(removals):
            await park(store)
            name = f"d-{number}"
            await answer(store, delivery_id=name, claim=False)
            await remove()
            assert await inbox(store) == []
            await park(store)
            assert (await answer(store, delivery_id=name)).outcome == "duplicate"
            assert await store.claim_ready() == []

    async def test_a_delivery_id_is_of_an_owner_and_a_conversation(self, store: SessionStore) -> None:
        await park(store)
        await (await claim_answer(store, delivery_id="d")).stay()
        await park(store, "l", OTHER)
        assert (await answer(store, scope=OTHER, delivery_id="d")).outcome == "claimed"
        await store.register_wait(BOB, "bob", CHAT, "b", data(BOB))
        assert (await store.deliver(BOB, "bob", CHAT, "x", delivery_id="d")).outcome == "claimed"

    async def test_ids_are_remembered_from_the_verdict(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(dedupe_window=time.brief, reply_grace=DAY) as store:
            await park(store)
            claim = await claim_answer(store, delivery_id="d")
            await claim.renew(DAY)
            await time.wait_out(time.brief)
            assert (await answer(store, delivery_id="d")).outcome == "queued"  # unsettled, so it is known
            await claim.stay()
            assert (await answer(store, delivery_id="d")).outcome == "duplicate"
            await time.wait_out(time.brief)
            assert (await answer(store, delivery_id="d")).outcome == "claimed"

    async def test_ids_of_what_ran_out_are_remembered_from_acceptance(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.moment, dedupe_window=2 * time.brief) as store:
            await park(store, ttl=time.moment)
            await answer(store, delivery_id="d", claim=False)
            await time.wait_out(time.moment)
            assert await inbox(store) == []
            await park(store, "l")
            assert (await answer(store, delivery_id="d")).outcome == "duplicate"
            await time.wait_out(2 * time.brief - time.moment)
            assert (await answer(store, delivery_id="d")).outcome == "claimed"

    async def test_without_an_id_nothing_is_a_duplicate(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)
        assert (await answer(store)).outcome == "queued"
        assert await inbox(store) == ["yes", "yes"]
        assert len({reply.id for reply in await store.inbox(ALICE, "alice", CHAT)}) == 2
        await claim.complete()
        assert bodies(claim.leftovers) == ["yes"]

    # -- fallback

    async def test_an_answer_to_an_old_question_does_not_answer_the_new_one(self, store: SessionStore) -> None:
        await park(store)
        assert (await answer(store, scope=CORRELATED)).outcome == "unmatched"
        claim = await claim_answer(store, scope=CORRELATED, fallback=True)
        assert claim.key == "k"
        assert claim.scope == CHAT
        assert claim.reply is not None
        assert claim.reply.scope == CORRELATED
        await claim.stay()
        await park(store, "exact", CORRELATED)
        assert (await claim_answer(store, scope=CORRELATED, fallback=True)).key == "exact"

    async def test_where_no_wait_is_at_either_place_the_scope_itself_is_meant(self, store: SessionStore) -> None:
        await answer(store, scope=CORRELATED, fallback=True, keep_for=MINUTE)
        assert (await inbox(store, CORRELATED), await inbox(store)) == (["yes"], [])
