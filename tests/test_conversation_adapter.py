"""The conversation store on an adapter of the user's own: the contract, and what is this backend's own."""

import json
from typing import Any

import anyio.lowlevel
import pytest
from hypothesis import settings

from greentic_session.conversation import AdapterConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine


class Adapter:
    """Keeps JSON texts, and lets others run before it does anything."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def save_session(self, id: str, data: dict[str, Any]) -> None:
        text = json.dumps(data)
        await anyio.lowlevel.checkpoint()
        self.kept[id] = text

    async def load_session(self, id: str) -> dict[str, Any] | None:
        await anyio.lowlevel.checkpoint()
        text = self.kept.get(id)
        return None if text is None else json.loads(text)

    async def list_sessions(self) -> list[str]:
        await anyio.lowlevel.checkpoint()
        return list(self.kept)


class DeletingAdapter(Adapter):
    async def delete_session(self, id: str) -> None:
        await anyio.lowlevel.checkpoint()
        del self.kept[id]


class Timer:
    """A clock in microseconds that stands until it is told to go."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


TIMER = Timer()
Machine = conversation_store_machine(
    lambda **options: AdapterConversationStore(Adapter(), timer=TIMER, **options), TIMER.advance
)
Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase


@pytest.mark.parametrize("adapter", [Adapter, DeletingAdapter])
class TestContract(ConversationStoreContract):
    @pytest.fixture
    def make_store(self, adapter: type[Adapter]) -> MakeConversationStore:
        return lambda **options: AdapterConversationStore(adapter(), **options)
