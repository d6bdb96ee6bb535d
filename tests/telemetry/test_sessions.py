"""Instrumented session stores: what OpenTelemetry is told, and what it is never told."""

import asyncio
import gc
import inspect
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from observed import Observed
from opentelemetry import trace
from time_passing import OnATimer, OnTheSharedRedis
from timers import Timer

from greentic_session import (
    ClaimedError,
    ConflictError,
    CorruptSessionError,
    InMemorySessionStore,
    NotFoundError,
    RedisSessionStore,
    ReplyScope,
    SessionData,
    SessionStore,
    SQLiteSessionStore,
    TenantCtx,
    TenantMismatchError,
    UnavailableError,
    Wait,
)
from greentic_session.backend import SessionBackend
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.telemetry import instrument
from greentic_session.telemetry.recorder import Recorder
from greentic_session.telemetry.session_store import InstrumentedSessionBackend
from greentic_session.testing import MakeStore, ReplyContract, SessionStoreContract
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

SECRETS = ("alice", "bob", "key-of-alice", "chat-of-alice", "snapshot-of-alice")
SCOPE = ReplyScope("chat-of-alice")
KEY = "key-of-alice"


class TestContractInMemory(OnATimer, SessionStoreContract, ReplyContract):
    @pytest.fixture
    def make_store(self, observed: Observed, timer: Timer) -> MakeStore:
        return lambda **options: instrument(InMemorySessionStore(timer=timer, **options), **observed.providers, tenants=True)


@pytest.mark.slow
class TestContractInRedis(OnTheSharedRedis, SessionStoreContract, ReplyContract):
    @pytest.fixture
    def make_store(self, observed: Observed, redis_url: str, namespaces: Callable[[], str]) -> MakeStore:
        return lambda **options: instrument(
            RedisSessionStore.from_url(redis_url, namespace=namespaces(), **options), **observed.providers, tenants=True
        )


@pytest.mark.slow
class TestContractInSQLite(OnATimer, SessionStoreContract, ReplyContract):
    @pytest.fixture
    def make_store(self, observed: Observed, databases: Callable[[], Path], timer: Timer) -> MakeStore:
        return lambda **options: instrument(
            SQLiteSessionStore.open(databases(), timer=timer, **options), **observed.providers, tenants=True
        )


@pytest.fixture(params=["memory", "redis", "sqlite"])
def plain(request: pytest.FixtureRequest) -> SessionStore:
    if request.param == "memory":
        return InMemorySessionStore()
    if request.param == "sqlite":
        return SQLiteSessionStore.open(request.getfixturevalue("databases")())
    return RedisSessionStore.from_url(
        request.getfixturevalue("redis_url"), namespace=request.getfixturevalue("namespace"), timeout=30
    )


