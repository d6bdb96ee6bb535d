"""The in-memory conversation store: the contract on asyncio and on trio."""

import inspect
import time
from functools import partial

import anyio
import pytest
from hypothesis import settings

from greentic_session.conversation import InMemoryConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine


class Timer:
    """A timer that stands until it is told to go."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


TIMER = Timer()
Machine = conversation_store_machine(partial(InMemoryConversationStore, timer=TIMER), TIMER.advance)
Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


@pytest.mark.slow
class TestMachineAtLength(Machine.TestCase):  # type: ignore[name-defined,misc]  # made at run time
    settings = settings(max_examples=600, stateful_step_count=60, deadline=None)


class TestContract(ConversationStoreContract):
    @pytest.fixture
    def make_store(self) -> MakeConversationStore:
        return InMemoryConversationStore


@pytest.mark.parametrize("name", sorted(name for name in dir(TestContract) if name.startswith("test_")))
def test_contract_on_trio(name: str) -> None:
    async def run() -> None:
        test = getattr(TestContract(), name)
        # With a timer of its own a store has no idle sweeper, which could hide that something expired is still answered.
        make_store = partial(InMemoryConversationStore, timer=lambda: time.monotonic())  # noqa: PLW0108  # not the very function
        async with make_store() as store:
            given = {"store": store, "make_store": make_store}
            await test(**{argument: given[argument] for argument in inspect.signature(test).parameters})

    anyio.run(run, backend="trio")
