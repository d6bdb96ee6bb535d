"""Deadlines that are all due at once, heard by two Runners; and one of another tenant."""

import asyncio
import time
from collections.abc import Callable

from benchmarks.harness.report import Row, Target
from greentic_session import Claim, ReplyScope, Runner, SessionData, SessionStore, TenantCtx

from .stores import Place

__all__ = ["measure_deadlines"]

_RUNNERS = 2
_CONCURRENCY = 64
_MIN_TURNS_PER_SECOND = 2000
_USERS = 1000
_PARKING_TASKS = 50
_TTL_S = 1.0
_POLL_S = 0.02


async def measure_deadlines(place: Place, *, deadlines: int, tick: Callable[[], object]) -> list[Row]:
    """Return rows for the turns a second, and for when the other tenant had its one."""
    place.empty()
    async with place.store() as store:
        await _park_all(store, deadlines)
        single = TenantCtx.new("production", "single", user="user")
        data = SessionData.new(single, "order", "remind")
        await store.register_wait(single, "user", ReplyScope("chat"), "single", data, _TTL_S, on_timeout="resume")
        await asyncio.sleep(_TTL_S)
        heard, at = 0, 0

        async def handle(claim: Claim) -> None:
            nonlocal heard, at
            heard += 1
            if claim.key == "single":
                at = heard
            await claim.complete()

        cpu, began = time.process_time(), time.perf_counter()
        async with Runner(store, handle, concurrency=_CONCURRENCY), Runner(store, handle, concurrency=_CONCURRENCY):
            while heard <= deadlines:  # noqa: ASYNC110  # an event would be set within what is measured
                await asyncio.sleep(_POLL_S)
            taken = time.perf_counter() - began
        cpu = time.process_time() - cpu
    tick()
    measurement = f"{place.backend}: {deadlines:,} deadlines due at once"
    return [
        Row(
            measurement=measurement,
            contestant=f"{_RUNNERS} Runners",
            value=heard / taken,
            unit="turns/s",
            cpu=cpu / heard * 1e6,
            target=Target("value", "min", _MIN_TURNS_PER_SECOND),
        ),
        Row(
            measurement=measurement,
            contestant="the last one to be due, of another tenant",
            value=at,
            unit=". turn",
            target=Target("value", "max", _RUNNERS * _CONCURRENCY),
        ),
    ]


async def _park_all(store: SessionStore, count: int) -> None:
    owners = [TenantCtx.new("production", "crowd", user=f"user-{user}") for user in range(_USERS)]
    datas = [SessionData.new(owner, "order", "remind") for owner in owners]
    numbers = iter(range(count))

    async def park() -> None:
        for n in numbers:
            user = n % _USERS
            scope = ReplyScope(f"chat-{n}")
            await store.register_wait(
                owners[user], f"user-{user}", scope, f"wait-{n}", datas[user], _TTL_S, on_timeout="resume"
            )

    await asyncio.gather(*(park() for _ in range(_PARKING_TASKS)))