@pytest.mark.filterwarnings("ignore:use find_wait_by_scope:DeprecationWarning")
def test_every_operation_has_a_span_and_a_place_in_the_histogram(plain: SessionStore, observed: Observed) -> None:
    snapshot = data(snapshot='"snapshot-of-alice"')

    async def use() -> None:
        async with instrument(plain, **observed.providers) as store:
            await store.health()
            await store.create_session(ALICE, snapshot, key=KEY)
            await store.get_session(KEY)
            await store.get_versioned("another")
            await store.update_session(KEY, snapshot)
            await store.touch(KEY, 60)
            await store.touch("another", 60)
            await store.register_wait(ALICE, "alice", SCOPE, KEY, snapshot)
            await store.find_wait(ALICE, "alice", SCOPE)
            await store.find_wait(ALICE, "alice", CHAT)
            await store.find_wait_by_scope(ALICE, "alice", SCOPE)
            await store.list_waits_for_user(ALICE, "alice")
            await store.find_by_user(ALICE, "alice")
            async for _ in store.iter_sessions(ALICE):
                pass
            first = await store.claim_wait(ALICE, "alice", SCOPE)
            assert first is not None
            await first.renew(60)
            await first.park(SCOPE, snapshot)
            second = await store.claim_wait(ALICE, "alice", SCOPE)
            assert second is not None
            await second.release()
            third = await store.claim_wait(ALICE, "alice", SCOPE)
            assert third is not None
            await third.complete()
            await store.clear_wait(ALICE, "alice", SCOPE)
            await store.purge(ALICE)

    asyncio.run(use())
    assert observed.outcomes == [
        ("health", "ok"),
        ("create_session", "ok"),
        ("get_session", "ok"),
        ("get_versioned", "none"),
        ("update_session", "ok"),
        ("touch", "ok"),
        ("touch", "none"),
        ("register_wait", "ok"),
        ("find_wait", "ok"),
        ("find_wait", "none"),
        ("find_wait_by_scope", "ok"),
        ("list_waits_for_user", "ok"),
        ("find_by_user", "ok"),
        ("iter_sessions", "ok"),
        ("claim_wait", "ok"),
        ("claim.renew", "ok"),
        ("claim.park", "ok"),
        ("claim_wait", "ok"),
        ("claim.release", "ok"),
        ("claim_wait", "ok"),
        ("claim.complete", "ok"),
        ("clear_wait", "ok"),
        ("purge", "ok"),
    ]
    system = plain.backend.system
    for span in observed.spans:
        told = dict(span.attributes or {})
        assert span.name == f"{told.pop('db.operation.name')} sessions"
        assert told.pop("greentic.session.outcome") in {"ok", "none"}
        assert told.pop("greentic.session.attempt", 1) == 1
        assert told == {"db.system.name": system, "db.collection.name": "sessions"}
        assert (span.kind, span.status.status_code) == (trace.SpanKind.CLIENT, trace.StatusCode.UNSET)
    assert observed.counts == {each: observed.outcomes.count(each) for each in observed.outcomes}
    assert sum(point.sum for point in observed.durations) < 60, "seconds, as the name says"
    assert not [secret for secret in SECRETS if secret in observed.all_text()]


def test_every_method_of_a_backend_is_instrumented() -> None:
    # A method that is added with a body would otherwise go past the wrapped backend.
    public = {name for name, _ in inspect.getmembers(SessionBackend, inspect.isfunction) if not name.startswith("_")}
    own = {name for parent in InstrumentedSessionBackend.__mro__[:3] for name in vars(parent)}
    assert public <= own


def outcome_of(store: SessionStore, observed: Observed, call: Callable[[SessionStore], Awaitable[Any]]) -> dict[str, Any]:
    async def use() -> None:
        async with instrument(store, **observed.providers) as instrumented:
            await call(instrumented)

    asyncio.run(use())
    return observed.last


async def claimed(store: SessionStore) -> None:
    await store.register_wait(ALICE, "alice", SCOPE, KEY, data())
    await store.claim_wait(ALICE, "alice", SCOPE)
    with pytest.raises(ClaimedError):
        await store.claim_wait(ALICE, "alice", SCOPE)


async def taken(store: SessionStore) -> None:
    await store.create_session(ALICE, data(), key=KEY)
    with pytest.raises(ConflictError):
        await store.create_session(ALICE, data(), key=KEY)


async def changed(store: SessionStore) -> None:
    await store.create_session(ALICE, data(), key=KEY)
    with pytest.raises(ConflictError):
        await store.update_session(KEY, data(), if_version="another")


async def claim_over(store: SessionStore) -> None:
    await store.register_wait(ALICE, "alice", SCOPE, KEY, data())
    claim = await store.claim_wait(ALICE, "alice", SCOPE)
    assert claim is not None
    await store.remove_session(KEY)
    with pytest.raises(ConflictError):
        await claim.complete()


async def removed_twice(store: SessionStore) -> None:
    with pytest.raises(NotFoundError):
        await store.remove_session(KEY)


async def updated_in_vain(store: SessionStore) -> None:
    with pytest.raises(NotFoundError):
        await store.update_session(KEY, data())


@pytest.mark.parametrize(
    ("call", "operation", "outcome"),
    [
        (claimed, "claim_wait", "claimed"),
        (taken, "create_session", "conflict"),
        (changed, "update_session", "conflict"),
        (claim_over, "claim.complete", "conflict"),
        (removed_twice, "remove_session", "not_found"),
        (updated_in_vain, "update_session", "not_found"),
    ],
)
def test_what_happens_among_several_runners_is_an_outcome_and_no_error(
    plain: SessionStore, observed: Observed, call: Callable[[SessionStore], Awaitable[None]], operation: str, outcome: str
) -> None:
    told = outcome_of(plain, observed, call)
    assert (told["db.operation.name"], told["greentic.session.outcome"]) == (operation, outcome)
    assert "error.type" not in told
    assert observed.spans[-1].status.status_code is trace.StatusCode.UNSET


