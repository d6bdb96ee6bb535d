"""What the command line costs on a large store: ``python -m benchmarks.cli``; ``--help`` lists the options.

It starts a Redis of its own, parks so many sessions of 100 tenants in it, and runs `greentic-session` as its operator does,
in a process of its own each time: `stats`, `doctor`, `waits` of one tenant, and last `purge` of one tenant. Beside each: how
long the server kept another client waiting meanwhile, at the most. The table holds medians over the rounds. A missed target
is told, and is no failure of the run.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks.harness.command import make_parser, positive
from benchmarks.harness.monitoring import watch
from benchmarks.harness.population import SNAPSHOT
from benchmarks.harness.progress import progress
from benchmarks.harness.report import Report, Row, Target, load_average, machine
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from benchmarks.redis.ours import register
from benchmarks.redis.sides import make_parked
from greentic_session import RedisSessionStore

__all__ = ["main"]

TENANT = ("--env", "production", "--tenant", "tenant-7")
COMMANDS = {
    "stats": (),
    "doctor": (),
    "waits": TENANT,
    "purge": (*TENANT, "--yes"),
}
TARGETS = {"stats": 10.0}
"""Seconds."""
AT_ONCE = 200
"""How many sessions are parked at once."""

NOTES = [
    "Seconds of a command from its start to its end, the start of Python included; medians over the rounds.",
    "Sessions of 4 KiB, all waits, a user each, 100 tenants; so a fifth of the server's keys are sessions.",
    "Longest wait: the slowest PING of another client while the command ran. Client, command and server share the cores.",
]
QUICK = "A quick run: too small to judge by."


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    sessions: int = 100_000
    rounds: int = 3


QUICKLY = Sizes(sessions=2000, rounds=1)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "benchmarks.cli", "What the command line costs.", few="sessions", rounds="how often each command runs", seed=False
    )
    parser.add_argument("--sessions", type=positive, help="how many are in the store")
    return parser.parse_args(argv)


async def _fill(url: str, sessions: int, tick: Callable[[], object]) -> None:
    async with RedisSessionStore.from_url(url) as store:
        for start in range(0, sessions, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, sessions))
            await asyncio.gather(*(_park(store, number) for number in numbers))
            tick()


async def _park(store: RedisSessionStore, number: int) -> None:
    await register(store, make_parked(number, SNAPSHOT), ttl=1800 if number % 2 else 7 * 86_400)


async def _run(command: str, url: str) -> tuple[float, float]:
    """Return how many seconds a command takes, and how many milliseconds another client had to wait at the most."""
    arguments = (sys.executable, "-m", "greentic_session", command, "--store", url, "--json", *COMMANDS[command])

    async def run() -> int:
        process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.DEVNULL)
        return await process.wait()

    watched = await watch(url, run)
    if watched.answer:
        raise RuntimeError(f"{command} ended with {watched.answer}")
    return watched.seconds, watched.longest_ping


async def _measure(url: str, sizes: Sizes) -> list[Row]:
    rows = []
    with progress(-(-sizes.sessions // AT_ONCE) + len(COMMANDS) * sizes.rounds) as tick:
        await _fill(url, sizes.sessions, tick)
        for command in COMMANDS:
            found = []
            for _ in range(sizes.rounds):
                found.append(await _run(command, url))
                tick()
            taken = statistics.median(seconds for seconds, _ in found)
            target = Target("value", "max", TARGETS[command]) if command in TARGETS else None
            rows.append(Row(measurement=command, contestant="takes", value=taken, unit="s", target=target))
            most = statistics.median(longest for _, longest in found)
            rows.append(Row(measurement=command, contestant="longest wait of another client", value=most, unit="ms"))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    binary = find_binary()
    if binary is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    sizes = QUICKLY if options.quick else Sizes()
    sizes = Sizes(sessions=options.sessions or sizes.sessions, rounds=options.rounds or sizes.rounds)
    load = load_average()
    with Server(binary) as server:
        rows = asyncio.run(_measure(server.url, sizes))
        version = server.version
    report = Report(
        machine={**machine("msgspec", "redis", "hiredis"), "server": version, "load before": load},
        settings={**asdict(sizes), "quick": options.quick},
        rows=rows,
        findings={},
        notes=NOTES + [QUICK] * options.quick,
    )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
