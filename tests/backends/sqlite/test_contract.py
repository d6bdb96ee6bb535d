"""The SQLite store: the contract on asyncio and on trio, and the state machine."""

import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from time_passing import OnATimer, run_on_trio
from timers import Timer

from greentic_session import SQLiteSessionStore
from greentic_session.testing import (
    MakeStore,
    ReplyContract,
    ReplyStoreMachine,
    SessionStoreContract,
    session_store_machine,
)


class TestContract(OnATimer, SessionStoreContract, ReplyContract):
    @pytest.fixture
    def make_store(self, timer: Timer, databases: Callable[[], Path]) -> MakeStore:
        return lambda **options: SQLiteSessionStore.open(databases(), timer=timer, durability="process", **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name in dir(TestContract) if name.startswith("test_")))
def test_contract_on_trio(name: str, databases: Callable[[], Path]) -> None:
    def make(**options: object) -> SQLiteSessionStore:
        return SQLiteSessionStore.open(databases(), durability="process", **options)  # type: ignore[arg-type]  # a store's

    run_on_trio(TestContract(), name, make)


class Checked(ReplyStoreMachine):
    """The contract's model; after every step the columns must say what the texts say."""

    async def check_everything(self) -> None:
        await super().check_everything()
        inspector = self.store.backend.inspector()
        assert inspector is not None
        assert (await inspector.examine(lambda _: None)).findings == []


@pytest.mark.parametrize(
    ("examples", "steps"), [(4, 25), pytest.param(40, 50, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_state_machine(examples: int, steps: int) -> None:
    timer = Timer()
    with TemporaryDirectory() as directory:
        numbers = itertools.count()

        def make_store(**options: Any) -> SQLiteSessionStore:
            return SQLiteSessionStore.open(f"{directory}/{next(numbers)}.db", timer=timer, durability="process", **options)

        machine = session_store_machine(make_store, timer.advance, base=Checked)
        run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