async def another_user(store: SessionStore) -> None:
    await store.create_session(ALICE, data(), key=KEY)
    with pytest.raises(TenantMismatchError):
        await store.update_session(KEY, data(ctx("bob")))


def test_a_failure_is_told_by_its_class_and_code_alone(plain: SessionStore, observed: Observed) -> None:
    told = outcome_of(plain, observed, another_user)
    assert (told["greentic.session.outcome"], told["error.type"]) == ("invalid_input", "TenantMismatchError")
    span = observed.spans[-1]
    assert (span.status.status_code, span.status.description, span.events) == (trace.StatusCode.ERROR, None, ())
    assert not [secret for secret in SECRETS if secret in observed.all_text()]


def test_a_corrupt_session_and_a_redis_that_is_away(observed: Observed, redis_url: str, namespace: str, raw: Any) -> None:
    async def corrupt(store: SessionStore) -> None:
        raw.set(f"{namespace}:session:{KEY}", "snapshot-of-alice")
        with pytest.raises(CorruptSessionError):
            await store.get_session(KEY)

    async def away(store: SessionStore) -> None:
        with pytest.raises(UnavailableError):
            await store.health()

    told = outcome_of(RedisSessionStore.from_url(redis_url, namespace=namespace), observed, corrupt)
    assert (told["greentic.session.outcome"], told["error.type"]) == ("internal", "CorruptSessionError")
    told = outcome_of(RedisSessionStore.from_url("redis://127.0.0.1:1"), observed, away)
    assert (told["greentic.session.outcome"], told["error.type"]) == ("unavailable", "UnavailableError")
    assert not [secret for secret in SECRETS if secret in observed.all_text()]


class Stalling(MemoryBackend):
    """A backend of somebody's own, which does not say what it is, and is slow or broken."""

    system = SessionBackend.system

    async def get(self, key: str) -> Wait | None:
        if key == "slow":
            await anyio.sleep(3600)
        if key == "interrupted":
            raise SystemExit
        raise RuntimeError(f"no {key}")


def stalling(observed: Observed) -> SessionStore:
    return instrument(SessionStore(Stalling(float)), **observed.providers)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_call_ends_its_span(observed: Observed, backend: str) -> None:
    async def give_up() -> None:
        with anyio.move_on_after(0.01):
            await stalling(observed).get_session("slow")

    anyio.run(give_up, backend=backend)
    assert observed.outcomes == [("get_session", "cancelled")]
    assert observed.spans[0].status.status_code is trace.StatusCode.UNSET
    assert observed.last["db.system.name"] == "other"


