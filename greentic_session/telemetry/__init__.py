"""OpenTelemetry for a store: a span for each operation, and a histogram of durations.

It needs the extra: ``python -m pip install 'greentic-session[otel]'``. A store without it runs no
line of this.

Spans are of kind CLIENT, are called like ``find_wait sessions``, and stand below the caller's
current span. The histogram is ``db.client.operation.duration``, in seconds. Both carry
OpenTelemetry's names for databases, and two or three of our own:

===========================  =====================================================================
``db.system.name``           ``redis``, ``sqlite``, ``memory``, ``file``, ``adapter``, or the
                             `system` of a backend of your own
``db.collection.name``       ``sessions`` or ``conversations``
``db.operation.name``        the store's method (``register_wait``, ``find_wait``, ``deliver``,
                             ...), or a claim's: ``claim.park``, ``claim.complete``,
                             ``claim.stay``, ``claim.take``, ``claim.release``, ``claim.renew``
``greentic.session.outcome`` ``ok``; ``none``, for an answer of None or False; ``claimed``,
                             ``conflict``, ``not_found``, ``cancelled``; for any other error its
                             code, ``unknown`` if it has none. Of ``deliver`` what became of the
                             reply: ``claimed``, ``queued``, ``kept``, ...
``greentic.session.attempt`` which attempt of its turn a claim is, from 1; 10 for all later ones
``error.type``               the class of such an other error; the span's status is then an error
``greentic.session.env``     only with ``tenants=True``, where the operation names the tenant or
``greentic.session.tenant``  finds it out. By a key alone, `remove_session` and `touch` do not; nor
                             do `health` and a claim's complete, release and renew
===========================  ==============================================================
Spans and histogram carry nothing else: no key, user, id, scope or snapshot, no message and no stack
trace of an error.

The backend's operations are measured. So a call that the store refuses before (a bad argument, a
closed store) is not counted, and decoding the messages of a conversation is not part of the
duration. `get_session`, `get_versioned` and `find_wait`, for which a store may have a fast path,
are measured as a whole. `iter_sessions` has one span from its first session to its last; its
duration leaves out the caller's work in between.

What waits for a runner is told by gauges, if asked: see `watch_ready`.
"""

from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import anyio

from greentic_session import tenancy
from greentic_session._json.fields import check_bool
from greentic_session.conversation.store import ConversationStore
from greentic_session.errors import OperationTimeoutError, UnavailableError
from greentic_session.expiry import Seconds, milliseconds
from greentic_session.models import TenantCtx
from greentic_session.store import SessionStore

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument", "watch_ready"]

M = TypeVar("M")

_NEEDS_AN_EXTRA: Final = "OpenTelemetry needs an extra: python -m pip install 'greentic-session[otel]'"


@overload
def instrument(
    store: SessionStore,
    *,
    tracer_provider: "TracerProvider | None" = ...,
    meter_provider: "MeterProvider | None" = ...,
    tenants: bool = ...,
) -> SessionStore: ...


@overload
def instrument(
    store: ConversationStore[M],
    *,
    tracer_provider: "TracerProvider | None" = ...,
    meter_provider: "MeterProvider | None" = ...,
    tenants: bool = ...,
) -> ConversationStore[M]: ...


def instrument(
    store: SessionStore | ConversationStore[Any],
    *,
    tracer_provider: "TracerProvider | None" = None,
    meter_provider: "MeterProvider | None" = None,
    tenants: bool = False,
) -> SessionStore | ConversationStore[Any]:
    """Return a store with spans and durations, to be used in the place of `store`.

    Both are one storage with the same options: to close either closes both. The new one has the
    operations of a `SessionStore` or `ConversationStore` and no others, on the backend of `store`.
    Wrappers may stand in any order; to instrument what another one wraps leaves that one's work out
    of the measurement.

    Args:
        store: A session or conversation store of any backend.
        tracer_provider: Where spans go; by default the global one, also if it is set later.
        meter_provider: The same for the histogram.
        tenants: Whether env and tenant become attributes. Each pair makes a time series of its own.

    Raises:
        TypeError: `store` is neither, or `tenants` is no bool.
        UnavailableError: opentelemetry-api is not installed, or too old.
    """
    check_bool("tenants", tenants)
    try:
        # The one place where the optional dependency comes in.
        from .conversation_store import InstrumentedConversationStore  # noqa: PLC0415
        from .recorder import Recorder  # noqa: PLC0415
        from .session_store import InstrumentedSessionStore  # noqa: PLC0415
    except ImportError as error:
        raise UnavailableError(_NEEDS_AN_EXTRA) from error
    if isinstance(store, SessionStore):
        system = store.backend.system
        return InstrumentedSessionStore(
            store, Recorder(system, "sessions", tracer_provider, meter_provider, tenants=tenants)
        )
    if isinstance(store, ConversationStore):
        system = store.backend.system
        recorder = Recorder(system, "conversations", tracer_provider, meter_provider, tenants=tenants)
        return InstrumentedConversationStore(store, recorder)
    raise TypeError(f"store must be a SessionStore or a ConversationStore, not {type(store).__name__}")


async def watch_ready(
    store: SessionStore,
    ctx: TenantCtx | None = None,
    *,
    every: Seconds = 15.0,
    meter_provider: "MeterProvider | None" = None,
) -> None:
    """Tell how many waits are ready, and for how long the first of them, until the store is closed.

    Run it as a task, in one of the processes: it counts for all of them. What is ready and stays so
    has no runner. There are three gauges, which tell nothing while the store is away::

        greentic.session.ready.count       waits that are ready, and that nobody works on
        greentic.session.ready.oldest_age  for how many seconds the first of them has been ready
        greentic.session.ready.capped      1: so many that the backend stopped counting;
                                           there may be more, and older ones

    Args:
        store: A session store that keeps replies.
        ctx: Only waits that it administers, as for `SessionStore.claim_ready`; None for all. Its
            env, tenant and team are told.
        every: For how many seconds it rests; no longer than the pauses of the exporter.
        meter_provider: Where measurements go; by default the global one.

    Raises:
        InvalidInputError: `every` is out of range, or `ctx` has a user.
        TypeError: An argument has a wrong type.
        UnavailableError: opentelemetry-api is not installed, or too old.
    """
    if not isinstance(store, SessionStore):
        raise TypeError(f"store must be a SessionStore, not {type(store).__name__}")
    tenancy.check_administration(ctx)
    pause = milliseconds(every, "every") / 1000
    try:
        from .recorder import ReadyGauges  # noqa: PLC0415  # as above
    except ImportError as error:
        raise UnavailableError(_NEEDS_AN_EXTRA) from error
    backend = store.backend
    gauges = ReadyGauges(backend.system, ctx, meter_provider)
    while not backend.closed:
        try:
            gauges.record(await backend.readiness(ctx))
        except (UnavailableError, OperationTimeoutError):
            pass  # away, or closed meanwhile; it asks again
        await anyio.sleep(pause)
