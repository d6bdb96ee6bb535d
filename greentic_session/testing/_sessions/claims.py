"""Claims: of all runners that see a reply, exactly one resumes the flow."""

from collections.abc import Awaitable, Generator
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from greentic_session.claim import Claim
from greentic_session.errors import ClaimedError, ConflictError, InvalidInputError, TenantMismatchError
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .samples import ALICE, CHAT, DAY, MINUTE, Time, ctx, data

__all__ = ["ClaimsContract"]

OTHER = ReplyScope("telegram:chat-2")
CORRELATED = ReplyScope("telegram:chat-1", correlation="cid-7")


async def claim_chat(store: SessionStore, *, lease: float = 30.0) -> Claim:
    """Park alice's flow at CHAT, unless something waits there, and claim it."""
    if await store.find_wait_by_scope(ALICE, "alice", CHAT) is None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=DAY)
    claim = await store.claim_wait(ALICE, "alice", CHAT, lease=lease)
    assert claim is not None
    return claim


async def assert_over(claim: Claim) -> None:
    """Check that no method of a claim works any more."""
    for call in (claim.complete(), claim.release(), claim.renew(30), claim.park(OTHER, data(node="late"))):
        with pytest.raises(ConflictError):
            await call


async def claim_soon(store: SessionStore) -> Claim:
    """Claim the wait at CHAT as another runner once it is released; fail if that takes seconds."""
    with anyio.fail_after(5):
        while True:
            try:
                claim = await store.claim_wait(ALICE, "alice", CHAT)
            except ClaimedError:
                await anyio.lowlevel.checkpoint()
            else:
                assert claim is not None
                return claim


class CancelledAt:
    """Awaits something, and cancels a scope where it is about to wait for the n-th time.

    Args:
        work: What is awaited.
        point: At which of its waits, from 1. If there are fewer, nothing is cancelled.
        scope: What is cancelled.
    """

    def __init__(self, work: Awaitable[object], point: int, scope: anyio.CancelScope) -> None:
        self._work = work
        self._point = point
        self._scope = scope

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        answer: Any = None
        error: BaseException | None = None
        passed = 0
        while True:
            try:
                waited = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration:
                return
            passed += 1
            if passed == self._point:
                self._scope.cancel()
            answer = error = None
            try:
                answer = yield waited
            except BaseException as thrown:  # noqa: BLE001  # to be raised where it belongs: inside
                error = thrown


