"""Benchmark of a large fleet: ``python -m benchmarks.fleet``; ``--help`` lists the options.

A million waits with deadlines of 1,000 tenants, on a cluster of three primaries and on one server:
the memory of a deadline, the next 100 waits that are ready, and what the operator's commands cost
others. One deadline in ten has passed.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from benchmarks.harness.command import Outcome, add_choice_option, command_on_server, make_parser, positive
from benchmarks.harness.monitoring import observe
from benchmarks.harness.operating import operate
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row, Target
from benchmarks.harness.server import TIMEOUT_S, Server
from benchmarks.harness.sizes import Sizes, usual
from greentic_session import create_session_store
from greentic_session._servers.cluster import Cluster

from .filling import ENV, fill, used_bytes

__all__ = ["main", "parse_arguments"]

_KINDS = ("cluster", "server")
_PARTS = ("find", "stats", "top", "waits")
_LIMIT = 100
_LEASE_S = 3600.0
_MAX_STEP_MS = 5.0
_MAX_PING_MS = 20.0
_TENANT = ("--env", ENV, "--tenant", "tenant-0007")
_COMMANDS = {
    "stats": ("stats",),
    "top": ("top",),
    "waits --ready": ("waits", *_TENANT, "--ready"),
    "waits --overdue": ("waits", *_TENANT, "--overdue"),
}
_NOTES = [
    "Every wait is of a user of its own; the store registered two of them, and the others are clones of these.",
    "Memory: used_memory of all servers, with what is beside the keys.",
    "The next that are ready: where the server knows the scripts; to load one takes 3 to 5 ms, once.",
    "Processor time: all that the servers used meanwhile, PINGs included; for a step: divided by their scripts and SCANs.",
    "Longest step: a command of a server, by its SLOWLOG and a clock: what else is busy on the machine counts.",
    "Longest PING: of another client of each server meanwhile; and of a server beside that is asked nothing.",
    "top: to the end of its first count, and on, while it asks every second what is ready.",
]


class _Sizes(Sizes):
    """Number of waits, tenants, bytes and so on: the options of their names."""

    waits: int = usual(1_000_000, quick=1000)
    tenants: int = usual(1000, quick=20)
    bytes: int = 512
    finds: int = usual(20, quick=1)
    seconds: int = usual(30, quick=1)


@dataclass(frozen=True)
class _Place:
    """Where the waits are: one server or a cluster."""

    kind: str
    url: str
    servers: list[str]


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.fleet", "Benchmark of a million waits with deadlines.", few="waits", rounds=None, seed=False
    )
    parser.add_argument("--waits", type=positive, help="number of waits")
    parser.add_argument("--tenants", type=positive, help="number of tenants")
    parser.add_argument("--bytes", type=positive, help="bytes of a session's text")
    parser.add_argument("--finds", type=positive, help=f"how many times the next {_LIMIT} are claimed")
    parser.add_argument("--seconds", type=positive, help="how long nothing is watched, and top after its first count")
    parser.add_argument("--on", nargs="+", choices=_KINDS, default=_KINDS, help="where the waits are (default: both)")
    add_choice_option(parser, "--parts", _PARTS)
    return parser.parse_args(argv)


async def _fill(place: _Place, sizes: _Sizes, tick: Callable[[], object]) -> list[Row]:
    """Fill a store twice, without deadlines and with them, and return what a wait takes."""
    figures, before = list[float](), used_bytes(place.servers)
    for deadlines in (False, True):
        await fill(
            place.url,
            place.servers,
            sizes.waits,
            tenants=sizes.tenants,
            bytes=sizes.bytes,
            deadlines=deadlines,
            tick=tick,
        )
        figures.append((used_bytes(place.servers) - before) / sizes.waits)
    without, with_deadline = figures
    names = {"without a deadline": without, "with one": with_deadline, "what it adds": with_deadline - without}
    return [
        Row(measurement=f"{place.kind}: memory of a wait", contestant=name, value=value, unit="bytes")
        for name, value in names.items()
    ]


async def _find(place: _Place, sizes: _Sizes, idle: str) -> list[Row]:
    """Claim the next 100 that are ready, and say what that takes of the servers."""
    async with create_session_store(place.url, timeout=TIMEOUT_S) as store:
        for first in await store.claim_ready(limit=1):  # the server knows the scripts then
            await first.release()

        async def claim() -> None:
            for _ in range(sizes.finds):
                if len(found := await store.claim_ready(limit=_LIMIT, lease=_LEASE_S)) != _LIMIT:
                    raise RuntimeError(f"{len(found)} waits were ready, of {_LIMIT}")

        return await _watch(place, f"the next {_LIMIT} that are ready", claim, idle, sizes.finds)


async def _watch(place: _Place, name: str, call: Callable[[], Awaitable[Any]], idle: str, times: int = 1) -> list[Row]:
    """Make a call that does something so many times, and say what it costs."""
    cpu_before, steps_before = _work_of(place.servers)
    observation = await observe(place.servers, call, idle=idle)
    cpu, steps = _work_of(place.servers)
    times_ms = observation.command_times_ms or [0.0]
    figures: list[tuple[str, float, str, Target | None]] = [
        ("processor time of the servers", (cpu - cpu_before) * 1000 / times, "ms", None),
        ("of it for a step", (cpu - cpu_before) * 1000 / max(steps - steps_before, 1), "ms", None),
        ("longest step", times_ms[-1], "ms", Target("value", "max", _MAX_STEP_MS)),
        ("99 % of the steps", times_ms[int(len(times_ms) * 0.99)], "ms", None),
        ("longest PING", observation.slowest_ping_ms, "ms", Target("value", "max", _MAX_PING_MS)),
        ("99.9 % of the PINGs", observation.usual_ping_ms, "ms", None),
        ("longest PING of an idle server", observation.slowest_idle_ping_ms, "ms", None),
        ("takes", observation.seconds / times, "s", None),
    ]
    return [
        Row(measurement=f"{place.kind}: {name}", contestant=contestant, value=value, unit=unit, target=target)
        for contestant, value, unit, target in figures
    ]


def _work_of(servers: Sequence[str]) -> tuple[float, int]:
    """Return the processor time of servers so far, in seconds, and the number of their steps."""
    cpu, steps = 0.0, 0
    for url in servers:
        with redis.Redis.from_url(url) as node:
            told: Any = {**node.info("cpu"), **node.info("commandstats")}
        cpu += told["used_cpu_user"] + told["used_cpu_sys"]
        steps += sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval", "scan"))
    return cpu, steps


async def _operate(place: _Place, name: str, sizes: _Sizes, idle: str) -> list[Row]:
    """Run a command, and say what it costs others."""
    told: Any = None

    async def run() -> None:
        nonlocal told
        told = await operate(place.url, *_COMMANDS[name], watched_s=sizes.seconds)

    rows = await _watch(place, name, run, idle)
    if name == "stats" and (found := told["total"]["waits"]) != sizes.waits:
        raise RuntimeError(f"{found} waits were found, of {sizes.waits}")
    return rows


async def _measure_at(
    place: _Place, sizes: _Sizes, parts: Collection[str], idle: str, tick: Callable[[], object]
) -> list[Row]:
    rows = await _fill(place, sizes, tick)
    if "find" in parts:
        rows += await _find(place, sizes, idle)
        tick()
    rows += await _watch(place, "nothing", partial(asyncio.sleep, sizes.seconds), idle)
    for name, (command, *_) in _COMMANDS.items():
        if command in parts:
            rows += await _operate(place, name, sizes, idle)
            tick()
    return rows


@contextmanager
def _opened(kind: str, binary: str) -> Iterator[_Place]:
    if kind == "cluster":
        with Cluster(binary) as cluster:
            yield _Place(kind, cluster.url, [node.url for node in cluster.nodes])
    else:
        with Server(binary) as server:
            yield _Place(kind, server.url, [server.url])


async def _measure(idle: Server, sizes: _Sizes, options: argparse.Namespace) -> Outcome:
    rows: list[Row] = []
    with progress(None) as tick:
        for kind in options.on:
            with _opened(kind, idle.binary) as place:
                rows += await _measure_at(place, sizes, options.parts, idle.url, tick)
    return Outcome(rows=rows, settings={**sizes.as_settings(), "parts": list(options.parts)}, notes=_NOTES)


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