@pytest.mark.parametrize(("key", "error"), [("secret", RuntimeError), ("interrupted", SystemExit)])
def test_a_backend_that_breaks(observed: Observed, key: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        asyncio.run(stalling(observed).get_session(key))
    assert observed.last["greentic.session.outcome"] == "unknown"
    assert observed.last["error.type"] == error.__name__
    assert "secret" not in observed.all_text()


def test_a_release_by_leaving_the_block_is_told_when_cancelled_too(plain: SessionStore, observed: Observed) -> None:
    async def use() -> None:
        async with instrument(plain, **observed.providers) as store:
            await store.register_wait(ALICE, "alice", SCOPE, KEY, data())
            claim = await store.claim_wait(ALICE, "alice", SCOPE)
            assert claim is not None
            with anyio.move_on_after(0):
                async with claim:
                    await anyio.sleep(3600)

    asyncio.run(use())
    assert observed.outcomes[-1] == ("claim.release", "ok")


def test_spans_stand_below_the_callers_and_are_current_within(observed: Observed) -> None:
    seen: list[trace.SpanContext] = []

    class Looking(MemoryBackend):
        async def get(self, key: str) -> Wait | None:
            seen.append(trace.get_current_span().get_span_context())
            return await super().get(key)

    async def use() -> trace.SpanContext:
        store = instrument(SessionStore(Looking(float)), **observed.providers)
        await store.create_session(ALICE, data(), key=KEY)
        with observed.tracer_provider.get_tracer("caller").start_as_current_span("caller") as caller:
            await asyncio.gather(*(store.get_session(KEY) for _ in range(3)))
            async for _ in store.iter_sessions(ALICE):
                assert trace.get_current_span() is caller, "what the caller does in between is the caller's own"
            assert trace.get_current_span() is caller
            return caller.get_span_context()

    caller = asyncio.run(use())
    below = [span for span in observed.spans if span.parent is not None]
    assert [span.name for span in below] == ["get_session sessions"] * 3 + ["iter_sessions sessions"]
    assert all(span.parent is not None and span.parent.span_id == caller.span_id for span in below)
    assert {span.span_id for span in seen} == {span.context.span_id for span in below[:3] if span.context}


def test_an_iteration_that_is_left_early_or_fails(plain: SessionStore, observed: Observed) -> None:
    async def use() -> None:
        async with instrument(plain, **observed.providers) as store:
            for n in range(3):
                await store.create_session(ALICE, data(), key=f"{KEY}-{n}")
            walk = store.iter_sessions(ALICE)
            assert observed.outcomes[3:] == [], "nothing was done yet"
            await anext(walk)
            del walk
            gc.collect()
            assert observed.outcomes[3:] == [("iter_sessions", "ok")]
            walk = store.iter_sessions(ALICE)
            assert len([wait async for wait in walk]) == 3
            with pytest.raises(StopAsyncIteration):
                await anext(walk)
            store.iter_sessions(ALICE)  # never begun

    asyncio.run(use())
    assert observed.outcomes[3:] == [("iter_sessions", "ok")] * 2

    class Broken(MemoryBackend):
        async def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
            raise RuntimeError
            yield

    async def fail() -> None:
        with pytest.raises(RuntimeError):
            await anext(instrument(SessionStore(Broken(float)), **observed.providers).iter_sessions(ALICE))

    asyncio.run(fail())
    assert observed.outcomes[-1] == ("iter_sessions", "unknown")


def test_the_time_of_an_iteration_is_without_the_callers(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        store = instrument(InMemorySessionStore(), **observed.providers)
        await store.create_session(ALICE, data())
        async for _ in store.iter_sessions(ALICE):
            passed[0] += 1000.0

    passed = [0.0]
    clock = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + passed[0])
    asyncio.run(use())
    (walk,) = [point for point in observed.durations if "iter_sessions" in (point.attributes or {}).values()]
    assert walk.sum < 1000


def test_tenants_are_told_only_if_asked_for(observed: Observed) -> None:
    async def use(store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", SCOPE, KEY, data())
        for call in (
            store.get_session(KEY),
            store.find_wait(ALICE, "alice", SCOPE),
            store.touch(KEY, 60, ctx=ALICE),
            store.purge(ALICE),
        ):
            await call

    tenant = {"greentic.session.env": "dev", "greentic.session.tenant": "acme"}
    asyncio.run(use(instrument(InMemorySessionStore(), **observed.providers)))
    assert not any("tenant" in span.to_json() for span in observed.spans)
    told = Observed()
    asyncio.run(use(instrument(InMemorySessionStore(), **told.providers, tenants=True)))
    assert len(told.spans) == 5
    for attributes in [span.attributes for span in told.spans] + [point.attributes for point in told.durations]:
        assert attributes is not None
        assert tenant.items() <= attributes.items()


def test_the_histogram_has_boundaries_for_what_takes_less_than_a_millisecond(observed: Observed) -> None:
    outcome_of(InMemorySessionStore(), observed, lambda store: store.health())
    assert observed.durations[0].explicit_bounds[:3] == (0.0001, 0.00025, 0.0005)


def test_an_outer_trace_that_is_not_sampled_is_taken_over(observed: Observed) -> None:
    async def use() -> None:
        store = instrument(InMemorySessionStore(), **observed.providers)
        with trace.use_span(trace.NonRecordingSpan(unsampled)):
            await store.health()

    unsampled = trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(0))
    asyncio.run(use())
    assert observed.spans == ()
    assert [point.count for point in observed.durations] == [1]


def test_wrappers_go_in_any_order(observed: Observed) -> None:
    """A wrapper needs a SessionBackend and is one."""
    recorder = Recorder("memory", "sessions", observed.tracer_provider, observed.meter_provider, tenants=False)
    inner = InstrumentedSessionBackend(MemoryBackend(float), recorder)

    async def use() -> None:
        store = instrument(SessionStore(InstrumentedSessionBackend(inner, recorder)), **observed.providers)
        await store.create_session(ALICE, data(), key=KEY)
        assert await store.get_session(KEY) == data()

    asyncio.run(use())
    assert observed.outcomes == [("create_session", "ok")] * 3 + [("get_session", "ok")] * 3
    assert all((span.attributes or {})["db.system.name"] == "memory" for span in observed.spans)


def test_what_a_store_does_itself_when_it_reads_is_kept(observed: Observed) -> None:
    class Hiding(SessionStore):
        async def get_session(self, key: str, *, ctx: TenantCtx | None = None) -> SessionData | None:
            return None

    async def use() -> None:
        store = instrument(Hiding(MemoryBackend(float)), **observed.providers)
        await store.create_session(ALICE, data(), key=KEY)
        assert await store.get_session(KEY) is None
        assert await store.get_versioned(KEY, ctx=ctx(tenant="globex")) is None

    asyncio.run(use())
    assert observed.outcomes[1:] == [("get_session", "none"), ("get_versioned", "none")]


def test_both_stores_are_one_storage_and_closed_together(observed: Observed) -> None:
    async def use() -> None:
        plain = InMemorySessionStore(default_session_ttl=60, max_snapshot_bytes=5000)
        store = instrument(plain, **observed.providers)
        await plain.create_session(ALICE, data(), key=KEY)
        assert await store.get_session(KEY) == data()
        assert len(observed.spans) == 1, "the plain one tells nothing"
        with pytest.raises(ValueError, match="5000"):
            await store.create_session(ALICE, data(snapshot='"' + "x" * 5000 + '"'))
        await plain.aclose()
        with pytest.raises(UnavailableError, match="closed"):
            await store.get_session(KEY)

    asyncio.run(use())


def test_without_providers_it_works_and_tells_nobody() -> None:
    async def use() -> None:
        async with instrument(InMemorySessionStore()) as store:
            await store.create_session(ALICE, data(), key=KEY)
            assert await store.get_session(KEY) == data()

    asyncio.run(use())


@pytest.mark.parametrize(("arguments", "named"), [(({},), "store"), ((SessionBackend,), "store")])
def test_wrong_types_are_refused(arguments: tuple[Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        instrument(*arguments)
    with pytest.raises(TypeError, match="tenants"):
        instrument(InMemorySessionStore(), tenants=1)  # type: ignore[call-overload]  # that is what is refused


def test_without_opentelemetry_it_names_the_extra_and_all_else_works() -> None:
    code = """
import asyncio, sys
sys.modules["opentelemetry"] = None
from greentic_session import InMemorySessionStore, UnavailableError
from greentic_session.telemetry import instrument
store = InMemorySessionStore()
try:
    instrument(store)
except UnavailableError as error:
    print(error)
asyncio.run(store.health())
print("well")
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["OpenTelemetry needs an extra: python -m pip install 'greentic-session[otel]'", "well"]


@pytest.mark.asyncio
@pytest.mark.parametrize("wrap", [lambda store, _: store, lambda store, told: instrument(store, **told.providers)])
async def test_a_session_is_encoded_once_on_its_way_to_redis(
    redis_url: str, namespace: str, observed: Observed, monkeypatch: pytest.MonkeyPatch, wrap: Callable[..., SessionStore]
) -> None:
    """The text whose size is checked is the one that is sent, through every wrapper."""
    written: list[SessionData] = []

    def to_json(self: SessionData, encode: Callable[[SessionData], bytes] = SessionData.to_json) -> bytes:
        written.append(self)
        return encode(self)

    async with wrap(RedisSessionStore.from_url(redis_url, namespace=namespace), observed) as store:
        monkeypatch.setattr(SessionData, "to_json", to_json)
        await store.create_session(ALICE, data(node="1"), key="k")
        await store.register_wait(ALICE, "alice", CHAT, "k", data(node="2"))
        await store.update_session("k", data(node="3"))
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        await claim.park(CHAT, data(node="4"))
        assert await store.get_session("k") == data(node="4")
    assert [session.cursor.node_pointer for session in written] == ["1", "2", "3", "4"]
