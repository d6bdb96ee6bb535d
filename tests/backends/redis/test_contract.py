"""The Redis store: the contract, and the state machine on a server whose time the test moves."""

import uuid
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis_server import Server
from time_passing import UNIT, OnTheSharedRedis, passing

from greentic_session import RedisSessionStore
from greentic_session.testing import ReplyContract, ReplyStoreMachine, SessionStoreContract, session_store_machine


class TestContract(OnTheSharedRedis, SessionStoreContract, ReplyContract):
    make = RedisSessionStore.from_url


@pytest.mark.parametrize(
    ("examples", "steps"), [(6, 25), pytest.param(60, 50, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_state_machine(shared: Server, examples: int, steps: int) -> None:
    with shared.client() as raw:

        def make_store(**options: Any) -> RedisSessionStore:
            raw.flushall()
            return RedisSessionStore.from_url(shared.url, namespace=f"test-{uuid.uuid4().hex}", **options)

        machine = session_store_machine(make_store, passing([raw]), unit=UNIT, base=ReplyStoreMachine)
        run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
