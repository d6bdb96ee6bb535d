"""Deadlines: what is forgotten, what is resumed, and how long answers prolong a wait."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greentic_session import Start
from greentic_session.errors import InvalidInputError
from greentic_session.store import SessionStore

from .calls import answer, bodies, claim_answer, park, ready
from .samples import ALICE, CHAT, DAY, OTHER, MakeStore, Time, data

__all__ = ["DeadlinesContract"]


class DeadlinesContract:
    """on_timeout, timed_out, and the lifetimes of waits that replies lie at."""

    async def test_a_wait_that_is_to_be_resumed_is_ready_at_its_deadline(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        assert await store.claim_ready() == []
        await time.wait_out(time.brief)
        found = await store.find_wait(ALICE, "alice", CHAT)
        assert found is not None
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
        claim = await ready(store)
        assert (claim.key, claim.scope, claim.data, claim.timed_out) == ("k", CHAT, data(node="k"), True)
        assert (claim.replies, claim.reply, claim.attempt) == ((), None, 1)
        assert await store.claim_ready() == []
        await claim.complete()
        assert await store.get_session("k") is None
        assert await store.claim_ready() == []

    async def test_a_wait_is_forgotten_unless_it_says_otherwise(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment)
        await park(store, "l", OTHER, ttl=time.moment, on_timeout="forget")
        await time.wait_out(time.moment)
        assert await store.claim_ready() == []
        assert await store.list_waits_for_user(ALICE, "alice") == []

    async def test_deadlines_are_told(self, store: SessionStore) -> None:
        for on_timeout in ("forget", "resume"):
            await park(store, ttl=3600, on_timeout=on_timeout)
            claim = await claim_answer(store)
            assert claim.deadline is not None
            assert claim.deadline.tzinfo is UTC
            assert abs(claim.deadline - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
            await claim.complete()
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        assert (await claim_answer(store)).deadline is None

    async def test_a_plain_claim_tells_the_deadline_too(self, store: SessionStore) -> None:
        for ttl in (3600, 10):  # one that the lease lengthens
            await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl)
            claim = await store.claim_wait(ALICE, "alice", CHAT, lease=60)
            assert claim is not None
            assert claim.deadline is not None
            assert claim.deadline.tzinfo is UTC
            assert abs(claim.deadline - datetime.now(UTC) - timedelta(seconds=max(ttl, 60))) < timedelta(seconds=45)
            await claim.complete()
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        assert claim.deadline is None

    async def test_an_answer_comes_before_a_deadline(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await answer(store, claim=False)
        await time.wait_out(time.brief)
        claim = await ready(store)
        assert (bodies(claim.replies), claim.timed_out) == (["yes"], False)
        await claim.stay()
        heard = await ready(store)  # the deadline is still to be heard
        assert (heard.timed_out, heard.attempt) == (True, 1)
        assert heard.idempotency_key != claim.idempotency_key

    async def test_an_answer_behind_the_deadline_is_an_answer(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await time.wait_out(time.brief)
        claim = await claim_answer(store)
        assert (bodies(claim.replies), claim.timed_out) == (["yes"], False)
        await claim.park(CHAT, data(), DAY)
        assert await store.claim_ready() == []  # an old deadline never fires

    async def test_a_deadlines_turn_has_attempts(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await time.wait_out(time.brief)
        first = await ready(store)
        await first.release(time.moment)
        await time.wait_out(time.moment)
        second = await ready(store)
        assert (second.attempt, second.timed_out, second.idempotency_key) == (2, True, first.idempotency_key)
        await second.release()
        yielded = await claim_answer(store)
        assert (yielded.attempt, yielded.timed_out) == (1, False)
        assert yielded.idempotency_key != first.idempotency_key

    async def test_a_plain_claim_joins_a_deadlines_turn(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await time.wait_out(time.brief)
        plain = await store.claim_wait(ALICE, "alice", CHAT)
        assert plain is not None
        assert not plain.timed_out  # it was not claimed for its deadline
        await plain.release()
        first = await ready(store)
        await first.release()
        joined = await store.claim_wait(ALICE, "alice", CHAT)
        assert joined is not None
        assert (joined.timed_out, joined.idempotency_key) == (True, first.idempotency_key)

    async def test_stay_uses_a_heard_deadline_up(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(timeout_grace=2 * time.brief) as store:
            await park(store, ttl=time.brief, on_timeout="resume")
            await time.wait_out(time.brief)
            await (await ready(store)).stay()
            assert await store.claim_ready() == []
            await time.wait_out(time.brief)
            claim = await claim_answer(store)
            assert claim.deadline is None
            await claim.release()
            await (await ready(store)).park(CHAT, data(), time.brief)  # and keeps its choice
            await time.wait_out(time.brief)
            await (await ready(store)).stay()
            await time.wait_out(2 * time.brief)
            assert await store.get_session("k") is None

    async def test_an_unheard_deadline_is_gone_after_a_grace(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(timeout_grace=time.brief) as store:
            await park(store, ttl=time.moment, on_timeout="resume")
            await time.wait_out(time.moment)
            assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
            await time.wait_out(time.brief)
            assert await store.get_session("k") is None
            assert await store.claim_ready() == []

    async def test_touching_sets_another_deadline(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await time.wait_out(time.brief)
        assert await store.touch("k", time.brief)
        assert await store.claim_ready() == []
        await time.wait_out(time.brief)
        claim = await ready(store)
        assert claim.timed_out
        await store.touch("k", time.brief)
        await claim.stay()  # of another deadline, which stays
        assert await store.claim_ready() == []
        await time.wait_out(time.brief)
        assert (await ready(store)).timed_out
        await store.touch("k", None)

    async def test_parking_keeps_the_choice_or_changes_it(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await (await claim_answer(store)).park(OTHER, data(), time.brief)
        await time.wait_out(time.brief)
        claim = await ready(store)
        assert (claim.scope, claim.timed_out) == (OTHER, True)
        await claim.park(CHAT, data(), time.moment, on_timeout="forget")
        await time.wait_out(time.moment)
        assert await store.get_session("k") is None
        bad: Any = "other"
        with pytest.raises(InvalidInputError):
            await park(store, on_timeout=bad)

    async def test_start_has_a_deadline(self, store: SessionStore, time: Time) -> None:
        claim = await claim_answer(store, start=Start(data(), "new", time.brief, "resume"))
        await claim.stay()
        await time.wait_out(time.brief)
        assert (await ready(store)).timed_out

    async def test_a_displaced_session_has_no_deadline(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await park(store, "newer")
        await time.wait_out(time.brief)
        assert await store.claim_ready() == []
        assert await store.get_session("k") == data(node="k")  # it ends when its storage would have

    async def test_a_displaced_session_lives_as_long_as_its_storage_would_have(
        self, store: SessionStore, time: Time
    ) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        await park(store, "newer")
        left = await store.remaining_ttl("k")
        assert isinstance(left, float)
        assert left > DAY  # until somebody would have heard the deadline
        await store.touch("k", time.moment)
        await time.wait_out(time.moment)
        assert await store.get_session("k") is None  # it has no deadline to be heard
        await park(store, "l", OTHER, ttl=time.moment)
        await answer(store, scope=OTHER, claim=False)
        await park(store, "m", OTHER)
        await time.wait_out(time.moment)
        assert await store.get_session("l") == data(node="l")  # it lived for the reply that lay there

    async def test_stay_lets_a_wait_live_for_a_grace_from_now(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment, on_timeout="resume")
        await time.wait_out(time.brief)
        await (await ready(store)).stay()
        left = await store.remaining_ttl("k")
        assert isinstance(left, float)
        assert left > 30 * DAY - (time.brief - time.moment)

    async def test_a_deadline_that_is_put_off_is_heard(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.brief, timeout_grace=time.brief) as store:
            await park(store, ttl=time.moment, on_timeout="resume")
            await time.wait_out(time.moment)
            await (await ready(store)).release(3 * time.brief)
            assert await store.claim_ready() == []
            await time.wait_out(3 * time.brief)
            claim = await ready(store)
            assert (claim.timed_out, claim.attempt) == (True, 2)

    async def test_a_deadline_passes_while_somebody_is_at_it(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment, on_timeout="resume")
        claim = await claim_answer(store, lease=time.brief)
        await time.wait_out(time.moment)
        assert await store.claim_ready() == []
        await claim.stay()
        assert (await ready(store)).timed_out

    async def test_remaining_ttl_is_that_of_the_deadline(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.brief, on_timeout="resume")
        left = await store.remaining_ttl("k")
        assert isinstance(left, float)
        assert left <= time.brief
        await time.wait_out(time.brief)
        behind = await store.remaining_ttl("k")
        assert isinstance(behind, float)
        assert behind > time.brief

    # -- lifetimes

    async def test_an_unsettled_reply_prolongs_the_wait(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=2 * time.brief) as store:
            await park(store, ttl=time.brief)
            await answer(store, claim=False)
            await time.wait_out(time.brief)
            claim = await ready(store, lease=time.moment)
            assert bodies(claim.replies) == ["yes"]
            await claim.stay()  # its lease has lengthened the wait
            await time.wait_out(time.moment)
            assert await store.get_session("k") is None  # nothing unsettled lies there any more

    async def test_an_unsettled_reply_does_not_prolong_for_ever(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=time.brief) as store:
            await park(store, ttl=time.moment)
            await answer(store, claim=False)
            await time.wait_out(time.brief)
            assert await store.get_session("k") is None
            assert await store.inbox(ALICE, "alice", CHAT) == []
            await park(store)
            assert await store.claim_ready() == []

    async def test_no_lifetime_ends_before_an_unsettled_reply_had_its_time(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=2 * time.brief) as store:
            await park(store)
            await answer(store, claim=False)
            await store.touch("k", time.moment)
            await time.wait_out(time.moment)
            assert (await ready(store)).key == "k"
            await park(store, "l", OTHER)
            await answer(store, scope=OTHER, claim=False)
            await park(store, "m", OTHER, ttl=time.moment)  # displaces, with the inbox
            await time.wait_out(time.moment)
            assert (await ready(store)).key == "m"

    async def test_a_delay_lengthens_a_wait_for_nothing_but_itself(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment)
        plain = await store.claim_wait(ALICE, "alice", CHAT, lease=time.moment)
        assert plain is not None
        await plain.release(time.brief)
        await time.wait_out(time.brief)
        assert await store.get_session("k") is None

    async def test_a_reply_that_was_given_back_has_no_more_time_than_others(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(reply_grace=2 * time.brief) as store:
            await park(store, ttl=time.moment)
            claim = await claim_answer(store, lease=time.brief)
            await time.wait_out(time.moment)
            await claim.release()
            await time.wait_out(2 * time.brief - time.moment)
            assert await store.get_session("k") is None
            assert await store.inbox(ALICE, "alice", CHAT) == []

    async def test_a_deadline_tells_of_the_lease_that_lengthened_it(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment)
        claim = await claim_answer(store, lease=DAY)
        assert claim.reply is not None
        assert claim.deadline is not None
        assert claim.deadline - claim.reply.accepted_at > timedelta(hours=23)
        await claim.release()
        await park(store, ttl=time.moment, on_timeout="resume")
        claim = await ready(store, lease=DAY)
        assert claim.deadline is not None
        assert claim.deadline - claim.replies[0].accepted_at < timedelta(hours=23)  # moves no deadline

    async def test_a_lease_lengthens_a_wait_that_is_forgotten(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment)
        claim = await claim_answer(store, lease=time.brief)
        await time.wait_out(time.moment)
        await claim.stay()
        assert await store.get_session("k") == data(node="k")
        await time.wait_out(time.brief)
        assert await store.get_session("k") is None
