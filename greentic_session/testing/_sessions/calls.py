"""Calls of the contract tests, for alice's wait where they name nobody."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from greentic_session import Claim, Delivery, Reply
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore

from .samples import ALICE, CHAT, DAY, data

__all__ = ["answer", "beside", "bodies", "by_user", "claim_answer", "inbox", "park", "ready"]


async def by_user(store: SessionStore, caller: TenantCtx, user: str) -> tuple[str, SessionData] | None:
    """Call `find_by_user`, which warns that it is deprecated."""
    with pytest.warns(DeprecationWarning, match="use find_wait_by_scope or list_waits_for_user instead"):
        return await store.find_by_user(caller, user)


async def park(store: SessionStore, key: str = "k", scope: ReplyScope = CHAT, ttl: float = DAY, **options: Any) -> None:
    """Park a flow of alice's."""
    await store.register_wait(ALICE, "alice", scope, key, data(node=key), ttl, **options)


async def answer(store: SessionStore, body: Any = "yes", scope: ReplyScope = CHAT, **options: Any) -> Delivery:
    """Deliver a reply to alice's wait."""
    return await store.deliver(ALICE, "alice", scope, body, **options)


async def claim_answer(store: SessionStore, body: Any = "yes", **options: Any) -> Claim:
    """Deliver a reply to alice's wait, which is free; return the claim on it."""
    delivery = await answer(store, body, **options)
    assert delivery.outcome == "claimed"
    assert delivery.claim is not None
    return delivery.claim


async def ready(store: SessionStore, **options: Any) -> Claim:
    """Return the claim on what is ready: it is one wait."""
    [claim] = await store.claim_ready(**options)
    return claim


def bodies(replies: Iterable[Reply]) -> list[str]:
    """Return what replies say."""
    return [reply.body for reply in replies]


async def inbox(store: SessionStore, scope: ReplyScope = CHAT) -> list[str]:
    """Return what lies at a place of alice's."""
    return bodies(await store.inbox(ALICE, "alice", scope))


@asynccontextmanager
async def beside(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Let a task work beside the block, which begins once the task sleeps; both end within 30 s."""
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await anyio.wait_all_tasks_blocked()
            yield
