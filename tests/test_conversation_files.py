"""The conversation store in files: the contract on asyncio and on trio, and the state machine."""

import inspect
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import settings

from greentic_session._contract.conversation_machine import ConversationStoreMachine
from greentic_session.conversation import FileConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine


class Timer:
    """A clock in microseconds that stands until it is told to go."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


TIMER = Timer()
NUMBERS = itertools.count()


class Machine(ConversationStoreMachine):
    """Each example in a directory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


DIRECTORY = tempfile.TemporaryDirectory()


def make_machine_store(**options: Any) -> FileConversationStore[Any]:
    return FileConversationStore(f"{DIRECTORY.name}/{next(NUMBERS)}", timer=TIMER, fsync=False, **options)


Bound = conversation_store_machine(make_machine_store, TIMER.advance)
Bound.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Bound.TestCase


class TestContract(ConversationStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeConversationStore:
        return lambda **options: FileConversationStore(tmp_path / str(next(NUMBERS)), **options)


@pytest.mark.parametrize("name", sorted(name for name in dir(TestContract) if name.startswith("test_")))
def test_contract_on_trio(name: str, tmp_path: Path) -> None:
    async def run() -> None:
        test = getattr(TestContract(), name)

        def make_store(**options: Any) -> FileConversationStore[Any]:
            return FileConversationStore(tmp_path / str(next(NUMBERS)), **options)

        async with make_store() as store:
            given = {"store": store, "make_store": make_store}
            await test(**{argument: given[argument] for argument in inspect.signature(test).parameters})

    anyio.run(run, backend="trio")
