"""Stores that keep no replies yet: they say so, name the version, and go on with all the rest."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from cluster_servers import Cluster

from greentic_session import RedisSessionStore, Runner, SessionStore, Start
from greentic_session.testing._sessions.calls import answer, park
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, data

pytestmark = pytest.mark.asyncio


async def ignore(_: Any) -> None:
    raise AssertionError


async def check(store: SessionStore) -> None:
    async def run() -> None:
        async with Runner(store, ignore):
            await anyio.sleep(DAY)

    await park(store)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    assert (claim.replies, claim.attempt, claim.timed_out, claim.is_new) == ((), 1, False, False)
    assert claim.idempotency_key == claim.idempotency_key
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: answer(store),
        lambda: answer(store, keep_for=DAY),
        lambda: answer(store, start=Start(data())),
        store.claim_ready,
        lambda: anext(store.iter_ready()),
        lambda: store.inbox(ALICE, "alice", CHAT),
        lambda: store.backend.readiness(None),
        lambda: store.backend.retry("k"),
        lambda: store.backend.drop("k"),
        lambda: park(store, "l", on_timeout="resume"),
        claim.stay,
        claim.take,
        lambda: claim.release(1),
        run,
    ]
    for call in calls:
        with pytest.raises(NotImplementedError, match=r"greentic-session \d+\.\d+\.\d+"):
            await call()
    assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
    await claim.complete()
    assert claim.leftovers == ()


async def test_a_cluster(cluster: Cluster) -> None:
    async with RedisSessionStore.from_url(cluster.url) as store:
        await check(store)
