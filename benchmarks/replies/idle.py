"""Commands of an idle `iter_ready` at the server in each poll, however many waits there are."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from benchmarks.harness.population import make_snapshot_for, prepare_wait
from benchmarks.harness.report import Row, Target
from benchmarks.harness.server import Server
from greentic_session import SessionStore

from .stores import Place

__all__ = ["measure_idle"]

_POLL_S = 0.02
_DAY_S = 86_400.0
_MAX_CALLS = 1.1
_SNAPSHOT_BYTES = 512
_ASKED = ("info", "config|resetstat", "hello", "client|setinfo", "client|setname", "script|load", "ping")


async def measure_idle(place: Place, *, waits: int, polls: int, tick: Callable[[], object]) -> list[Row]:
    """Return rows with the commands of a poll, with few and many waits; none but for Redis."""
    if place.server is None:
        return []
    rows = []
    for count in (10, waits):
        place.empty()
        async with place.store() as store:
            snapshot = make_snapshot_for(_SNAPSHOT_BYTES)
            for user in range(count):
                await store.register_wait(*prepare_wait(user, snapshot), _DAY_S, on_timeout="resume")
            sent, ran = await _commands_of(place.server, store, polls)
        measurement = f"redis: an idle iter_ready, {count:,} waits with a deadline"
        target = Target("value", "max", _MAX_CALLS)
        rows += [
            Row(measurement=measurement, contestant="calls of a poll", value=sent, unit="calls", target=target),
            Row(measurement=measurement, contestant="commands that these run", value=ran, unit="commands"),
        ]
        tick()
    return rows


async def _commands_of(server: Server, store: SessionStore, polls: int) -> tuple[float, float]:
    """Return how many calls a poll sends, and how many commands run within these."""
    asked = 0
    ask = store.backend.claim_ready

    async def counted(readying: object) -> object:
        nonlocal asked
        asked += 1
        return await ask(readying)  # type: ignore[arg-type]  # as it came

    async def idle() -> None:
        async for _ in store.iter_ready(poll=_POLL_S):
            raise AssertionError

    vars(store.backend)["claim_ready"] = counted
    task = asyncio.create_task(idle())
    with server.client() as client:
        while asked < 2:  # noqa: ASYNC110  # polls are what is counted; the first may load the script
            await asyncio.sleep(_POLL_S)
        client.config_resetstat()
        before = asked
        while asked < before + polls:  # noqa: ASYNC110  # as above
            await asyncio.sleep(_POLL_S)
        made = asked - before
        stats = {name.removeprefix("cmdstat_"): told["calls"] for name, told in client.info("commandstats").items()}
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    calls = sum(count for name, count in stats.items() if name in ("evalsha", "evalsha_ro", "eval"))
    ran = sum(count for name, count in stats.items() if name not in _ASKED) - calls
    return calls / made, ran / made
