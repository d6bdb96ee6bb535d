"""The conversation store in a database: contract on asyncio and trio, and state machine."""

import itertools
import tempfile
from pathlib import Path

import pytest
from conversation_databases import make
from runs.machines import machine_tests
from time_passing import OnATimer, each_test_of, run_on_trio
from timers import Timer

from greentic_session.conversation import SQLiteConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine

TIMER = Timer()
NUMBERS = itertools.count()
EXAMPLES = tempfile.TemporaryDirectory()
"""Of the state machine, which has no fixtures."""

Machine = conversation_store_machine(
    lambda **options: make(Path(EXAMPLES.name) / f"{next(NUMBERS)}.db", timer=TIMER, **options), TIMER.advance
)
TestMachine, TestMachineAtLength = machine_tests(Machine, 25, 250)


class TestContract(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path, timer: Timer) -> MakeConversationStore:
        return lambda **options: SQLiteConversationStore(tmp_path / f"{next(NUMBERS)}.db", timer=timer, **options)


@pytest.mark.slow
@each_test_of(TestContract)
def test_contract_on_trio(name: str, tmp_path: Path) -> None:
    run_on_trio(TestContract(), name, lambda **options: make(tmp_path / f"{next(NUMBERS)}.db", **options))
