"""The contract for the Redis stores behind sentinels, with reads from the primary."""

import uuid
from collections.abc import Iterator

import pytest
from sentinel_servers import Fleet
from time_passing import passing

from greentic_session import create_session_store
from greentic_session.conversation import create_conversation_store
from greentic_session.testing import (
    ConversationStoreContract,
    MakeConversationStore,
    MakeStore,
    ReplyContract,
    SessionStoreContract,
    Time,
)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet


@pytest.fixture
def moved(fleet: Fleet) -> Iterator[Time]:
    """Time passes on the primary, and its replicas follow."""
    with fleet.raw(fleet.primary) as raw:
        yield Time.moved(passing([raw]))


class OnTheFleet:
    @pytest.fixture
    def time(self, moved: Time) -> Time:
        return moved


@pytest.mark.slow
class TestSessions(OnTheFleet, SessionStoreContract, ReplyContract):
    @pytest.fixture
    def make_store(self, fleet: Fleet) -> MakeStore:
        return lambda **options: create_session_store(fleet.url, namespace=f"test-{uuid.uuid4().hex}", **options)


@pytest.mark.slow
class TestConversations(OnTheFleet, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, fleet: Fleet) -> MakeConversationStore:
        return lambda **options: create_conversation_store(fleet.url, namespace=f"test-{uuid.uuid4().hex}", **options)
