"""Operators: what they are told of waits and inboxes, and what they may do by hand."""

import pytest

from greentic_session.admin import Details, Selection, Tally
from greentic_session.errors import ClaimedError, NotFoundError
from greentic_session.store import SessionStore

from .calls import answer, bodies, claim_answer, park, ready
from .samples import ALICE, CHAT, DAY, MINUTE, OTHER, Time, ctx, data

__all__ = ["OperatorsContract"]

_HOUR_MS = 3_600_000


async def details(store: SessionStore, key: str = "k") -> Details:
    """Return what is known of a session; a backend that nobody looks into is let off."""
    inspector = store.backend.inspector()
    if inspector is None:
        pytest.skip("nobody looks into this backend")
    [found] = await inspector.details([key])
    assert found is not None
    return found


async def tally(store: SessionStore) -> Tally:
    """Return what alice's tenant has, counted together."""
    inspector = store.backend.inspector()
    if inspector is None:
        pytest.skip("nobody looks into this backend")
    total = Tally()
    for group, counted in (await inspector.survey(lambda _: None, Selection(env="dev", tenant="acme"))).items():
        assert group == ("dev", "acme", "ops", "order.flow")
        total.add(counted)
    return total


class OperatorsContract:
    """`Inspector.details` and `survey` with replies; `SessionBackend.retry` and `drop`."""

    async def test_what_is_told_of_a_wait_without_replies(self, store: SessionStore) -> None:
        await park(store)
        found = await details(store)
        assert (found.waits, found.scope, found.claim_ms, found.holder) == (True, CHAT, None, None)
        assert (found.ready_ms, found.put_off_ms, found.attempts, found.replies) == (None, 0, 0, 0)
        assert (found.resumes, found.is_overdue) == (False, False)
        assert found.age_ms is None or 0 <= found.age_ms < _HOUR_MS  # where the storage tells
        assert found.deadline_ms is not None
        assert _HOUR_MS < found.deadline_ms <= DAY * 1000

    async def test_what_is_told_of_replies(self, store: SessionStore) -> None:
        await park(store)
        await answer(store, "one", claim=False)
        await answer(store, "two", claim=False)
        found = await details(store)
        assert found.replies == 2
        assert found.ready_ms is not None
        assert found.ready_ms >= 0
        counted = await tally(store)
        assert (counted.sessions, counted.waits, counted.ready, counted.replies, counted.claimed) == (1, 1, 1, 2, 0)

    async def test_accepted_replies_are_counted(self, store: SessionStore) -> None:
        inspector = store.backend.inspector()
        if inspector is None or (before := await inspector.accepted()) is None:
            pytest.skip("nobody counts them")
        await park(store)
        await answer(store, "one", delivery_id="d-1", claim=False)
        await answer(store, "one", delivery_id="d-1", claim=False)
        await answer(store, "two", claim=False)
        assert await inspector.accepted() == before + 2
        await store.purge(ctx(None, team=None))
        assert await inspector.accepted() == before + 2

    async def test_what_is_told_of_a_claim(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store, lease=MINUTE)
        found = await details(store)
        assert found.claim_ms is not None
        assert 0 < found.claim_ms <= MINUTE * 1000
        assert found.holder is not None
        assert (found.ready_ms, found.attempts, found.replies) == (None, 1, 1)
        counted = await tally(store)
        assert (counted.claimed, counted.ready, counted.replies) == (1, 0, 1)
        await claim.stay()
        found = await details(store)
        assert (found.claim_ms, found.holder, found.attempts, found.replies) == (None, None, 0, 0)

    async def test_what_is_told_of_a_deadline(self, store: SessionStore, time: Time) -> None:
        await park(store, ttl=time.moment, on_timeout="resume")
        await park(store, "l", OTHER, ttl=DAY, on_timeout="resume")
        await time.wait_out(time.moment)
        found = await details(store)
        assert (found.resumes, found.is_overdue) == (True, True)
        assert found.deadline_ms is not None
        assert found.deadline_ms <= 0
        assert found.ready_ms is not None
        other = await details(store, "l")
        assert (other.resumes, other.is_overdue, other.ready_ms) == (True, False, None)
        counted = await tally(store)
        assert (counted.waits, counted.overdue, counted.ready, counted.due) == (2, 1, 1, 0)
        await (await ready(store)).stay()
        assert (await details(store)).is_overdue is False

    async def test_what_comes_within_an_hour(self, store: SessionStore) -> None:
        await park(store, ttl=MINUTE * 30)
        await park(store, "l", OTHER, ttl=MINUTE * 30, on_timeout="resume")
        counted = await tally(store)
        assert (counted.waits, counted.due, counted.overdue) == (2, 2, 0)

    async def test_what_is_put_off_is_retried(self, store: SessionStore) -> None:
        await park(store)
        await (await claim_answer(store)).release(MINUTE)
        found = await details(store)
        assert MINUTE * 500 < found.put_off_ms <= MINUTE * 1000
        assert (found.ready_ms, found.attempts) == (None, 1)
        assert (await tally(store)).put_off == 1
        assert await store.claim_ready() == []
        assert await store.backend.retry("k") is True
        found = await details(store)
        assert (found.put_off_ms, found.attempts, found.ready_ms is None) == (0, 1, False)
        claim = await ready(store)
        assert (claim.attempt, bodies(claim.replies)) == (2, ["yes"])

    async def test_what_is_not_put_off_is_left_alone(self, store: SessionStore) -> None:
        await park(store)
        assert await store.backend.retry("k") is False
        claim = await claim_answer(store)
        assert await store.backend.retry("k") is False
        assert await store.claim_ready() == []
        await claim.complete()
        for operation in (store.backend.retry, store.backend.drop):
            with pytest.raises(NotFoundError):
                await operation("k")

    async def test_the_oldest_reply_is_dropped(self, store: SessionStore) -> None:
        await park(store)
        assert await store.backend.drop("k") is None
        await answer(store, "one", delivery_id="d-1", claim=False)
        await answer(store, "two", delivery_id="d-2", claim=False)
        dropped = await store.backend.drop("k")
        assert dropped is not None
        assert dropped.delivery_id == "d-1"
        assert bodies(await store.inbox(ALICE, "alice", CHAT)) == ["two"]
        assert (await answer(store, "one", delivery_id="d-1")).outcome == "duplicate"
        assert bodies((await ready(store)).replies) == ["two"]

    async def test_dropping_the_last_reply_leaves_nothing_ready(self, store: SessionStore) -> None:
        await park(store)
        await answer(store, claim=False)
        assert await store.backend.drop("k") is not None
        assert await store.claim_ready() == []
        assert await store.inbox(ALICE, "alice", CHAT) == []
        assert (await details(store)).ready_ms is None
        assert (await answer(store)).outcome == "claimed"

    async def test_dropping_ends_the_turn(self, store: SessionStore) -> None:
        await park(store)
        first = await claim_answer(store, "one")
        await first.release(MINUTE)
        await answer(store, "two")
        assert await store.backend.drop("k") is not None
        assert (await details(store)).put_off_ms > 0  # that is for retry to end
        assert await store.backend.retry("k") is True
        second = await ready(store)
        assert (bodies(second.replies), second.attempt) == (["two"], 1)
        assert second.idempotency_key != first.idempotency_key

    async def test_what_a_live_claim_holds_is_not_dropped(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)
        with pytest.raises(ClaimedError):
            await store.backend.drop("k")
        await claim.release()
        assert await store.backend.drop("k") is not None

    async def test_a_session_that_waits_for_nothing_has_no_inbox(self, store: SessionStore) -> None:
        await store.create_session(ALICE, data(), key="s")
        assert await store.backend.drop("s") is None
        assert await store.backend.retry("s") is False

    async def test_a_purge_leaves_no_reply(self, store: SessionStore) -> None:
        await park(store)
        await answer(store, delivery_id="d-1", claim=False)
        await answer(store, scope=OTHER, delivery_id="d-2", keep_for=DAY)
        assert await store.purge(ctx(None, team=None)) == 1
        assert await store.inbox(ALICE, "alice", CHAT) == await store.inbox(ALICE, "alice", OTHER) == []
        await park(store)
        assert (await answer(store, delivery_id="d-1", claim=False)).outcome == "queued"
        assert (await answer(store, scope=OTHER, delivery_id="d-2", keep_for=DAY)).outcome == "kept"
