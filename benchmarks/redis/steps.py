"""Where the time of a call goes: the steps of a `find_wait` one by one, and the JSON of a session."""

import json
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
import msgspec

from benchmarks.harness.measuring import Contestant, closed_loop, interleave, median_of, median_ratio, times
from benchmarks.harness.population import make_ctx, make_data, make_scope, make_snapshot_for
from benchmarks.harness.report import Row
from benchmarks.harness.results import size_text
from greentic_session import SessionData, SessionKey, Wait, tenancy
from greentic_session.backends.redis.keys import Keys, place_of

from .operations import USUAL
from .ours import open_store
from .sides import make_parked
from .wire import Wire

__all__ = ["JSON_SIZES", "STEPS_TASKS", "measure_json", "measure_steps"]

JSON_SIZES = (512, 4096, 65_536)
STEPS_TASKS = (1, 100)
TRANSPORT = "waiting and transport: the rest"
NAMESPACE = "steps"


def _in_turn(name: str, step: Callable[[Any], object], arg: Callable[[int], Any]) -> Contestant:
    async def run(args: Sequence[Any]) -> None:
        for each in args:
            step(each)

    return Contestant(name=name, pick=lambda n, _: arg(n), run=run)


def _always(arg: object) -> Callable[[int], Any]:
    return lambda _: arg


def _checks(place: tuple[Any, str, Any]) -> object:
    return tenancy.lookup_owner(place[0], place[1]), tenancy.candidates(place[2], fallback=True)


async def measure_steps(
    port: int, *, users: int, calls: int, rounds: int, seed: int, tick: Callable[[], object]
) -> list[Row]:
    """Return what each step takes, and its share of a call by one task and by many: what is left is transport."""
    snapshot = make_snapshot_for(USUAL)
    waits = [make_parked(user, snapshot) for user in range(users)]
    async with Wire(port) as wire, open_store(f"redis://127.0.0.1:{wire.port}", NAMESPACE) as store:
        for wait in waits:
            await store.register_wait(*wait)
        await store.find_wait(*waits[0][:3])
        sent = await wire.commands_of(store.find_wait(*waits[0][:3]))
    commands: list[Any] = [tuple(command) for command in sent]
    text, names = waits[0].data.to_json(), Keys(NAMESPACE)
    owner = cast("tenancy.Owner", tenancy.lookup_owner(waits[0].ctx, waits[0].user))
    key = SessionKey(waits[0].key)
    hashed = waits[0].scope.scope_hash()

    def place(n: int) -> Any:
        return make_parked(n, "")[:3]

    steps = [
        _in_turn("checks of the arguments", _checks, place),
        _in_turn("hash of the scope", lambda scope: scope.scope_hash(), make_scope),
        _in_turn("names of the keys", lambda _: names.scope(place_of(owner), hashed), lambda n: n),
        _in_turn("packing", lambda _: [hiredis.pack_command(command) for command in commands], lambda n: n),
        _in_turn("decoding", lambda _: Wait(key, SessionData.from_json(text), waits[0].scope, text), lambda n: n),
    ]
    async with open_store(f"redis://127.0.0.1:{port}", NAMESPACE) as store:
        find = store.find_wait
        whole = {
            tasks: Contestant(
                name=f"find_wait, {tasks} task{'s' * (tasks > 1)}",
                pick=lambda n, _: place(n),
                run=closed_loop(lambda place: find(*place), tasks),
            )
            for tasks in STEPS_TASKS
        }
        order = [n % users for n in range(calls)]
        random.Random(seed).shuffle(order)
        samples = await interleave([*steps, *whole.values()], order, rounds=rounds, block=calls, tick=tick)
    rows: list[Row] = []
    for contestant in whole.values():
        calls_took = times(samples[contestant.name])
        taken = {step.name: times(samples[step.name]) for step in steps}
        taken[TRANSPORT] = [took - sum(parts) for took, *parts in zip(calls_took, *taken.values(), strict=True)]
        measurement = f"steps of {contestant.name}, {size_text(USUAL)}"
        rows.append(Row(measurement=measurement, contestant="find_wait", value=statistics.median(calls_took), unit="us"))
        rows += [
            Row(
                measurement=measurement,
                contestant=name,
                value=statistics.median(took),
                unit="us",
                ratio=median_ratio(took, calls_took),
                ratio_of="of the call",
            )
            for name, took in taken.items()
        ]
    return rows


async def measure_json(*, calls: int, rounds: int, tick: Callable[[], object]) -> list[Row]:
    """Return what a session's way to JSON and back takes, beside the standard library's on the same content."""
    rows: list[Row] = []
    for size in JSON_SIZES:
        data = make_data(make_ctx(0), make_snapshot_for(size))
        content = msgspec.to_builtins(data)
        assert json.loads(data.to_json()) == content
        ours, plain = "to_json + from_json", "json.dumps + json.loads"
        lineup = [
            _in_turn(ours, lambda data: SessionData.from_json(data.to_json()), _always(data)),
            _in_turn(plain, lambda content: json.loads(json.dumps(content)), _always(content)),
        ]
        samples = await interleave(lineup, range(calls), rounds=rounds, block=50, tick=tick)
        measurement = f"JSON there and back, {size_text(size)}"
        rows += [
            Row(measurement=measurement, contestant=name, value=median_of(spent, lambda each: each.us), unit="us")
            for name, spent in samples.items()
        ]
        rows[-1].ratio = median_ratio(times(samples[plain]), times(samples[ours]))
        rows[-1].ratio_of = "ours: x its speed"
    return rows
