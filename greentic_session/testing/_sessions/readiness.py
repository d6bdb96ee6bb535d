"""Readiness.

What is claimed by whoever asks for work, in which order, and how claims are kept alive.
"""

from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from greentic_session.backend import Backlog
from greentic_session.claim import Claim
from greentic_session.errors import ConflictError, InvalidInputError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.store import SessionStore

from .calls import answer, beside, bodies, claim_answer, park, ready
from .claims import CancelledAt
from .samples import ALICE, CHAT, DAY, MINUTE, MakeStore, Time, ctx, data

__all__ = ["ReadinessContract"]


async def queue(store: SessionStore, owner: TenantCtx, number: int) -> None:
    """Park a flow of somebody's, and let a reply lie there."""
    user, scope = owner.effective_user or "", ReplyScope(f"c{number}")
    key = f"{owner.env}-{owner.tenant_id}-{owner.effective_team}-{user}-{number}"
    await store.register_wait(owner, user, scope, key, data(owner), DAY)
    await store.deliver(owner, user, scope, str(number), claim=False)


async def _given_back(store: SessionStore) -> Claim:
    """Return the claim on what a cancelled call gives back: that may come a moment after it."""
    with anyio.fail_after(30):
        while not (claims := await store.claim_ready()):
            await anyio.lowlevel.checkpoint()
    [claim] = claims
    return claim


