"""Profile of one `find_wait`: time of each of its steps, the remainder being the transport."""

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from benchmarks.harness.measuring import Contestant, closed_loop, interleave
from benchmarks.harness.population import USUAL_BYTES, make_scope, make_snapshot_for, prepare_wait
from benchmarks.harness.report import Row
from benchmarks.harness.results import size_text, task_text
from benchmarks.harness.samples import Samples, median_ratio, times_us
from benchmarks.harness.store import open_store, register
from greentic_session import SessionData, SessionKey, Wait, tenancy
from greentic_session.backends.redis.keys import Keys, owner_path

from .wire import Wire

__all__ = ["TASKS", "measure_steps", "synchronous"]

TASKS = (1, 100)
"""Numbers of tasks that the whole call is measured with."""
_TRANSPORT = "waiting and transport: the rest"
_NAMESPACE = "steps"


def synchronous(name: str, step: Callable[[Any], object], pick: Callable[[int], Any]) -> Contestant:
    """Return a contestant that calls a plain function."""

    async def run(args: Sequence[Any]) -> None:
        for arg in args:
            step(arg)

    return Contestant(name=name, pick=lambda n, _: pick(n), run=run)


async def _steps(port: int, users: int) -> list[Contestant]:
    """Register a wait of each user, and return a contestant for each step of finding one."""
    snapshot = make_snapshot_for(USUAL_BYTES)
    waits = [prepare_wait(user, snapshot) for user in range(users)]
    first = waits[0]
    async with Wire(port) as wire, open_store(f"redis://127.0.0.1:{wire.port}", _NAMESPACE) as store:
        for wait in waits:
            await register(store, wait, None)
        await store.find_wait(*first[:3])
        recorded = await wire.commands_of(store.find_wait(*first[:3]))
    commands: list[Any] = [tuple(command) for command in recorded]
    text, keys = first.data.to_json(), Keys(_NAMESPACE)
    owner = cast("tenancy.Owner", tenancy.lookup_owner(first.ctx, first.user))
    key, scope_hash = SessionKey(first.key), first.scope.scope_hash()

    def check(args: tuple[Any, str, Any]) -> object:
        return tenancy.lookup_owner(args[0], args[1]), tenancy.candidates(args[2], fallback=False)

    return [
        synchronous("checks of the arguments", check, _arguments),
        synchronous("hash of the scope", lambda scope: scope.scope_hash(), make_scope),
        synchronous("names of the keys", lambda _: keys.scope(owner_path(owner), scope_hash), lambda n: n),
        synchronous("packing", lambda _: [hiredis.pack_command(command) for command in commands], lambda n: n),
        synchronous("decoding", lambda _: Wait(key, SessionData.from_json(text), first.scope, text), lambda n: n),
    ]


def _arguments(user: int) -> Any:
    return prepare_wait(user, "")[:3]


async def measure_steps(
    port: int, *, users: int, calls: int, rounds: int, seed: int, tick: Callable[[], object]
) -> list[Row]:
    """Return the time of each step and its share of the whole call, by one task and by many."""
    steps = await _steps(port, users)
    order = [n % users for n in range(calls)]
    random.Random(seed).shuffle(order)
    async with open_store(f"redis://127.0.0.1:{port}", _NAMESPACE) as store:
        find = store.find_wait
        calls_by_tasks = [
            Contestant(
                name=f"find_wait, {task_text(tasks)}",
                pick=lambda n, _: _arguments(n),
                run=closed_loop(lambda args: find(*args), tasks),
            )
            for tasks in TASKS
        ]
        samples = await interleave([*steps, *calls_by_tasks], order, rounds=rounds, block=calls, tick=tick)
    names = [step.name for step in steps]
    return [row for call in calls_by_tasks for row in _rows(call.name, names, samples)]


def _rows(call: str, steps: Sequence[str], samples: Samples) -> list[Row]:
    whole = times_us(samples[call])
    parts = {step: times_us(samples[step]) for step in steps}
    parts[_TRANSPORT] = [took - sum(others) for took, *others in zip(whole, *parts.values(), strict=True)]
    measurement = f"steps of {call}, {size_text(USUAL_BYTES)}"
    return [
        Row(measurement=measurement, contestant="find_wait", value=statistics.median(whole), unit="us"),
        *(
            Row(
                measurement=measurement,
                contestant=name,
                value=statistics.median(times),
                unit="us",
                ratio=median_ratio(times, whole),
                ratio_of="of the call",
            )
            for name, times in parts.items()
        ),
    ]
