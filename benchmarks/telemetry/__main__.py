"""Benchmark of OpenTelemetry: ``python -m benchmarks.telemetry``; ``--help`` lists the options.

Calls with a snapshot of 4 KiB on four stores: not instrumented; instrumented for providers that do
nothing (opentelemetry-api alone); for SDK providers that sample no span, with metrics; for SDK
providers that keep every span in memory, with metrics. One call at a time.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.harness.command import Outcome, make_parser, run_on_server
from benchmarks.harness.measuring import Contestant, in_sequence, interleave
from benchmarks.harness.population import SNAPSHOT, PreparedWait, prepare_wait
from benchmarks.harness.report import Row
from benchmarks.harness.samples import times_us
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.harness.store import CALLS, open_store
from greentic_session import InMemorySessionStore, SessionStore

__all__ = ["main", "parse_arguments"]

_OPERATIONS = ("get_session", "find_wait")
_NOTES = ["Without OpenTelemetry a store is what it was before: the first line is not instrumented, and has no switch."]
_MISSING = "the SDK of OpenTelemetry is needed: python -m pip install -e '.[test,bench]'"


class _Sizes(Sizes):
    """Sizes of a run: users with a wait, rounds that count, and calls in a turn."""

    users: int = usual(1000, quick=100)
    rounds: int = usual(31, quick=3)
    block: int = 50


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.telemetry", "Benchmark of OpenTelemetry.", few="rounds and sessions", rounds=None)
    return parser.parse_args(argv)


async def _measure_backend(backend: str, make: Callable[[str], SessionStore], sizes: _Sizes, seed: int) -> list[Row]:
    from .observers import NOT_INSTRUMENTED, make_observers  # noqa: PLC0415  # the SDK may be missing

    order = list(range(sizes.users))
    random.Random(seed).shuffle(order)
    waits = [prepare_wait(n, SNAPSHOT) for n in range(sizes.users)]
    observers = make_observers()
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        stores = {
            name: await stack.enter_async_context(observer.wrap(make(f"bench-{number}")))
            for number, (name, observer) in enumerate(observers.items())
        }
        for store in stores.values():
            for wait in waits:
                await CALLS["register_wait"](store, wait)
        for operation in _OPERATIONS:
            lineup = [
                _contestant(name, observers[name].clear, partial(CALLS[operation], store), waits)
                for name, store in stores.items()
            ]
            samples = await interleave(lineup, order, rounds=sizes.rounds, block=sizes.block)
            times = {name: times_us(sample) for name, sample in samples.items()}
            measurement = f"{backend}: {operation}"
            rows += [
                Row(measurement=measurement, contestant=name, value=statistics.median(taken), unit="us")
                for name, taken in times.items()
            ]
            plain = times.pop(NOT_INSTRUMENTED)
            for name, taken in times.items():
                added = statistics.median(after - before for after, before in zip(taken, plain, strict=True))
                rows.append(Row(measurement=f"{measurement} costs more", contestant=name, value=added, unit="us"))
    return rows


def _contestant(
    name: str,
    clear: Callable[[], None],
    call: Callable[[PreparedWait], Awaitable[object]],
    waits: Sequence[PreparedWait],
) -> Contestant:
    async def begin() -> None:
        clear()

    return Contestant(name=name, pick=lambda n, _: waits[n], run=in_sequence(call), begin=begin)


async def _measure(sizes: _Sizes, url: str, seed: int) -> Outcome:
    in_memory = await _measure_backend("in memory", lambda _: InMemorySessionStore(), sizes, seed)
    in_redis = await _measure_backend("in Redis", lambda namespace: open_store(url, namespace), sizes, seed)
    return Outcome(
        rows=in_memory + in_redis,
        settings=sizes.as_settings(),
        notes=_NOTES,
        distributions=("opentelemetry-api", "opentelemetry-sdk"),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    sizes = _Sizes.chosen(options)
    try:
        from . import observers  # noqa: F401, PLC0415  # the SDK may be missing
    except ModuleNotFoundError:
        print(_MISSING, file=sys.stderr)
        return 2

    return run_on_server(options, lambda server: _measure(sizes, server.url, options.seed))


if __name__ == "__main__":
    sys.exit(main())
