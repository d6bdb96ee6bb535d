"""The watcher of a store: what it asks, how often, and what it does where nobody answers."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from runs.cli import park

from greentic_session import InMemorySessionStore, ReplyScope, TenantCtx, UnavailableError
from greentic_session.admin import Group, Inspector, Tally
from greentic_session.cli.live.watcher import Watcher

pytestmark = pytest.mark.asyncio

ALICE = TenantCtx.new("dev", "acme", user="alice")
PLACE = ReplyScope("c1", reply_to="7")


class Timer:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def watcher_of(store: InMemorySessionStore, timer: Callable[[], float], inspector: Inspector | None = None) -> Watcher:
    inspector = inspector or store.backend.inspector()
    assert inspector is not None
    return Watcher(store.backend, inspector, "memory", every=0.1, timer=timer)


async def test_it_counts_and_looks() -> None:
    timer = Timer()
    async with InMemorySessionStore() as store:
        watcher = watcher_of(store, timer)
        await park(store, ALICE, "k1", "c1")
        await park(store, TenantCtx.new("dev", "other", user="bob"), "k2", "c2")
        await store.deliver(ALICE, "alice", PLACE, "yes", claim=False)
        before = watcher.view()
        assert (before.total, before.ready, before.counted_s) == (None, None, None)
        await watcher.count()
        await watcher.look()
        timer.now += 4
        seen = watcher.view()
        assert seen.total is not None
        assert (seen.total.waits, seen.total.ready, seen.ready, seen.counted_s) == (2, 1, 1, 4.0)
        assert [(name, tally.ready) for name, tally in seen.tenants] == [("dev/acme", 1), ("dev/other", 0)]
        assert [(name, tally.waits) for name, tally in seen.flows] == [("order.flow", 2)]
        assert seen.ready_line[-1] == 1.0
        assert seen.rate is None


async def test_the_rate_is_that_of_the_last_seconds() -> None:
    timer = Timer()
    async with InMemorySessionStore() as store:
        watcher = watcher_of(store, timer)
        await park(store, ALICE, "k1", "c1")
        rates = []
        for replies in (0, 4, 0, *[0] * 12):
            for _ in range(replies):
                await store.deliver(ALICE, "alice", PLACE, "yes", claim=False)
            await watcher.look()
            rates.append(watcher.view().rate)
            timer.now += 1
        assert rates[:3] == [None, 4.0, 2.0]
        assert rates[-1] == 0.0


async def test_a_storage_that_begins_to_count_anew() -> None:
    timer, answers = Timer(), iter([1000, 1010, 3, 5])
    async with InMemorySessionStore() as store:
        inspector = store.backend.inspector()
        assert inspector is not None

        async def accepted() -> int:
            return next(answers)

        inspector.accepted = accepted  # type: ignore[method-assign]  # played
        watcher, rates = watcher_of(store, timer, inspector), []
        for _ in range(4):
            await watcher.look()
            rates.append(watcher.view().rate)
            timer.now += 1
        assert rates == [None, 10.0, None, 2.0]


async def test_it_goes_on_where_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with InMemorySessionStore() as store:
        watcher = watcher_of(store, Timer())
        answered, away = asyncio.Event(), asyncio.Event()
        readiness, calls = store.backend.readiness, 0

        async def flaky(ctx: TenantCtx | None) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                away.set()
                raise UnavailableError("cannot reach Redis")
            answered.set()
            return await readiness(ctx)

        monkeypatch.setattr(store.backend, "readiness", flaky)
        running = asyncio.create_task(watcher.run())
        await away.wait()
        await asyncio.sleep(0)
        assert watcher.view().trouble == "cannot reach Redis"
        async with asyncio.timeout(30):
            await answered.wait()
            while watcher.view().trouble:  # noqa: ASYNC110  # nobody tells when it is over
                await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert watcher.view().ready == 0


async def test_it_says_how_far_a_count_is() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async with InMemorySessionStore() as store:
        inspector = store.backend.inspector()
        assert inspector is not None

        async def survey(looked: Callable[[int], object], _: object = None) -> Mapping[Group, Tally]:
            looked(7)
            began.set()
            await go_on.wait()
            return {Group("", "", None): Tally(sessions=1), Group("dev", "acme", None): Tally(conversations=1)}

        inspector.survey = survey  # type: ignore[method-assign,assignment]  # played
        watcher = watcher_of(store, Timer(), inspector)
        counting = asyncio.create_task(watcher.count())
        await began.wait()
        assert watcher.view().looked == 7
        go_on.set()
        await counting
        seen = watcher.view()
        assert seen.looked is None
        assert [name for name, _ in seen.tenants] == ["(unreadable)"]
