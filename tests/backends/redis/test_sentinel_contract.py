"""The Redis store behind sentinels keeps the contract, with reads from the primary; and so do conversations."""

import uuid
from collections.abc import Iterator

import pytest
from sentinel_servers import Fleet

from greentic_session import create_session_store
from greentic_session.conversation import create_conversation_store
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, MakeStore, SessionStoreContract


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet


@pytest.mark.slow
class TestSessions(SessionStoreContract):
    @pytest.fixture
    def make_store(self, fleet: Fleet) -> MakeStore:
        return lambda **options: create_session_store(fleet.url, namespace=f"test-{uuid.uuid4().hex}", **options)


@pytest.mark.slow
class TestConversations(ConversationStoreContract):
    @pytest.fixture
    def make_store(self, fleet: Fleet) -> MakeConversationStore:
        return lambda **options: create_conversation_store(fleet.url, namespace=f"test-{uuid.uuid4().hex}", **options)
