"""A question to five people: the first answer counts, whoever gives it."""

import pytest
from any_of_five import HOUR, PANEL, Question, answer, ask, work
from conftest import Open
from turns import People

from greentic_session import ReplyScope, TenantCtx
from greentic_session.testing import later

pytestmark = pytest.mark.asyncio

FIVE = ["ann", "bob", "cem", "dan", "eva"]
LUNCH = Question("Pizza or soup?", FIVE)


class Office(People):
    """Messages to the five."""

    def __init__(self) -> None:
        super().__init__(work)

    async def hears(self, turns: int) -> list[tuple[str, str]]:
        await self.turns.reach(turns)
        told, self.told = self.told, []
        return told


def all_of_them(text: str) -> list[tuple[str, str]]:
    return [(member, text) for member in FIVE]


async def test_the_first_answer_counts(open_store: Open) -> None:
    office = Office()
    async with open_store() as store, office.at_work(store) as runner:
        await ask(runner, "acme", "q1", LUNCH)
        await ask(runner, "acme", "q1", LUNCH)
        assert await office.hears(1) == all_of_them("Pizza or soup?")
        assert await answer(runner, "acme", "q1", "mallory", "None", "m1")
        assert await office.hears(2) == []
        assert await answer(runner, "acme", "q1", "cem", "Soup", "m1")
        assert await office.hears(3) == all_of_them("cem says: Soup")
        assert not await answer(runner, "acme", "q1", "dan", "Pizza", "m1")


async def test_answers_in_the_same_moment(open_store: Open) -> None:
    office = Office()
    async with open_store() as store:
        async with office.at_work(store) as runner:
            await ask(runner, "acme", "q1", LUNCH)
            await office.hears(1)
        for member in ("bob", "mallory", "eva", "bob"):
            await answer(runner, "acme", "q1", member, "Pizza", "m1")  # the runner takes nothing any more
    async with open_store() as store, office.at_work(store):
        assert await office.hears(1) == [*all_of_them("bob says: Pizza"), ("eva", "Somebody was faster.")]


async def test_an_answer_that_comes_while_the_question_is_asked(open_store: Open) -> None:
    office = Office()
    async with open_store() as store, office.at_work(store) as runner:
        await ask(runner, "acme", "q1", LUNCH)
        await answer(runner, "acme", "q1", "ann", "Soup", "m1")
        assert await office.hears(2) == all_of_them("Pizza or soup?") + all_of_them("ann says: Soup")


async def test_nobody_answers(open_store: Open) -> None:
    office = Office()
    async with open_store() as store, office.at_work(store) as runner:
        await ask(runner, "acme", "q1", LUNCH)
        await office.hears(1)
        await later(store, HOUR)
        assert await office.hears(2) == all_of_them("Nobody has answered.")
        ctx = TenantCtx.new("prod", "acme", user=PANEL)
        assert await store.find_wait(ctx, PANEL, ReplyScope("question:q1")) is None
