"""Telemetry of replies: outcomes and attempts, and no data of anybody."""

import pytest
from observed import Observed
from opentelemetry.sdk.trace import ReadableSpan

from greentic_session import InMemorySessionStore
from greentic_session.telemetry import instrument
from greentic_session.testing._sessions.calls import answer, claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, OTHER

pytestmark = pytest.mark.asyncio


def told(spans: list[ReadableSpan]) -> list[tuple[object, object, object]]:
    """Return operation, outcome and attempt of each span."""
    found: list[tuple[object, object, object]] = []
    for span in spans:
        attributes = dict(span.attributes or {})
        names = ("db.operation.name", "greentic.session.outcome", "greentic.session.attempt")
        found.append((attributes.get(names[0]), attributes.get(names[1]), attributes.get(names[2])))
    return found


async def test_each_operation_tells_its_outcome() -> None:
    observed = Observed()
    store = instrument(InMemorySessionStore(), **observed.providers, tenants=True)
    await answer(store, "hush")
    await answer(store, "hush", scope=OTHER, keep_for=MINUTE, delivery_id="secret-delivery", sender="secret-sender")
    await park(store, "secret-key")
    claim = await claim_answer(store, "hush", delivery_id="d")
    await answer(store, "hush")
    await claim.take()
    await claim.stay()
    await answer(store, "hush", delivery_id="d")
    await claim_answer(store)
    assert await store.claim_ready() == []
    await store.inbox(ALICE, "alice", CHAT)
    await store.touch("secret-key", None)
    spans = list(observed.spans)
    assert told(spans) == [
        ("deliver", "unmatched", None),
        ("deliver", "kept", None),
        ("register_wait", "ok", None),
        ("deliver", "claimed", 1),
        ("deliver", "queued", None),
        ("claim.take", "ok", None),
        ("claim.stay", "ok", None),
        ("deliver", "duplicate", None),
        ("deliver", "claimed", 1),
        ("claim_ready", "none", None),
        ("inbox", "ok", None),
        ("touch", "ok", None),
    ]
    shown = str([(span.name, dict(span.attributes or {})) for span in spans])
    for secret in ("hush", "secret", "alice", "telegram"):
        assert secret not in shown


async def test_attempts_are_told() -> None:
    observed = Observed()
    store = instrument(InMemorySessionStore(), **observed.providers)
    await park(store)
    await answer(store, claim=False)
    for attempt in range(1, 13):
        claim = await ready(store)
        await claim.release(MINUTE)
        assert claim.attempt == attempt
        await store.touch("k", None)
    attempts = [attempt for name, _, attempt in told(list(observed.spans)) if name == "claim_ready"]
    assert attempts == [*range(1, 11), 10, 10]
