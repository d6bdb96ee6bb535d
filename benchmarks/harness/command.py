"""Command lines of the benchmarks: common options, a throw-away server, the report."""

import argparse
import asyncio
import resource
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .machine import describe_machine, load_average
from .report import Report, Row
from .server import HOW_TO_GET_ONE, Server, find_binary
from .sizes import Sizes

__all__ = [
    "Outcome",
    "add_choice_option",
    "add_directory_option",
    "allow_open_files",
    "command_on_server",
    "make_parser",
    "positive",
    "publish",
    "run_on_server",
]

S = TypeVar("S", bound=Sizes)

_QUICK = "A quick run: too short to judge by."
_WITHOUT_PEERS = "Measured without the peers: what is compared with them has no ratio."
_EXIT_NO_SERVER = 2


class Main(Protocol):
    """Entry point of a command."""

    def __call__(self, argv: list[str] | None = None) -> int: ...


def make_parser(
    module: str,
    description: str,
    *,
    few: str,
    rounds: str | None = "number of rounds, in which each contestant has its turns",
    seed: bool = True,
) -> argparse.ArgumentParser:
    """Return a parser with the options that the benchmarks have in common.

    Args:
        module: Module of the command, as ``python -m`` takes it.
        description: Subject of the benchmark.
        few: What ``--quick`` reduces.
        rounds: Help text of ``--rounds``; None for a benchmark without this option.
        seed: Whether there is ``--seed``.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON too; '-' for stdout, instead of the table")
    parser.add_argument("--quick", action="store_true", help=f"few {few}: a trial run")
    if rounds is not None:
        parser.add_argument("--rounds", type=positive, help=rounds)
    if seed:
        parser.add_argument("--seed", type=int, default=1, help="seed of the order of the calls (default: %(default)s)")
    return parser


def add_choice_option(parser: argparse.ArgumentParser, option: str, choices: Sequence[str]) -> None:
    """Add an option that chooses parts of a benchmark; all by default."""
    name = option.removeprefix("--").removesuffix("s").upper()
    parser.add_argument(option, metavar=name, nargs="+", choices=choices, default=choices, help=f"of: {', '.join(choices)}")


def add_directory_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of a benchmark that writes files."""
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, help="parent of the files' directory (default: the system's)"
    )


def positive(text: str) -> int:
    """Return the number of an option's text, which must be at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Outcome of a run, before it becomes a report.

    Attributes:
        rows: Rows of the table.
        settings: Sizes of the run, and the options that only this benchmark has.
        notes: Notes on how to read the table.
        distributions: Distributions of which the report names the installed version.
        machine: Other lines for the head of the report.
        findings: Named lists; see `Report`.
    """

    rows: list[Row]
    settings: Mapping[str, Any]
    notes: Sequence[str]
    distributions: Sequence[str] = ("msgspec", "redis", "hiredis")
    machine: Mapping[str, str] = field(default_factory=dict)
    findings: Mapping[str, list[str]] = field(default_factory=dict)


def publish(options: argparse.Namespace, outcome: Outcome) -> None:
    """Publish the report of a run, with the settings and notes that follow from common options."""
    common = {name: getattr(options, name) for name in ("seed", "quick") if hasattr(options, name)}
    without_peers = getattr(options, "without_peers", None)
    if without_peers is not None:
        common["peers"] = not without_peers
    Report(
        machine={**describe_machine(*outcome.distributions), **outcome.machine},
        settings={**outcome.settings, **common},
        rows=outcome.rows,
        findings=dict(outcome.findings),
        notes=[*outcome.notes, *[_QUICK] * options.quick, *[_WITHOUT_PEERS] * bool(without_peers)],
    ).publish(options.json)


def run_on_server(
    options: argparse.Namespace,
    measure: Callable[[Server], Coroutine[Any, Any, Outcome]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Start a Redis server, measure, publish the report, and return the exit code.

    Args:
        options: Parsed options of the command.
        measure: Measures on the server.
        loop_factory: Event loop of this process; None for that of asyncio.

    Returns:
        0, or 2 where no redis-server is installed.
    """
    binary = find_binary()
    if binary is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return _EXIT_NO_SERVER
    load = load_average()
    with Server(binary) as server, asyncio.Runner(loop_factory=loop_factory) as runner:
        outcome = runner.run(measure(server))
    machine = {"server": server.version, **outcome.machine, "load before": load}
    publish(options, replace(outcome, machine=machine))
    return 0


def command_on_server(
    parse_arguments: Callable[[list[str] | None], argparse.Namespace],
    sizes: type[S],
    measure: Callable[[Server, S, argparse.Namespace], Coroutine[Any, Any, Outcome]],
    *,
    open_files: int = 0,
) -> Main:
    """Return the `main` of a benchmark on a Redis server: it runs it, and returns the exit code.

    Args:
        parse_arguments: Parser of its options.
        sizes: Sizes of its runs.
        measure: Measures on the server, with sizes and options.
        open_files: Number of files that it needs open at once, at least.
    """

    def main(argv: list[str] | None = None) -> int:
        options = parse_arguments(argv)
        chosen = sizes.chosen(options)
        allow_open_files(open_files)
        return run_on_server(options, lambda server: measure(server, chosen, options))

    return main


def allow_open_files(wanted: int) -> None:
    """Raise the limit of open files of this process and its children, up to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
