"""The conversation store in Redis: the contract, and the state machine on a server whose time the test moves."""

from collections.abc import Callable, Iterator

import pytest
from conversation_keys import check, pass_time
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from redis_server import Server

from greentic_session._contract.conversation_machine import ConversationStoreMachine
from greentic_session.conversation import RedisConversationStore
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine


class TestContract(ConversationStoreContract):
    @pytest.fixture
    def make_store(self, redis_url: str, namespaces: Callable[[], str]) -> MakeConversationStore:
        return lambda **options: RedisConversationStore.from_url(redis_url, namespace=namespaces(), **options)


UNIT = 10_000.0
"""Seconds: against lifetimes of hours, the time that an example takes is nothing."""


@pytest.fixture(scope="module")
def moved() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.parametrize(
    ("examples", "steps"), [(40, 30), pytest.param(300, 50, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_state_machine(moved: Server, examples: int, steps: int) -> None:
    """Beside the model, what is stored is looked at after every step."""
    with moved.client() as raw:

        class Machine(ConversationStoreMachine):
            @invariant()
            def keys_belong_together(self) -> None:
                check(raw, "m")

        def make_store(**options: object) -> RedisConversationStore[object]:
            raw.flushall()
            return RedisConversationStore.from_url(moved.url, namespace="m", **options)  # type: ignore[arg-type]

        def advance(seconds: float) -> None:
            pass_time(raw, seconds)

        machine = conversation_store_machine(make_store, advance, unit=UNIT, base=Machine)
        run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
        raw.flushall()
