"""Recorder of operations as spans and durations; the only module that calls OpenTelemetry."""

import importlib.metadata
import time
from types import TracebackType
from typing import Final, Self

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from greentic_session.backend import Backlog
from greentic_session.errors import ClaimedError, ConflictError, ErrorCode, GreenticError, NotFoundError
from greentic_session.models import TenantCtx

__all__ = ["Operation", "ReadyGauges", "Recorder"]

_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds.

OpenTelemetry's own for databases begin at a millisecond, where most of our operations are over.
"""

_MAX_TOLD_ATTEMPT: Final = 10
"""Later attempts are told as this one: each number makes a time series of its own."""


class Recorder:
    """Recorder of the operations of one backend.

    Args:
        system: What keeps the data.
        collection: What is kept.
        tracer_provider: Where spans go; None for the global one.
        meter_provider: The same for the histogram.
        tenants: Whether to tell env and tenant.
    """

    def __init__(
        self,
        system: str,
        collection: str,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
        *,
        tenants: bool,
    ) -> None:
        version = _version()
        self._collection = collection
        self._common = {"db.system.name": system, "db.collection.name": collection}
        self._tenants = tenants
        self.tracer: trace.Tracer = trace.get_tracer("greentic_session", version, tracer_provider)
        meter = metrics.get_meter("greentic_session", version or "", meter_provider)
        self.duration: metrics.Histogram = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of operations on sessions and conversations.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )

    def operation(self, name: str, env: str | None = None, tenant: str | None = None) -> "Operation":
        """Return an operation that is about to begin.

        Args:
            name: The public name of the operation.
            env: For whom, where that is known before.
            tenant: The same.
        """
        told: dict[str, AttributeValue] = {**self._common, "db.operation.name": name}
        if self._tenants and env is not None and tenant is not None:
            told |= _of(env, tenant)
        return Operation(self, f"{name} {self._collection}", told)

    def of(self, env: str, tenant: str) -> dict[str, AttributeValue]:
        """Return the attributes of a tenant, if they are to be told."""
        return _of(env, tenant) if self._tenants else {}


class Operation:
    """One operation, from entering the block to leaving it; the span is the current one within.

    Attributes:
        outcome: How it ended, if no error says more.
        attempt: Which attempt of its turn a claim is; None where there is none.
    """

    __slots__ = ("_begun", "_name", "_recorder", "_span", "_token", "_told", "_took", "attempt", "outcome")

    def __init__(self, recorder: Recorder, name: str, told: dict[str, AttributeValue]) -> None:
        self._recorder = recorder
        self._name = name
        self._told = told
        self._span: trace.Span | None = None
        self._took = 0.0
        self.outcome: str = "ok"
        self.attempt: int | None = None

    def belongs_to(self, ctx: TenantCtx) -> None:
        """Add the tenant, where the operation finds it out."""
        self._told |= self._recorder.of(ctx.env, ctx.tenant_id)

    def resume(self) -> None:
        """Begin, or go on after `pause`."""
        if self._span is None:
            # Errors are told in `end`, by their class: their messages, causes and stack traces may
            # hold user data.
            self._span = self._recorder.tracer.start_span(
                self._name,
                kind=trace.SpanKind.CLIENT,
                attributes=self._told,
                record_exception=False,
                set_status_on_exception=False,
            )
        self._token = context.attach(trace.set_span_in_context(self._span))
        self._begun = time.perf_counter()

    def pause(self) -> None:
        """Interrupt the duration and the span while the caller works."""
        self._took += time.perf_counter() - self._begun
        context.detach(self._token)

    def end(self, error: BaseException | None = None) -> None:
        """Record the outcome, after `pause`; once."""
        span = self._span
        if span is None:
            return
        told = self._told
        failure = None
        if error is not None:
            self.outcome, failure = _outcome_of(error)
        told["greentic.session.outcome"] = self.outcome
        if self.attempt is not None:
            told["greentic.session.attempt"] = min(self.attempt, _MAX_TOLD_ATTEMPT)
        if failure is not None:
            told["error.type"] = failure
            span.set_status(trace.StatusCode.ERROR)
        self._recorder.duration.record(self._took, told, trace.set_span_in_context(span, Context()))
        if span.is_recording():
            span.set_attributes(told)
        span.end()

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pause()
        self.end(exc)


class ReadyGauges:
    """Gauges of what is ready: how many waits, for how long, and whether counting was stopped.

    Args:
        system: What keeps the data.
        ctx: Whose waits are counted; None for everybody's.
        meter_provider: Where measurements go; None for the global one.
    """

    def __init__(self, system: str, ctx: TenantCtx | None, meter_provider: metrics.MeterProvider | None) -> None:
        self._told: dict[str, AttributeValue] = {"db.system.name": system, "db.collection.name": "sessions"}
        if ctx is not None:
            self._told |= _of(ctx.env, ctx.tenant_id)
            if ctx.effective_team is not None:
                self._told["greentic.session.team"] = ctx.effective_team
        meter = metrics.get_meter("greentic_session", _version() or "", meter_provider)
        prefix = "greentic.session.ready"
        self._count = meter.create_gauge(f"{prefix}.count", "{wait}", "Waits that are ready, and that nobody works on.")
        self._age = meter.create_gauge(f"{prefix}.oldest_age", "s", "For how long the first of them has been ready.")
        self._capped = meter.create_gauge(f"{prefix}.capped", "1", "1: counting was stopped, and there may be more.")

    def record(self, backlog: Backlog) -> None:
        """Tell what is ready now."""
        self._count.set(backlog.count, self._told)
        self._age.set((backlog.oldest_ms or 0) / 1000, self._told)
        self._capped.set(int(backlog.is_capped), self._told)


def _of(env: str, tenant: str) -> dict[str, AttributeValue]:
    return {"greentic.session.env": env, "greentic.session.tenant": tenant}


def _outcome_of(error: BaseException) -> tuple[str, str | None]:
    """Return the outcome of an error, and its class; None for the daily work of several runners."""
    match error:
        case ClaimedError():
            return "claimed", None
        case ConflictError() | NotFoundError():
            return error.code.value, None
        case GreenticError():
            return error.code.value, type(error).__qualname__
        case Exception() | KeyboardInterrupt() | SystemExit():
            return ErrorCode.UNKNOWN.value, type(error).__qualname__
        case _:  # asyncio's and trio's, and a coroutine that was thrown away
            return "cancelled", None


def _version() -> str | None:
    try:
        return importlib.metadata.version("greentic-session")
    except importlib.metadata.PackageNotFoundError:
        return None
