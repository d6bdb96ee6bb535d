"""Benchmark of the command line: ``python -m benchmarks.cli``; ``--help`` lists the options.

Runs `greentic-session` commands on a store with sessions of 100 tenants, each in a new process:
`stats`, `doctor`, `waits` of a tenant, `top` in a terminal, and `purge` of that tenant. Meanwhile
another client sends PINGs, which shows how long a command holds up the server. Of more than 20,000
waits the others are cloned within the server.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.harness.command import Outcome, command_on_server, make_parser, positive
from benchmarks.harness.monitoring import observe
from benchmarks.harness.operating import operate
from benchmarks.harness.population import USUAL_BYTES, make_snapshot_for, prepare_wait
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row, Target
from benchmarks.harness.server import Server
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.harness.store import register
from greentic_session import RedisSessionStore

from .cloning import clone

__all__ = ["main", "parse_arguments"]

_TENANT = ("--env", "production", "--tenant", "tenant-7")
_COMMANDS = {
    "stats": (),
    "doctor": (),
    "waits": _TENANT,
    "top": (),
    "purge": (*_TENANT, "--yes"),
}
_ROWS = ("longest wait of another client", "longest script", "server's CPU for each script")
_MAX_SECONDS = {"stats": 10.0}
_MAX_REGISTERED = 20_000
"""Number of waits that the store registers; others are clones of them."""
_READY = 500
"""Number of them that are ready: a reply lies there, and nobody is at it."""
_CLAIMED = 50
_WATCHED_S = 10.0
"""Seconds that `top` is watched once it has counted everything."""
_BATCH_SESSIONS = 200
"""Number of sessions that are registered at once."""
_TTLS_S = (7 * 86_400, 1800)
"""Lifetimes of the sessions, in turn."""
_NOTES = [
    "Seconds of a command from its start to its end, the start of Python included; medians over the rounds.",
    "All sessions are waits, of a user each and of 100 tenants; so a fifth of the server's keys are sessions.",
    "top: to the end of its first count, and 10 s more, in which it asks every second what is ready.",
    "CPU: all that the server used meanwhile, divided by its scripts, of which one is under way at a time.",
    "Longest wait: the slowest PING of another client while the command ran. Client, command and server share the cores.",
]


class _Sizes(Sizes):
    """Sizes of a run: sessions in the store, bytes of each, and runs of each command."""

    sessions: int = usual(100_000, quick=2000)
    rounds: int = usual(3, quick=1)
    bytes: int = USUAL_BYTES


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.cli", "Benchmark of the command line.", few="sessions", rounds="runs of each command", seed=False
    )
    parser.add_argument("--sessions", type=positive, help="number of sessions in the store")
    parser.add_argument("--bytes", type=positive, help="bytes of a session's text")
    return parser.parse_args(argv)


async def _fill(url: str, sizes: _Sizes, tick: Callable[[], object]) -> None:
    registered, snapshot = min(sizes.sessions, _MAX_REGISTERED), make_snapshot_for(sizes.bytes)
    async with RedisSessionStore.from_url(url) as store:
        for start in range(0, registered, _BATCH_SESSIONS):
            numbers = range(start, min(start + _BATCH_SESSIONS, registered))
            await asyncio.gather(*(register(store, prepare_wait(n, snapshot), _TTLS_S[n % len(_TTLS_S)]) for n in numbers))
            tick()
        for number in range(min(_READY + _CLAIMED, registered)):
            ctx, user, scope, _, _ = prepare_wait(number, snapshot)
            if number < _READY:
                await store.deliver(ctx, user, scope, "yes", claim=False)
            else:
                await store.claim_wait(ctx, user, scope, lease=3600)
    with redis.Redis.from_url(url) as raw:
        await asyncio.to_thread(clone, raw, min(registered, 2000), sizes.sessions - registered, _TTLS_S, lambda: None)


async def _run(command: str, url: str, waits: int) -> tuple[float, float, float, float]:
    """Return the seconds of a command, and in milliseconds what `_ROWS` names besides."""

    async def run() -> None:
        told = await operate(url, command, *_COMMANDS[command], watched_s=_WATCHED_S)
        if command == "stats" and (found := told["total"]["waits"]) != waits:
            raise RuntimeError(f"{found} waits were found, of {waits}")

    with redis.Redis.from_url(url) as raw:
        cpu_before, scripts_before = _server_times(raw)
        observation = await observe([url], run)
        cpu_after, scripts_after = _server_times(raw)
    slowest = max(observation.script_times_ms, default=0.0)
    cpu_ms = (cpu_after - cpu_before) * 1000 / max(scripts_after - scripts_before, 1)
    return observation.seconds, observation.slowest_ping_ms, slowest, cpu_ms


def _server_times(raw: Any) -> tuple[float, int]:
    """Return the processor time of a server so far, in seconds, and how many scripts it has run."""
    cpu, commands = raw.info("cpu"), raw.info("commandstats")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], commands.get("cmdstat_evalsha", {}).get("calls", 0)


async def _measure(server: Server, sizes: _Sizes, _: argparse.Namespace) -> Outcome:
    rows = []
    batches = -(-min(sizes.sessions, _MAX_REGISTERED) // _BATCH_SESSIONS)
    with progress(batches + len(_COMMANDS) * sizes.rounds) as tick:
        await _fill(server.url, sizes, tick)
        for command in _COMMANDS:
            runs: list[tuple[float, ...]] = []
            while len(runs) < sizes.rounds:
                runs.append(await _run(command, server.url, sizes.sessions))
                tick()
            seconds, *times_ms = (statistics.median(figures) for figures in zip(*runs, strict=True))
            target = Target("value", "max", _MAX_SECONDS[command]) if command in _MAX_SECONDS else None
            rows.append(Row(measurement=command, contestant="takes", value=seconds, unit="s", target=target))
            for name, time_ms in zip(_ROWS, times_ms, strict=True):
                rows.append(Row(measurement=command, contestant=name, value=time_ms, unit="ms"))
    return Outcome(rows=rows, settings=sizes.as_settings(), notes=_NOTES)


main = command_on_server(parse_arguments, _Sizes, _measure)


if __name__ == "__main__":
    sys.exit(main())
