"""The project's own tests.

The fixtures come with greentic_session: there is no conftest.py, and nothing to import.
"""

import asyncio

import pytest
from approvals import Expense, decide, submit

from greentic_session import ClaimedError, SessionStore, TenantCtx

pytestmark = pytest.mark.asyncio

ADA = TenantCtx.new("dev", "acme", user="ada")
MAX = TenantCtx.new("dev", "acme", user="max")
TRAIN = Expense("train", 4250)


async def test_an_expense_is_approved(session_store: SessionStore) -> None:
    await submit(session_store, ADA, "max", 1, TRAIN)
    assert await decide(session_store, MAX, 1, approved=True) == "train: 42.50 are paid"
    with pytest.raises(LookupError):
        await decide(session_store, MAX, 1, approved=True)


async def test_only_the_manager_decides(session_store: SessionStore) -> None:
    await submit(session_store, ADA, "max", 1, TRAIN)
    with pytest.raises(LookupError):
        await decide(session_store, ADA, 1, approved=True)
    assert await decide(session_store, MAX, 1, approved=False) == "train: refused"


async def test_every_test_begins_with_an_empty_store(session_store: SessionStore) -> None:
    assert await session_store.list_waits_for_user(MAX, "max") == []


async def test_two_processes_pay_once(redis_session_store: SessionStore) -> None:
    """What is about several processes is proved on Redis; the fixture skips where there is none."""
    await submit(redis_session_store, ADA, "max", 1, TRAIN)
    both = [decide(redis_session_store, MAX, 1, approved=True) for _ in range(2)]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert outcomes.count("train: 42.50 are paid") == 1
    assert {type(outcome) for outcome in outcomes} <= {str, ClaimedError, LookupError}