class ClaimsContract:
    """Claims: one runner resumes a wait."""

    async def test_a_claim_tells_what_it_holds(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        versioned = await store.get_versioned("k")
        assert versioned is not None
        assert (claim.key, claim.data, claim.scope, claim.version) == ("k", data(), CHAT, versioned.version)

    async def test_nothing_waits_nothing_is_claimed(self, store: SessionStore) -> None:
        assert await store.claim_wait(ALICE, "alice", CHAT) is None
        await store.create_session(ALICE, data(), key="k")
        assert await store.claim_wait(ALICE, "alice", CHAT) is None

    async def test_one_of_many_runners_wins(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        won: list[Claim] = []
        lost: list[ClaimedError] = []

        async def run() -> None:
            try:
                claim = await store.claim_wait(ALICE, "alice", CHAT)
                assert claim is not None
                won.append(claim)
            except ClaimedError as error:
                lost.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(run)
        assert (len(won), len(lost)) == (1, 19)

    async def test_a_claim_that_is_cancelled_on_its_way_is_given_back(self, store: SessionStore) -> None:
        """Whoever is cancelled has no claim, and no way to release it.

        Another runner may claim at once.
        """
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)
        point = 0
        cancelled = True
        while cancelled:
            point += 1
            with anyio.CancelScope() as scope:
                await CancelledAt(store.claim_wait(ALICE, "alice", CORRELATED, fallback=True), point, scope)
            cancelled = scope.cancelled_caught
            if cancelled:
                await (await claim_soon(store)).release()

    async def test_a_holder_that_was_displaced_need_not_displace(self, store: SessionStore) -> None:
        """With on_conflict="fail" the newer question stays, and the claim goes on."""
        claim = await claim_chat(store)
        assert await store.register_wait(ALICE, "alice", CHAT, "newer", data(node="newer")) == "k"
        with pytest.raises(ConflictError):
            await claim.park(CHAT, data(node="older"), on_conflict="fail")
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "newer"
        assert await store.get_session("k") == data()
        bad: Any = "other"
        with pytest.raises(InvalidInputError):
            await claim.park(OTHER, data(), on_conflict=bad)
        assert await claim.park(OTHER, data(node="b"), MINUTE, on_conflict="fail") is None
        assert await store.list_waits_for_user(ALICE, "alice") == ["k", "newer"]
        await assert_over(claim)
        again = await claim_chat(store)
        assert again.key == "newer"
        assert await again.park(OTHER, data(node="c")) == "k"

    async def test_plain_operations_do_not_look_at_claims(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
        await store.update_session("k", data(node="b"))
        await store.touch("k", MINUTE)
        await store.register_wait(ALICE, "alice", OTHER, "k", data(node="c"))
        with pytest.raises(ClaimedError):  # it is the session that is claimed, wherever it waits
            await store.claim_wait(ALICE, "alice", OTHER)
        await store.register_wait(ALICE, "alice", OTHER, "new", data())
        await claim.renew(30)
        await claim.complete()
        assert await store.get_session("k") is None
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) == "new"

    async def test_claims_fall_back_like_lookups(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "plain", data())
        assert await store.claim_wait(ALICE, "alice", CORRELATED) is None
        claim = await store.claim_wait(ALICE, "alice", CORRELATED, fallback=True)
        assert claim is not None
        assert (claim.key, claim.scope) == ("plain", CHAT)
        await claim.release()
        await store.register_wait(ALICE, "alice", CORRELATED, "exact", data())
        exact = await store.claim_wait(ALICE, "alice", CORRELATED, fallback=True)
        assert exact is not None
        assert (exact.key, exact.scope) == ("exact", CORRELATED)
        # What is claimed is not passed over for the next best.
        with pytest.raises(ClaimedError):
            await store.claim_wait(ALICE, "alice", CORRELATED, fallback=True)
        await claim_chat(store)

    async def test_complete(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        await claim.complete()
        assert await store.get_session("k") is None
        assert await store.claim_wait(ALICE, "alice", CHAT) is None
        assert await store.list_waits_for_user(ALICE, "alice") == []
        await assert_over(claim)

    async def test_release(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        with pytest.raises(ClaimedError):
            await store.claim_wait(ALICE, "alice", CHAT)
        await claim.release()
        assert await store.get_session("k") == data()
        again = await claim_chat(store)
        await assert_over(claim)
        await again.complete()

    async def test_park(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        await store.register_wait(ALICE, "alice", OTHER, "elsewhere", data())
        assert await claim.park(OTHER, data(node="next"), ttl=MINUTE) == "elsewhere"
        found = await store.find_wait(ALICE, "alice", OTHER)
        assert found is not None
        assert (found.key, found.data) == ("k", data(node="next"))
        assert await store.find_wait(ALICE, "alice", CHAT) is None
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
        await assert_over(claim)
        assert await store.claim_wait(ALICE, "alice", OTHER) is not None

    async def test_park_at_the_same_scope(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        assert await claim.park(CHAT, data(node="next")) is None
        again = await claim_chat(store)
        assert again.data == data(node="next")

    async def test_a_caller_without_a_user_may_park_for_the_waits_own(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        claim = await store.claim_wait(ctx(None), "alice", CHAT)
        assert claim is not None
        await claim.park(OTHER, data(node="next"))
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) == "k"

    async def test_a_refused_park_leaves_the_claim(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        with pytest.raises(TenantMismatchError):
            await claim.park(OTHER, data(ctx("bob")))
        with pytest.raises(TenantMismatchError):
            await claim.park(OTHER, data(ctx(tenant="globex")))
        with pytest.raises(InvalidInputError):
            await claim.park(OTHER, data(ctx(None)))
        with pytest.raises(InvalidInputError):
            await claim.park(ReplyScope("a\nb"), data())
        with pytest.raises(InvalidInputError):
            await claim.park(OTHER, data(), ttl=0)
        with pytest.raises(InvalidInputError):
            await claim.renew(-1)
        assert await store.get_session("k") == data()
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        await claim.park(OTHER, data(node="next"))

    async def test_leaving_the_block_releases(self, store: SessionStore) -> None:
        async with await claim_chat(store) as claim:
            assert claim.key == "k"
        with pytest.raises(KeyError):
            async with await claim_chat(store):
                raise KeyError
        await (await claim_chat(store)).complete()

    async def test_leaving_the_block_after_a_verdict_does_nothing(self, store: SessionStore) -> None:
        async with await claim_chat(store) as claim:
            await claim.park(OTHER, data())
        assert await store.find_wait_by_scope(ALICE, "alice", OTHER) == "k"
        async with await claim_chat(store) as claim:
            await claim.complete()
        async with await claim_chat(store) as claim:
            await claim.release()
            other = await claim_chat(store)
        await other.complete()  # was not released by the block of the first

    async def test_leaving_the_block_of_a_claim_that_is_over_raises_nothing(self, store: SessionStore) -> None:
        async with await claim_chat(store) as claim:
            await store.remove_session(claim.key)
        assert await store.get_session("k") is None

    async def test_a_cancelled_block_releases(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        with anyio.CancelScope() as scope:
            async with claim:
                scope.cancel()
                await anyio.sleep(MINUTE)
        assert scope.cancelled_caught
        await (await claim_chat(store)).complete()

    async def test_the_lease_ends(self, store: SessionStore, time: Time) -> None:
        claim = await claim_chat(store, lease=time.moment)
        await time.wait_out(time.moment)
        heir = await claim_chat(store)
        await assert_over(claim)
        assert await store.get_session("k") == data()
        await heir.complete()

    async def test_a_claim_whose_lease_ended_is_over_even_if_nobody_came(self, store: SessionStore, time: Time) -> None:
        claim = await claim_chat(store, lease=time.moment)
        await time.wait_out(time.moment)
        await assert_over(claim)
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        assert await store.get_session("k") == data()

    async def test_renew_counts_from_now(self, store: SessionStore, time: Time) -> None:
        claim = await claim_chat(store, lease=time.brief)
        await claim.renew(timedelta(days=1))
        await time.wait_out(time.brief)
        with pytest.raises(ClaimedError):
            await store.claim_wait(ALICE, "alice", CHAT)
        await claim.renew(time.moment)
        await time.wait_out(time.moment)
        assert await store.claim_wait(ALICE, "alice", CHAT) is not None

    async def test_a_claim_outlives_a_shorter_ttl(self, store: SessionStore, time: Time) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=time.brief)
        await store.register_wait(ALICE, "alice", OTHER, "l", data(), ttl=time.brief)
        claim = await store.claim_wait(ALICE, "alice", CHAT, lease=DAY)
        renewed = await store.claim_wait(ALICE, "alice", OTHER, lease=time.brief)
        assert claim is not None
        assert renewed is not None
        await renewed.renew(DAY)
        await time.wait_out(time.brief)
        assert await store.list_waits_for_user(ALICE, "alice") == ["k", "l"]
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
        await claim.complete()
        await renewed.complete()

    async def test_a_claim_does_not_shorten_a_longer_ttl(self, store: SessionStore, time: Time) -> None:
        claim = await claim_chat(store, lease=time.moment)
        await time.wait_out(time.moment)
        await store.touch("k", None)
        claim = await claim_chat(store, lease=time.brief)
        await claim.renew(time.moment)
        await time.wait_out(time.brief)
        assert await store.get_session("k") == data()

    async def test_removing_the_session_ends_the_claim(self, store: SessionStore) -> None:
        removed = await claim_chat(store)
        await store.remove_session("k")
        await store.register_wait(ALICE, "alice", CHAT, "k", data(node="new"))
        await assert_over(removed)
        cleared = await claim_chat(store)
        await store.clear_wait(ALICE, "alice", CHAT)
        await store.create_session(ALICE, data(node="new"), key="k")
        await assert_over(cleared)
        purged = await claim_chat(store) if await store.register_wait(ALICE, "alice", CHAT, "k", data()) is None else cleared
        await store.purge(ALICE)
        await store.create_session(ALICE, data(node="new"), key="k")
        await assert_over(purged)
        assert await store.get_session("k") == data(node="new")

    async def test_a_session_that_expires_ends_the_claim(self, store: SessionStore, time: Time) -> None:
        claim = await claim_chat(store, lease=DAY)
        await store.touch("k", time.moment)
        await time.wait_out(time.moment)
        await store.create_session(ALICE, data(node="new"), key="k")
        await assert_over(claim)
        assert await store.get_session("k") == data(node="new")

    async def test_a_displaced_session_keeps_its_claim(self, store: SessionStore) -> None:
        claim = await claim_chat(store)
        assert await store.register_wait(ALICE, "alice", CHAT, "new", data()) == "k"
        newer = await claim_chat(store)
        assert newer.key == "new"
        assert await claim.park(CHAT, data(node="back")) == "new"
        assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
        await newer.complete()
