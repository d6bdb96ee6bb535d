"""Benchmark of a large fleet: ``python -m benchmarks.fleet``; ``--help`` lists the options.

A million waits with deadlines of 1,000 tenants, on a cluster of three primaries and on one server:
the memory of a deadline, the next 100 waits that are ready, and what the operator's commands cost
others. One deadline in ten has passed.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.harness.command import Outcome, command_on_server, make_parser, positive
from benchmarks.harness.monitoring import Observation, observe
from benchmarks.harness.operating import operate
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row, Target
from benchmarks.harness.server import TIMEOUT_S, Server, open_client
from benchmarks.harness.sizes import Sizes, usual
from greentic_session import create_session_store
from greentic_session._servers.cluster import Cluster

from .filling import BATCH_WAITS, ENV, fill, used_bytes

__all__ = ["main", "parse_arguments"]

_KINDS = ("cluster", "server")
_LIMIT = 100
_LEASE_S = 3600.0
_MAX_STEP_MS = 5.0
_MAX_PING_MS = 20.0
_TENANT = ("--env", ENV, "--tenant", "tenant-7")
_COMMANDS = {
    "stats": ("stats",),
    "top": ("top",),
    "waits --ready": ("waits", *_TENANT, "--ready"),
    "waits --overdue": ("waits", *_TENANT, "--overdue"),
}
_NOTES = [
    "Every wait is of a user of its own. Memory: used_memory of all servers, with what is beside the keys.",
    "Step: a command of a server, by its SLOWLOG; its time is that of a clock, so what else is busy on the machine counts.",
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
    processes: int = 2


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
    parser.add_argument("--processes", type=positive, help="how many processes register the waits")
    parser.add_argument("--on", nargs="+", choices=_KINDS, default=_KINDS, help="where the waits are (default: both)")
    return parser.parse_args(argv)


async def _fill(place: _Place, sizes: _Sizes, tick: Callable[[], object]) -> list[Row]:
    """Fill a store twice, without deadlines and with them, and return what a wait takes."""
    figures: list[float] = []
    for deadlines in (False, True):
        for url in place.servers:
            async with open_client(url) as client:
                await client.flushall()
        before = await used_bytes(place.servers)
        await fill(
            place.url,
            sizes.waits,
            tenants=sizes.tenants,
            bytes=sizes.bytes,
            deadlines=deadlines,
            processes=sizes.processes,
            tick=tick,
        )
        figures.append((await used_bytes(place.servers) - before) / sizes.waits)
    without, with_deadline = figures
    names = {"without a deadline": without, "with one": with_deadline, "what it adds": with_deadline - without}
    return [
        Row(measurement=f"{place.kind}: memory of a wait", contestant=name, value=value, unit="bytes")
        for name, value in names.items()
    ]


async def _find(place: _Place, sizes: _Sizes, idle: str) -> list[Row]:
    """Claim the next 100 that are ready, and say what that takes of the servers."""
    async with create_session_store(place.url, timeout=TIMEOUT_S) as store:
        await store.health()

        async def claim() -> None:
            for _ in range(sizes.finds):
                if len(found := await store.claim_ready(limit=_LIMIT, lease=_LEASE_S)) != _LIMIT:
                    raise RuntimeError(f"{len(found)} waits were ready, of {_LIMIT}")

        before = await _server_ms(place.servers)
        observation = await observe(place.servers, claim, idle=idle)
        used = (await _server_ms(place.servers) - before) / sizes.finds
    measurement = f"{place.kind}: the next {_LIMIT} that are ready"
    return [
        Row(measurement=measurement, contestant="all steps of the servers", value=used, unit="ms"),
        *_rows(measurement, observation, sizes.finds),
    ]


async def _server_ms(servers: Sequence[str]) -> float:
    """Return what servers have needed for scripts so far, in milliseconds."""
    used = 0.0
    for url in servers:
        async with open_client(url) as client:
            stats = await client.info("commandstats")
        used += sum(stats.get(f"cmdstat_{name}", {"usec": 0})["usec"] for name in ("eval", "evalsha")) / 1000
    return used


def _rows(measurement: str, observation: Observation, calls: int = 1) -> list[Row]:
    steps_ms = observation.command_times_ms or [0.0]
    figures: list[tuple[str, float, str, Target | None]] = [
        ("longest step", steps_ms[-1], "ms", Target("value", "max", _MAX_STEP_MS)),
        ("99 % of the steps", steps_ms[int(len(steps_ms) * 0.99)], "ms", None),
        ("longest PING", observation.slowest_ping_ms, "ms", Target("value", "max", _MAX_PING_MS)),
        ("longest PING of an idle server", observation.slowest_idle_ping_ms, "ms", None),
        ("takes", observation.seconds / calls, "s", None),
    ]
    return [
        Row(measurement=measurement, contestant=contestant, value=value, unit=unit, target=target)
        for contestant, value, unit, target in figures
    ]


async def _operate(place: _Place, name: str, sizes: _Sizes, idle: str) -> list[Row]:
    """Run a command, and say what it costs others."""
    told: Any = None

    async def run() -> None:
        nonlocal told
        told = await operate(place.url, *_COMMANDS[name], watched_s=sizes.seconds)

    observation = await observe(place.servers, run, idle=idle)
    if name == "stats" and (found := told["total"]["waits"]) != sizes.waits:
        raise RuntimeError(f"{found} waits were found, of {sizes.waits}")
    return _rows(f"{place.kind}: {name}", observation)


async def _measure_at(place: _Place, sizes: _Sizes, idle: str, tick: Callable[[], object]) -> list[Row]:
    rows = await _fill(place, sizes, tick)
    rows += await _find(place, sizes, idle)
    tick()
    nothing = await observe(place.servers, partial(asyncio.sleep, sizes.seconds), idle=idle)
    rows += _rows(f"{place.kind}: nothing", nothing)
    for name in _COMMANDS:
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
    with progress((2 * -(-sizes.waits // BATCH_WAITS) + 1 + len(_COMMANDS)) * len(options.on)) as tick:
        for kind in options.on:
            with _opened(kind, idle.binary) as place:
                rows += await _measure_at(place, sizes, idle.url, tick)
    return Outcome(rows=rows, settings=sizes.as_settings(), notes=_NOTES)


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