class ReadinessContract:
    """claim_ready, iter_ready, and claims within ``async with``."""

    async def test_nothing_is_ready(self, store: SessionStore) -> None:
        await park(store)
        await store.create_session(ALICE, data(), key="s")
        assert await store.claim_ready() == []
        assert await store.claim_ready(ctx(None), limit=5) == []

    async def test_a_limit(self, store: SessionStore) -> None:
        for number in range(5):
            await queue(store, ALICE, number)
        claims = await store.claim_ready(limit=3)
        assert [claim.reply and claim.reply.body for claim in claims] == ["0", "1", "2"]
        assert [claim.reply and claim.reply.body for claim in await store.claim_ready(limit=9)] == ["3", "4"]
        for limit in (0, -1):
            with pytest.raises(InvalidInputError):
                await store.claim_ready(limit=limit)

    async def test_of_many_one_gets_it(self, store: SessionStore) -> None:
        await queue(store, ALICE, 0)
        won: list[Claim] = []

        async def run() -> None:
            won.extend(await store.claim_ready())

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(run)
        assert len(won) == 1

    async def test_whose_waits_are_claimed(self, store: SessionStore) -> None:
        owners = [ALICE, ctx("bob", team="sales"), ctx("carl", team=None), ctx(tenant="globex"), ctx(env="prod")]
        for owner in owners:
            await queue(store, owner, 0)
        with pytest.raises(InvalidInputError):
            await store.claim_ready(ALICE)
        with pytest.raises(InvalidInputError):
            store.iter_ready(ALICE)
        [team] = await store.claim_ready(ctx(None), limit=9)
        assert team.data == data(ALICE)
        tenant = await store.claim_ready(ctx(None, team=None), limit=9)
        assert {str(claim.key) for claim in tenant} == {"dev-acme-sales-bob-0", "dev-acme-None-carl-0"}
        rest = await store.claim_ready(limit=9)
        assert {(claim.data.tenant_ctx.env, claim.data.tenant_ctx.tenant_id) for claim in rest} == {
            ("dev", "globex"),
            ("prod", "acme"),
        }
        for claim in rest:
            await claim.park(CHAT, claim.data)  # whoever runs it acts for the wait's own user

    async def test_tenants_take_turns(self, store: SessionStore) -> None:
        busy, single = ctx(tenant="busy"), ctx(tenant="single")
        for number in range(6):
            await queue(store, busy, number)
        await queue(store, single, 0)
        await queue(store, single, 1)
        claims = await store.claim_ready(limit=8)
        tenants = [claim.data.tenant_ctx.tenant_id for claim in claims]
        assert tenants == ["busy", "single", "busy", "single", "busy", "busy", "busy", "busy"]
        order = [claim.reply.body for claim in claims if claim.reply and claim.data.tenant_ctx.tenant_id == "busy"]
        assert order == [str(number) for number in range(6)]

    async def test_longest_due_is_counted_from_when_it_became_ready_again(self, store: SessionStore, time: Time) -> None:
        for number in range(3):
            await queue(store, ALICE, number)
            await time.wait_out(time.moment)
        first = await ready(store)
        assert bodies(first.replies) == ["0"]
        await first.release()
        order = [claim.reply and claim.reply.body for claim in await store.claim_ready(limit=3)]
        assert order == ["1", "2", "0"]

    async def test_another_reply_does_not_send_a_wait_to_the_back(self, store: SessionStore, time: Time) -> None:
        for number in range(2):
            await queue(store, ALICE, number)
            await time.wait_out(time.moment)
        await answer(store, "more", scope=ReplyScope("c0"), claim=False)
        order = [claim.reply and claim.reply.body for claim in await store.claim_ready(limit=2)]
        assert order == ["0", "1"]

    async def test_what_a_dead_runner_held_is_ready_with_its_lease(self, store: SessionStore, time: Time) -> None:
        await queue(store, ALICE, 0)
        await ready(store, lease=time.moment)
        assert await store.claim_ready() == []
        await time.wait_out(time.moment)
        assert (await ready(store)).attempt == 2

    async def test_a_busy_place_is_ready_when_the_old_claim_ends(self, store: SessionStore, time: Time) -> None:
        await park(store)
        claim = await claim_answer(store, lease=time.moment)
        await park(store, "newer")
        await claim.renew(time.brief)
        await time.wait_out(time.moment)
        assert await store.claim_ready() == []
        await time.wait_out(time.brief)
        assert (await ready(store)).key == "newer"

    # -- what observers ask of the backend

    async def test_what_is_ready_is_counted_with_its_age(self, store: SessionStore, time: Time) -> None:
        backend = store.backend
        assert await backend.readiness(None) == Backlog()
        await queue(store, ALICE, 0)
        await time.wait_out(time.moment)
        await queue(store, ALICE, 1)
        await queue(store, ctx("bob", team="sales"), 0)
        await queue(store, ctx(tenant="globex"), 0)
        await park(store, "unanswered", ReplyScope("unanswered"))
        backlog = await backend.readiness(None)
        assert (backlog.count, backlog.is_capped) == (4, False)
        assert time.moment * 1000 <= (backlog.oldest_ms or 0) < DAY * 1000
        counts = [
            ctx(None),
            ctx(None, team="sales"),
            ctx(None, team=None),
            ctx(None, tenant="globex"),
            ctx(None, env="none"),
        ]
        assert [(await backend.readiness(caller)).count for caller in counts] == [2, 1, 3, 1, 0]
        assert len(await store.claim_ready(limit=9)) == 4
        assert await backend.readiness(None) == Backlog()

    async def test_all_is_counted_where_many_teams_have_something(self, store: SessionStore) -> None:
        owners = [ctx(tenant=tenant, team=f"team-{number}") for tenant in ("acme", "globex") for number in range(60)]
        owners += [ctx(tenant=f"tenant-{number}") for number in range(130)]
        for owner in owners:
            await queue(store, owner, 0)
        for caller, count in ((None, 250), (ctx(None, tenant="acme", team=None), 60), (ctx(None, tenant="tenant-7"), 1)):
            backlog = await store.backend.readiness(caller)
            assert (backlog.count, backlog.is_capped) == (count, False)

    async def test_what_is_not_ready_is_not_counted(self, store: SessionStore, time: Time) -> None:
        await park(store, "k", CHAT, time.moment, on_timeout="resume")
        await queue(store, ALICE, 0)
        await (await ready(store)).release(time.moment)
        assert await store.backend.readiness(None) == Backlog()
        await time.wait_out(time.moment)
        assert (await store.backend.readiness(None)).count == 2
        await store.touch("k", DAY)
        assert (await store.backend.readiness(None)).count == 1
        await ready(store, lease=time.moment)
        assert (await store.backend.readiness(None)).count == 0
        await time.wait_out(time.moment)
        assert (await store.backend.readiness(None)).count == 1  # its runner is dead

    # -- iter_ready

    async def test_iter_ready_wakes_at_once(self, store: SessionStore) -> None:
        await park(store)
        got: list[str] = []

        async def work() -> None:
            async for claim in store.iter_ready(poll=DAY):
                got.extend(bodies(claim.replies))
                async with claim:
                    await claim.stay()
                if len(got) == 3:
                    return

        async with beside(work):
            for number in range(3):
                await anyio.wait_all_tasks_blocked()
                await answer(store, str(number), claim=False)
        assert got == ["0", "1", "2"]

    async def test_iter_ready_finds_what_another_one_lets_go(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)

        async def work() -> None:
            async for found in store.iter_ready(poll=DAY):
                await found.complete()
                return

        async with beside(work):
            await claim.release()
        assert await store.get_session("k") is None

    async def test_iter_ready_ends_with_the_store(self, make_store: MakeStore) -> None:
        store = make_store()
        ended = anyio.Event()

        async def work() -> None:
            async for _ in store.iter_ready(poll=0.01):
                raise AssertionError
            ended.set()

        async with beside(work):
            await store.aclose()
            await ended.wait()

    async def test_iter_ready_holds_no_claim_that_it_has_not_yielded(self, store: SessionStore) -> None:
        for number in range(2):
            await queue(store, ALICE, number)
        async for claim in store.iter_ready():
            assert bodies(claim.replies) == ["0"]
            break
        assert bodies((await ready(store)).replies) == ["1"]

    async def test_a_cancelled_iteration_holds_nothing(self, store: SessionStore) -> None:
        await park(store)

        async def work() -> None:
            async for claim in store.iter_ready(poll=DAY):
                async with claim:
                    await anyio.sleep(DAY)

        for _ in range(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
                await anyio.wait_all_tasks_blocked()
                await answer(store, claim=False)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            claim = await _given_back(store)
            assert claim.attempt == 1  # cancelled: ready at once, and no attempt
            await claim.take()
            await claim.stay()

    async def test_whoever_is_cancelled_on_its_way_holds_nothing(self, store: SessionStore) -> None:
        """A cancelled deliver or claim_ready gives back what it may hold."""
        for call in (lambda: answer(store), lambda: store.claim_ready(limit=2)):
            point, cancelled = 0, True
            while cancelled:
                await park(store)
                await answer(store, claim=False)
                point += 1
                with anyio.CancelScope() as scope:
                    await CancelledAt(call(), point, scope)
                cancelled = scope.cancelled_caught
                if cancelled:
                    assert (await _given_back(store)).attempt == 1
                await store.clear_wait(ALICE, "alice", CHAT)

    async def test_a_call_for_many_that_is_cancelled_holds_none(self, store: SessionStore) -> None:
        for number in range(4):
            await queue(store, ALICE, number)
        point, cancelled = 0, True
        while cancelled:
            point += 1
            with anyio.CancelScope() as scope:
                await CancelledAt(store.claim_ready(limit=9), point, scope)
            cancelled = scope.cancelled_caught
            if cancelled:
                claims: list[Claim] = []
                with anyio.fail_after(30):
                    while len(claims) < 4:
                        claims += await store.claim_ready(limit=9)
                        await anyio.lowlevel.checkpoint()
                assert {claim.attempt for claim in claims} == {1}
                for claim in claims:
                    await claim.release()
        assert await store.claim_ready(limit=9) == []

    # -- keeping alive

    async def test_a_plain_claim_that_is_kept_alive_leaves_as_others_do(self, store: SessionStore) -> None:
        await park(store)
        claim = await store.claim_wait(ALICE, "alice", CHAT, keep_alive=True)
        assert claim is not None
        async with claim:
            await claim.renew(DAY)
        again = await store.claim_wait(ALICE, "alice", CHAT)
        assert again is not None  # it leaves as plain claims do: the wait is free at once
        assert again.attempt == 1
        with pytest.raises(TypeError):
            await store.claim_wait(ALICE, "alice", CHAT, keep_alive=1)  # type: ignore[arg-type]  # refused

    async def test_a_claim_that_is_lost_cancels_its_block(self, store: SessionStore) -> None:
        await park(store)
        reached: list[str] = []

        async def work() -> None:
            async with await claim_answer(store, lease=0.15) as claim:
                await store.remove_session(claim.key)
                await anyio.sleep(DAY)
                reached.append("behind")

        with anyio.fail_after(30), pytest.raises(ConflictError):
            await work()
        assert reached == []

    async def test_what_the_block_raises_leaves_as_it_is(self, store: SessionStore) -> None:
        await park(store)

        async def swallow() -> None:
            async with await claim_answer(store, lease=0.15) as claim:
                with suppress(anyio.get_cancelled_exc_class()):
                    await store.remove_session(claim.key)  # the loss may be found before this returns
                    await anyio.sleep(DAY)
                raise ZeroDivisionError

        with anyio.fail_after(30), pytest.raises(ZeroDivisionError):
            await swallow()
        await park(store)
        with pytest.raises(ZeroDivisionError):
            async with await claim_answer(store):
                raise ZeroDivisionError

    async def test_a_block_that_is_cancelled_gives_back_at_once(self, store: SessionStore) -> None:
        await park(store)
        with anyio.CancelScope() as scope:
            async with await claim_answer(store):
                scope.cancel()
                await anyio.sleep(MINUTE)
        assert scope.cancelled_caught
        claim = await ready(store)
        assert claim.attempt == 1
        with anyio.move_on_after(0.01):
            async with claim:
                await anyio.sleep(MINUTE)
        assert (await ready(store)).attempt == 1
