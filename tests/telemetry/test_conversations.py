"""Instrumented conversation stores."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conversation_databases import make
from observed import Observed
from opentelemetry import trace
from time_passing import OnATimer, OnTheSharedRedis
from timers import Timer

from greentic_session import ConflictError, NotFoundError
from greentic_session.conversation import (
    ConversationBackend,
    ConversationStore,
    InMemoryConversationStore,
    Message,
    PersistenceAdapter,
    RedisConversationStore,
    create_conversation_store,
)
from greentic_session.telemetry import instrument
from greentic_session.telemetry.conversation_store import InstrumentedConversationBackend
from greentic_session.testing import ConversationStoreContract, MakeConversationStore
from greentic_session.testing._conversations.samples import OPS, said


class TestContractInMemory(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, observed: Observed, timer: Timer) -> MakeConversationStore:
        return lambda **options: instrument(
            InMemoryConversationStore(timer=timer, **options), **observed.providers, tenants=True
        )


@pytest.mark.slow
class TestContractInRedis(OnTheSharedRedis, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, observed: Observed, redis_url: str, namespaces: Callable[[], str]) -> MakeConversationStore:
        return lambda **options: instrument(
            RedisConversationStore.from_url(redis_url, namespace=namespaces(), **options), **observed.providers
        )


@pytest.mark.slow
class TestContractInADatabase(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, observed: Observed, timer: Timer, tmp_path: Path) -> MakeConversationStore:
        numbers = iter(range(1000))
        return lambda **options: instrument(
            make(tmp_path / f"{next(numbers)}.db", timer=timer, **options), **observed.providers
        )


class Shelf(PersistenceAdapter):
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    async def save_session(self, id: str, data: dict[str, Any]) -> None:
        self.kept[id] = data

    async def load_session(self, id: str) -> dict[str, Any] | None:
        return self.kept.get(id)

    async def list_sessions(self) -> list[str]:
        return list(self.kept)


@pytest.mark.parametrize("system", ["memory", "sqlite", "redis", "adapter"])
def test_every_operation_has_a_span_and_a_place_in_the_histogram(
    system: str, observed: Observed, tmp_path: Path, redis_url: str, namespace: str
) -> None:
    configs: dict[str, str | PersistenceAdapter] = {
        "memory": "memory://",
        "sqlite": f"sqlite:///{tmp_path}/bot.db",
        "redis": redis_url,
        "adapter": Shelf(),
    }
    plain = create_conversation_store(configs[system], namespace=namespace)

    async def use() -> None:
        async with instrument(plain, **observed.providers, tenants=True) as store:
            await store.health()
            await store.create(OPS, id="secret-id")
            await store.append(OPS, "secret-id", *said("secret words"))
            read = await store.messages(OPS, "secret-id")
            await store.compact(OPS, "secret-id", 1, said("secret summary"), version=read.version)
            with pytest.raises(ConflictError):
                await store.compact(OPS, "secret-id", 1, [], version=read.version)
            await store.pop(OPS, "secret-id")
            await store.clear(OPS, "secret-id")
            await store.update_state(OPS, "secret-id", add_events=1)
            conversation = await store.load(OPS, "secret-id")
            await store.save(OPS, conversation)
            await store.list(OPS)
            with pytest.raises(ConflictError):
                await store.create(OPS, id="secret-id")
            await store.delete(OPS, "secret-id")
            with pytest.raises(NotFoundError):
                await store.load(OPS, "secret-id")
            await store.purge(OPS)

    asyncio.run(use())
    refused = {5: "conflict", 13: "conflict", 15: "not_found"}
    names = "health create append messages compact compact messages pop clear update_state load save list create delete load"
    assert observed.outcomes == [(name, refused.get(at, "ok")) for at, name in enumerate([*names.split(), "purge"])]
    for span in observed.spans:
        assert span.name.endswith(" conversations")
        assert span.attributes is not None
        assert span.attributes["db.system.name"] == system
        assert span.status.status_code is trace.StatusCode.UNSET
        assert ("greentic.session.tenant" in span.attributes) is (span.name != "health conversations")
    assert sum(point.count for point in observed.durations) == len(observed.spans)
    assert "secret" not in observed.all_text()


def test_every_method_of_a_backend_is_instrumented() -> None:
    public = {name for name, _ in inspect.getmembers(ConversationBackend, inspect.isfunction) if not name.startswith("_")}
    own = {name for parent in InstrumentedConversationBackend.__mro__[:3] for name in vars(parent)}
    assert public <= own


def test_messages_of_ones_own_stay_what_they_are(observed: Observed) -> None:
    async def use(store: ConversationStore[dict[str, int]]) -> list[dict[str, int]]:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", {"a": 1})
        return await store.messages(OPS, "c")

    plain = InMemoryConversationStore(message_type=dict[str, int])
    assert asyncio.run(use(instrument(plain, **observed.providers))) == [{"a": 1}]


def test_the_type_of_the_messages_is_kept() -> None:
    store: ConversationStore[Message] = instrument(InMemoryConversationStore())  # the type checkers look at this
    assert isinstance(store, ConversationStore)
