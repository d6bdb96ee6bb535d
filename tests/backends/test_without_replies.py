"""A backend without replies: its store says so, names the version, and does all the rest."""

from collections.abc import Awaitable, Callable
from time import time
from typing import Any

import anyio
import pytest

from greentic_session import Runner, SessionStore, Start
from greentic_session.backend import Parking, SessionBackend, Settled
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, answer, data, park

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


class WithoutReplies(MemoryBackend):
    """A backend of somebody's own, from before there were replies."""

    async def park(self, parking: Parking) -> Settled:
        if parking.resume:
            self._refuse_replies()
        return await super().park(parking)


for name in ("deliver", "claim_ready", "readiness", "take", "stay", "put_off", "inbox", "retry", "drop"):
    setattr(WithoutReplies, name, getattr(SessionBackend, name))


async def test_a_backend_of_ones_own() -> None:
    async with SessionStore(WithoutReplies(time)) as store:
        await check(store)
