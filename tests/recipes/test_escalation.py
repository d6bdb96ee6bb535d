"""An alarm: ask A, remind A, ask B, give up; whoever takes it ends it, also in another process."""

import pytest
from conftest import Open
from escalation import MINUTE, ON_CALL, Alarm, Step, raise_alarm, take_alarm, work
from turns import People

from greentic_session import ReplyScope, TenantCtx
from greentic_session.testing import later

pytestmark = pytest.mark.asyncio

FIRE = Alarm("fire", [Step("ann", "Please take"), Step("ann", "Reminder"), Step("bob", "Please take")])
CTX = TenantCtx.new("prod", "acme", user=ON_CALL)


async def test_nobody_takes_it(open_store: Open) -> None:
    phones = People(work)
    told = [("ann", "Please take: fire"), ("ann", "Reminder: fire"), ("bob", "Please take: fire")]
    async with open_store() as store, phones.at_work(store) as runner:
        await raise_alarm(runner, "acme", "a1", FIRE)
        await raise_alarm(runner, "acme", "a1", FIRE)
        for turn in range(1, 4):
            await phones.turns.reach(turn)
            assert phones.told == told[:turn]
            await later(store, 10 * MINUTE)
        await phones.turns.reach(4)
        assert phones.told == told
        assert await store.find_wait(CTX, ON_CALL, ReplyScope("alarm:a1")) is None
        assert not await take_alarm(runner, "acme", "a1", "ann")


async def test_whoever_takes_it_ends_it(open_store: Open) -> None:
    """The first one, too, when the second has been asked; and nobody is asked any more."""
    phones = People(work)
    async with open_store() as store, phones.at_work(store) as runner:
        await raise_alarm(runner, "acme", "a1", FIRE)
        for turn in (1, 2):
            await phones.turns.reach(turn)
            await later(store, 10 * MINUTE)
        await phones.turns.reach(3)
        assert await take_alarm(runner, "acme", "a1", "ann")
        await phones.turns.reach(4)
        assert phones.told[3:] == [("ann", "Yours, thank you: fire")]
        await later(store, 60 * MINUTE)
        assert await store.claim_ready() == []


async def test_a_step_that_was_due_while_no_process_ran(open_store: Open) -> None:
    phones = People(work)
    async with open_store() as store:
        async with phones.at_work(store) as runner:
            await raise_alarm(runner, "acme", "a1", FIRE)
            await phones.turns.reach(1)
        await later(store, 60 * MINUTE)
    async with open_store() as store, phones.at_work(store):
        await phones.turns.reach(1)
        assert phones.told[1:] == [("ann", "Reminder: fire")]
