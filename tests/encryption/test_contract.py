"""Encrypted stores keep the contract, over every backend."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conversation_databases import make
from hypothesis import settings
from time_passing import OnATimer, OnTheSharedRedis
from timers import Timer

from greentic_session import InMemorySessionStore, RedisSessionStore, SessionStore, SQLiteSessionStore
from greentic_session._crypto.sealing import Sealer
from greentic_session.backends.encrypted import EncryptedBackend
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.conversation import AdapterConversationStore, InMemoryConversationStore, RedisConversationStore
from greentic_session.encryption import EncryptedConversationStore, EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.testing import (
    ConversationStoreContract,
    MakeConversationStore,
    MakeStore,
    ReplyContract,
    ReplyStoreMachine,
    SessionStoreContract,
    conversation_store_machine,
    session_store_machine,
)

RING = Keyring(EncryptionKey.generate("k2"), EncryptionKey.generate("k1"))


class Shelf:
    """A storage of a user's own, which keeps JSON texts."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def save_session(self, id: str, data: dict[str, Any]) -> None:
        self.kept[id] = json.dumps(data)

    async def load_session(self, id: str) -> dict[str, Any] | None:
        return json.loads(self.kept[id]) if id in self.kept else None

    async def list_sessions(self) -> list[str]:
        return list(self.kept)


def in_memory(**options: Any) -> EncryptedSessionStore:
    return EncryptedSessionStore(InMemorySessionStore(**options), RING)


def on_an_encrypted_backend(*, timer: Timer, **options: Any) -> SessionStore:
    return SessionStore(EncryptedBackend(MemoryBackend(timer), Sealer(RING, allow_plain=False)), **options)


def conversations_in_memory(**options: Any) -> EncryptedConversationStore[Any]:
    return EncryptedConversationStore(InMemoryConversationStore(**options), RING)


def in_redis(url: str, **options: Any) -> EncryptedSessionStore:
    return EncryptedSessionStore(RedisSessionStore.from_url(url, **options), RING)


def conversations_in_redis(url: str, **options: Any) -> EncryptedConversationStore[Any]:
    return EncryptedConversationStore(RedisConversationStore.from_url(url, **options), RING)


def conversations_on_an_adapter(**options: Any) -> EncryptedConversationStore[Any]:
    return EncryptedConversationStore(AdapterConversationStore(Shelf(), **options), RING)


class TestInMemory(OnATimer, SessionStoreContract, ReplyContract):
    make = staticmethod(in_memory)


@pytest.mark.slow
class TestTheBackendAlone(OnATimer, SessionStoreContract, ReplyContract):
    """Under a store that knows nothing of encryption, as a wrapper of somebody else's would be."""

    make = staticmethod(on_an_encrypted_backend)


@pytest.mark.slow
class TestRedis(OnTheSharedRedis, SessionStoreContract, ReplyContract):
    make = staticmethod(in_redis)


@pytest.mark.slow
class TestSQLite(OnATimer, SessionStoreContract, ReplyContract):
    @pytest.fixture
    def make_store(self, databases: Callable[[], Path], timer: Timer) -> MakeStore:
        return lambda **options: EncryptedSessionStore(SQLiteSessionStore.open(databases(), timer=timer, **options), RING)


class TestConversationsInMemory(OnATimer, ConversationStoreContract):
    make = staticmethod(conversations_in_memory)


@pytest.mark.slow
class TestConversationsInRedis(OnTheSharedRedis, ConversationStoreContract):
    make = staticmethod(conversations_in_redis)


@pytest.mark.slow
class TestConversationsInADatabase(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path, timer: Timer) -> MakeConversationStore:
        numbers = iter(range(1000))
        return lambda **options: EncryptedConversationStore(
            make(tmp_path / f"{next(numbers)}.db", timer=timer, **options), RING
        )


@pytest.mark.slow
class TestConversationsOnAnAdapter(OnATimer, ConversationStoreContract):
    make = staticmethod(conversations_on_an_adapter)


CLOCK = Timer()
SessionMachine = session_store_machine(partial(in_memory, timer=CLOCK), CLOCK.advance, base=ReplyStoreMachine)
SessionMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30)
TestSessionMachine = SessionMachine.TestCase

TIMER = Timer()
ConversationMachine = conversation_store_machine(partial(conversations_in_memory, timer=TIMER), TIMER.advance)
ConversationMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30)
TestConversationMachine = ConversationMachine.TestCase
