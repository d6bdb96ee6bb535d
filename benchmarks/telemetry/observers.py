"""Observers of a store: the providers of OpenTelemetry that it is instrumented with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider

from greentic_session import SessionStore
from greentic_session.telemetry import instrument

__all__ = ["NOT_INSTRUMENTED", "Observer", "make_observers"]

NOT_INSTRUMENTED = "not instrumented"


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Observer:
    """Observer of a store.

    Attributes:
        wrap: Returns the store as it is measured.
        clear: Drops the spans that are in memory; called before each round.
    """

    wrap: Callable[[SessionStore], SessionStore]
    clear: Callable[[], None] = _nothing


def make_observers() -> dict[str, Observer]:
    """Return the observers by their names in the table."""
    exporter = InMemorySpanExporter()
    exporting = TracerProvider()
    exporting.add_span_processor(SimpleSpanProcessor(exporter))

    def wrap(tracers: Any, meters: Any) -> Callable[[SessionStore], SessionStore]:
        return lambda store: instrument(store, tracer_provider=tracers, meter_provider=meters)

    return {
        NOT_INSTRUMENTED: Observer(lambda store: store),
        "no-op providers": Observer(wrap(NoOpTracerProvider(), NoOpMeterProvider())),
        "SDK, no span sampled": Observer(wrap(TracerProvider(sampler=ALWAYS_OFF), MeterProvider([InMemoryMetricReader()]))),
        "SDK, spans in memory": Observer(wrap(exporting, MeterProvider([InMemoryMetricReader()])), exporter.clear),
    }
