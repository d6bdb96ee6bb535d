"""The gauges of what is ready: how many waits, for how long, and whether counting was stopped."""

from typing import Any

import anyio
import pytest
from observed import Observed

from greentic_session import InMemorySessionStore, InvalidInputError, SessionStore, TenantCtx, UnavailableError
from greentic_session.backend import Backlog
from greentic_session.backends.memory import replies
from greentic_session.models import ReplyScope
from greentic_session.telemetry import instrument, watch_ready
from greentic_session.testing import later
from greentic_session.testing._sessions.calls import answer, park
from greentic_session.testing._sessions.samples import ALICE, DAY, MINUTE, ctx

pytestmark = pytest.mark.asyncio

COUNT = ("greentic.session.ready.count", "{wait}")
AGE = ("greentic.session.ready.oldest_age", "s")
CAPPED = ("greentic.session.ready.capped", "1")
COMMON = {"db.system.name": "memory", "db.collection.name": "sessions"}


async def queue(store: SessionStore, number: int) -> None:
    scope = ReplyScope(f"secret-{number}")
    await park(store, f"k{number}", scope)
    await answer(store, scope=scope, claim=False)


async def told(store: SessionStore, ctx: TenantCtx | None = None) -> dict[tuple[str, str], tuple[float, dict[str, Any]]]:
    """Let the gauges be told once; return what each says."""
    observed = Observed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: watch_ready(store, ctx, every=DAY, meter_provider=observed.meter_provider))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert observed.spans == ()
    return {name: point for name, (point,) in observed.gauges.items()}


async def test_what_waits_for_a_runner() -> None:
    async with InMemorySessionStore() as store:
        assert await told(store) == {COUNT: (0, COMMON), AGE: (0, COMMON), CAPPED: (0, COMMON)}
        await queue(store, 1)
        await later(store, MINUTE)
        await queue(store, 2)
        for observable in (store, instrument(store)):
            said = await told(observable)
            assert said[COUNT] == (2, COMMON)
            assert MINUTE <= said[AGE][0] < DAY
            assert said[CAPPED] == (0, COMMON)


async def test_of_one_tenant_or_team() -> None:
    async with InMemorySessionStore() as store:
        await queue(store, 1)
        of_tenant = {"greentic.session.env": "dev", "greentic.session.tenant": "acme"}
        said = await told(store, ctx(None))
        assert said[COUNT] == (1, COMMON | of_tenant | {"greentic.session.team": "ops"})
        assert (await told(store, ctx(None, team=None)))[COUNT] == (1, COMMON | of_tenant)
        assert (await told(store, ctx(None, tenant="other")))[COUNT][0] == 0
        with pytest.raises(InvalidInputError, match="no user"):
            await watch_ready(store, ALICE)


async def test_counting_that_was_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_MAX_COUNTED", 3)
    async with InMemorySessionStore() as store:
        for number, capped in enumerate((0, 0, 0, 1)):
            await queue(store, number)
            said = await told(store)
            assert (said[COUNT][0], said[CAPPED][0]) == (min(number + 1, 3), capped)


async def test_while_the_store_is_away_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it goes on, until the store is closed."""
    async with InMemorySessionStore() as store:
        backend, observed, seen = store.backend, Observed(), list[object]()

        async def readiness(ctx: TenantCtx | None) -> Backlog:
            seen.append(observed.gauges)
            if len(seen) == 1:
                raise UnavailableError("away")
            if len(seen) == 3:
                await store.aclose()
            return Backlog(7, 1500)

        monkeypatch.setattr(backend, "readiness", readiness)
        with anyio.fail_after(30):
            await watch_ready(store, every=0.001, meter_provider=observed.meter_provider)
        assert seen[:2] == [{}, {}]
        assert observed.gauges == {COUNT: [(7, COMMON)], AGE: [(1.5, COMMON)], CAPPED: [(0, COMMON)]}


async def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="SessionStore"):
        await watch_ready("memory://")  # type: ignore[arg-type]  # refused
    async with InMemorySessionStore() as store:
        with pytest.raises(InvalidInputError, match="every"):
            await watch_ready(store, every=0)
