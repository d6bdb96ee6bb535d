"""Benchmark of the command line: ``python -m benchmarks.cli``; ``--help`` lists the options.

Runs `greentic-session` commands on a store with sessions of 100 tenants, each in a new process:
`stats`, `doctor`, `waits` of a tenant, and `purge` of that tenant. Meanwhile another client sends
PINGs, which shows how long a command holds up the server.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections.abc import Callable

from benchmarks.harness.command import Outcome, make_parser, positive, run_on_server
from benchmarks.harness.monitoring import observe
from benchmarks.harness.population import SNAPSHOT, prepare_wait
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Row, Target
from benchmarks.harness.sizes import Sizes
from benchmarks.harness.store import register
from greentic_session import RedisSessionStore

__all__ = ["main", "parse_arguments"]

_TENANT = ("--env", "production", "--tenant", "tenant-7")
_COMMANDS = {
    "stats": (),
    "doctor": (),
    "waits": _TENANT,
    "purge": (*_TENANT, "--yes"),
}
_MAX_SECONDS = {"stats": 10.0}
_BATCH_SESSIONS = 200
"""Number of sessions that are registered at once."""
_TTLS_S = (7 * 86_400, 1800)
"""Lifetimes of the sessions, in turn."""
_NOTES = [
    "Seconds of a command from its start to its end, the start of Python included; medians over the rounds.",
    "Sessions of 4 KiB, all waits, a user each, 100 tenants; so a fifth of the server's keys are sessions.",
    "Longest wait: the slowest PING of another client while the command ran. Client, command and server share the cores.",
]


class _Sizes(Sizes):
    sessions: int = 100_000
    rounds: int = 3


_QUICK_SIZES = _Sizes(sessions=2000, rounds=1)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.cli", "Benchmark of the command line.", few="sessions", rounds="runs of each command", seed=False
    )
    parser.add_argument("--sessions", type=positive, help="number of sessions in the store")
    return parser.parse_args(argv)


async def _fill(url: str, sessions: int, tick: Callable[[], object]) -> None:
    async with RedisSessionStore.from_url(url) as store:
        for start in range(0, sessions, _BATCH_SESSIONS):
            numbers = range(start, min(start + _BATCH_SESSIONS, sessions))
            await asyncio.gather(*(register(store, prepare_wait(n, SNAPSHOT), _TTLS_S[n % len(_TTLS_S)]) for n in numbers))
            tick()


async def _run(command: str, url: str) -> tuple[float, float]:
    """Return the seconds of a command, and the slowest PING meanwhile in milliseconds."""
    arguments = (sys.executable, "-m", "greentic_session", command, "--store", url, "--json", *_COMMANDS[command])

    async def run() -> int:
        process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.DEVNULL)
        return await process.wait()

    observation = await observe(url, run)
    if observation.answer:
        raise RuntimeError(f"{command} ended with {observation.answer}")
    return observation.seconds, observation.slowest_ping_ms


async def _measure(url: str, sizes: _Sizes) -> Outcome:
    rows = []
    with progress(-(-sizes.sessions // _BATCH_SESSIONS) + len(_COMMANDS) * sizes.rounds) as tick:
        await _fill(url, sizes.sessions, tick)
        for command in _COMMANDS:
            runs = []
            for _ in range(sizes.rounds):
                runs.append(await _run(command, url))
                tick()
            seconds, ping_ms = (statistics.median(figures) for figures in zip(*runs, strict=True))
            target = Target("value", "max", _MAX_SECONDS[command]) if command in _MAX_SECONDS else None
            rows.append(Row(measurement=command, contestant="takes", value=seconds, unit="s", target=target))
            rows.append(Row(measurement=command, contestant="longest wait of another client", value=ping_ms, unit="ms"))
    return Outcome(rows=rows, settings=sizes.as_settings(), notes=_NOTES)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    sizes = _Sizes.chosen(options, _QUICK_SIZES)
    return run_on_server(options, lambda server: _measure(server.url, sizes))


if __name__ == "__main__":
    sys.exit(main())
