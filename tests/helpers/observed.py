"""What OpenTelemetry's SDK was told, kept in memory for a test to look at."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, Metric, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

__all__ = ["Observed"]


class Observed:
    """Providers of a test's own, and what reached them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])

    @property
    def providers(self) -> dict[str, Any]:
        """The arguments for `instrument`."""
        return {"tracer_provider": self.tracer_provider, "meter_provider": self.meter_provider}

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    @property
    def last(self) -> dict[str, Any]:
        """The attributes of the span that ended last."""
        return dict(self.spans[-1].attributes or {})

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Operation and outcome of every span, in the order of their ends."""
        return [_outcome(span.attributes) for span in self.spans]

    @property
    def durations(self) -> list[HistogramDataPoint]:
        """The series of the histogram."""
        metrics = [
            metric for metric in self._metrics() if (metric.name, metric.unit) == ("db.client.operation.duration", "s")
        ]
        return [point for metric in metrics for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]

    @property
    def gauges(self) -> dict[tuple[str, str], list[tuple[float, dict[str, Any]]]]:
        """By name and unit, what each gauge says now, with its attributes."""
        return {
            (metric.name, metric.unit or ""): [
                (point.value, dict(point.attributes or {}))
                for point in metric.data.data_points
                if isinstance(point, NumberDataPoint)
            ]
            for metric in self._metrics()
        }

    def _metrics(self) -> list[Metric]:
        data = self._reader.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        return [metric for resource in resources for scope in resource.scope_metrics for metric in scope.metrics]

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """By operation and outcome, how many the histogram has."""
        return {_outcome(point.attributes): point.count for point in self.durations}

    def all_text(self) -> str:
        """All of it, as text."""
        return "".join(span.to_json() for span in self.spans) + str(self.durations)


def _outcome(attributes: Mapping[str, Any] | None) -> tuple[str, str]:
    assert attributes is not None
    return attributes["db.operation.name"], attributes["greentic.session.outcome"]
