"""The in-memory conversation store: the contract on asyncio and on trio."""

import inspect
import time
from functools import partial

import anyio
import pytest

from greentic_session.conversation import InMemoryConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore


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
