"""What OpenTelemetry costs a call: ``python -m benchmarks.telemetry``; ``--help`` lists the options.

The same store four times, with a 4 KiB snapshot: as it is; instrumented for providers that do nothing (opentelemetry-api
alone); for SDK providers that keep no span, and the durations; for those that keep every span in memory, and the durations.
It starts a Redis of its own. Contestants run in turns, one call at a time (`_measure.interleave`). The table holds medians
over the rounds; what a call costs more is the median of the rounds' differences.
"""

import asyncio
import random
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness.command import QUICK, make_parser
from benchmarks.harness.measuring import Contestant, interleave, times
from benchmarks.harness.population import make_ctx, make_data, make_key, make_scope
from benchmarks.harness.report import Report, Row, machine
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from greentic_session import InMemorySessionStore, RedisSessionStore, SessionStore
from greentic_session.telemetry import instrument

__all__ = ["main"]

NOTES = ["Without OpenTelemetry a store is what it was before: the first line is not instrumented, and has no switch."]
MISSING = "the SDK of OpenTelemetry is needed: python -m pip install -e '.[test,bench]'"

Wrap = Callable[[SessionStore], SessionStore]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    users: int = 1000
    rounds: int = 31
    block: int = 50


QUICKLY = Sizes(users=100, rounds=3)


def _observers() -> dict[str, tuple[Wrap, Callable[[], None]]]:
    """Return, by name, what is done to a store, and how to forget what was told."""
    from opentelemetry.metrics import NoOpMeterProvider  # noqa: PLC0415  # only here
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: PLC0415
    from opentelemetry.trace import NoOpTracerProvider  # noqa: PLC0415

    kept = InMemorySpanExporter()
    keeping = TracerProvider()
    keeping.add_span_processor(SimpleSpanProcessor(kept))

    def wrap(tracers: Any, meters: Any) -> Wrap:
        return lambda store: instrument(store, tracer_provider=tracers, meter_provider=meters)

    return {
        "not instrumented": (lambda store: store, lambda: None),
        "no-op providers": (wrap(NoOpTracerProvider(), NoOpMeterProvider()), lambda: None),
        "SDK, no span sampled": (
            wrap(TracerProvider(sampler=ALWAYS_OFF), MeterProvider([InMemoryMetricReader()])),
            lambda: None,
        ),
        "SDK, spans in memory": (wrap(keeping, MeterProvider([InMemoryMetricReader()])), kept.clear),
    }


async def _table(where: str, make: Callable[[], SessionStore], sizes: Sizes, seed: int) -> list[Row]:
    order = list(range(sizes.users))
    random.Random(seed).shuffle(order)
    contexts = [make_ctx(n) for n in order]
    stores = {name: (wrap(make()), forget) for name, (wrap, forget) in _observers().items()}
    for store, _ in stores.values():
        for n, ctx in enumerate(contexts):
            await store.register_wait(ctx, str(ctx.user_id), make_scope(n), make_key(n), make_data(ctx))
    calls: dict[str, Callable[[SessionStore, int], Awaitable[object]]] = {
        "get_session": lambda store, n: store.get_session(make_key(n)),
        "find_wait": lambda store, n: store.find_wait(contexts[n], str(contexts[n].user_id), make_scope(n)),
    }
    rows = []
    for operation, call in calls.items():
        lineup = [_contestant(name, store, forget, call) for name, (store, forget) in stores.items()]
        samples = await interleave(lineup, order, rounds=sizes.rounds, block=sizes.block)
        bare = times(samples["not instrumented"])
        for name, taken in samples.items():
            more = [ours - without for ours, without in zip(times(taken), bare, strict=True)]
            rows.append(
                Row(measurement=f"{where}: {operation}", contestant=name, value=statistics.median(times(taken)), unit="us")
            )
            if name != "not instrumented":
                rows.append(
                    Row(
                        measurement=f"{where}: {operation} costs more",
                        contestant=name,
                        value=statistics.median(more),
                        unit="us",
                    )
                )
    for store, _ in stores.values():
        await store.aclose()
    return sorted(rows, key=lambda row: row.measurement)


def _contestant(
    name: str, store: SessionStore, forget: Callable[[], None], call: Callable[[SessionStore, int], Awaitable[object]]
) -> Contestant:
    async def run(numbers: Sequence[int]) -> None:
        for n in numbers:
            await call(store, n)

    async def begin() -> None:
        forget()

    return Contestant(name=name, pick=lambda n, _: n, run=run, begin=begin)


async def _measure(sizes: Sizes, url: str, seed: int) -> list[Row]:
    rows = await _table("in memory", InMemorySessionStore, sizes, seed)
    namespaces = iter(range(1000))

    def redis() -> SessionStore:
        return RedisSessionStore.from_url(url, namespace=f"bench-{next(namespaces)}")

    return rows + await _table("in Redis", redis, sizes, seed)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = make_parser("benchmarks.telemetry", "What OpenTelemetry costs a call.", few="rounds and sessions", rounds=None)
    options = parser.parse_args(argv)
    sizes = QUICKLY if options.quick else Sizes()
    if (binary := find_binary()) is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    try:
        _observers()
    except ModuleNotFoundError:
        print(MISSING, file=sys.stderr)
        return 2
    with Server(binary) as server:
        rows = asyncio.run(_measure(sizes, server.url, options.seed))
        report = Report(
            machine=machine("opentelemetry-api", "opentelemetry-sdk") | {"server": server.version},
            settings={**asdict(sizes), "seed": options.seed, "quick": options.quick},
            rows=rows,
            findings={},
            notes=NOTES + [QUICK] * options.quick,
        )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
