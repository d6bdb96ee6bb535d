"""The conversation store in a database: contract on asyncio and trio, and state machine."""

import inspect
import itertools
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_databases import make
from hypothesis import settings
from time_passing import OnATimer
from timers import Timer

from greentic_session.conversation import SQLiteConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, Time, conversation_store_machine

TIMER = Timer()
NUMBERS = itertools.count()
EXAMPLES = tempfile.TemporaryDirectory()
"""Of the state machine, which has no fixtures."""

Machine = conversation_store_machine(
    lambda **options: make(Path(EXAMPLES.name) / f"{next(NUMBERS)}.db", timer=TIMER, **options), TIMER.advance
)
Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


@pytest.mark.slow
class TestMachineAtLength(Machine.TestCase):  # type: ignore[name-defined,misc]  # made at run time
    settings = settings(max_examples=250, stateful_step_count=60, deadline=None)


class TestContract(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path, timer: Timer) -> MakeConversationStore:
        return lambda **options: SQLiteConversationStore(tmp_path / f"{next(NUMBERS)}.db", timer=timer, **options)


@pytest.mark.parametrize("name", sorted(name for name in dir(TestContract) if name.startswith("test_")))
def test_contract_on_trio(name: str, tmp_path: Path) -> None:
    async def run() -> None:
        test = getattr(TestContract(), name)
        timer = Timer()

        def make_store(**options: Any) -> SQLiteConversationStore[Any]:
            return make(tmp_path / f"{next(NUMBERS)}.db", timer=timer, **options)

        async with make_store() as store:
            given = {"store": store, "make_store": make_store, "time": Time.moved(timer.advance)}
            await test(**{argument: given[argument] for argument in inspect.signature(test).parameters})

    anyio.run(run, backend="trio")
