"""The contract as a test suite, for this library's backends and for your own.

It needs the ``test`` extra (pytest, pytest-asyncio in strict mode, hypothesis). Subclass
`SessionStoreContract` and give it one fixture::

    class TestMyStore(SessionStoreContract):
        @pytest.fixture
        def make_store(self) -> MakeStore:
            return MySessionStore  # called with a store's options; returns a fresh, empty store

Where the test can move the time of your store, a second fixture says how, and nothing sleeps or
depends on the machine's speed::

        @pytest.fixture
        def time(self) -> Time:
            return Time.moved(clock.advance)

Beside it, `session_store_machine` holds a store against a model of the contract, with hypothesis::

    class MyMachine(session_store_machine(make_store=MySessionStore, advance=clock.advance)):
        pass

    TestMyMachine = MyMachine.TestCase

For a store that keeps replies, name `ReplyContract` behind `SessionStoreContract`, and give the
machine ``base=ReplyStoreMachine``.

Conversation stores have the same: `ConversationStoreContract` and `conversation_store_machine`. For
a `ConversationBackend` of your own::

    class TestMyConversations(ConversationStoreContract):
        @pytest.fixture
        def make_store(self) -> MakeConversationStore:
            # called with the options of a ConversationStore; returns a fresh, empty store
            return lambda **options: ConversationStore(MyBackend(), **options)

Fixtures with stores for the tests of programs that use them are in `pytest_plugin`.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from greentic_session.conversation import ConversationStore
from greentic_session.store import SessionStore
from greentic_session.testing._conversations.archives import ConversationArchivesContract
from greentic_session.testing._conversations.by_id import ConversationsContract
from greentic_session.testing._conversations.editing import EditingContract
from greentic_session.testing._conversations.inputs import ConversationInputsContract
from greentic_session.testing._conversations.machine import conversation_store_machine
from greentic_session.testing._conversations.partitions import ConversationPartitionsContract
from greentic_session.testing._conversations.samples import MakeConversationStore
from greentic_session.testing._conversations.transcripts import TranscriptsContract
from greentic_session.testing._sessions.administration import AdministrationContract
from greentic_session.testing._sessions.by_key import SessionsContract
from greentic_session.testing._sessions.claims import ClaimsContract
from greentic_session.testing._sessions.deadlines import DeadlinesContract
from greentic_session.testing._sessions.deliveries import DeliveriesContract
from greentic_session.testing._sessions.inboxes import InboxesContract
from greentic_session.testing._sessions.inputs import InputsContract
from greentic_session.testing._sessions.later import later
from greentic_session.testing._sessions.lifetimes import LifetimesContract
from greentic_session.testing._sessions.machine import session_store_machine
from greentic_session.testing._sessions.operators import OperatorsContract
from greentic_session.testing._sessions.readiness import ReadinessContract
from greentic_session.testing._sessions.reply_machine import ReplyStoreMachine
from greentic_session.testing._sessions.samples import MakeStore, Time
from greentic_session.testing._sessions.turns import TurnsContract
from greentic_session.testing._sessions.waits import WaitsContract

__all__ = [
    "ConversationStoreContract",
    "MakeConversationStore",
    "MakeStore",
    "ReplyContract",
    "ReplyStoreMachine",
    "SessionStoreContract",
    "Time",
    "conversation_store_machine",
    "later",
    "session_store_machine",
]


class _StoreSuite:
    """What every contract suite asks of its subclass: how stores are made, and how time passes."""

    @pytest.fixture
    def make_store(self) -> Callable[..., Any]:
        """Return a function that makes a fresh, empty store with the given options.

        Override this.
        """
        raise NotImplementedError(f"give {type(self).__name__} a fixture make_store")

    @pytest.fixture
    def time(self) -> Time:
        """Return how time passes for these stores. Override this where the test can move it."""
        return Time()


@pytest.mark.asyncio
class SessionStoreContract(
    SessionsContract,
    WaitsContract,
    ClaimsContract,
    LifetimesContract,
    AdministrationContract,
    InputsContract,
    _StoreSuite,
):
    """What every `SessionStore` promises, as tests. Subclass it with the fixture `make_store`."""

    @pytest_asyncio.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[SessionStore]:
        """Yield a store without options."""
        async with make_store() as store:
            yield store


@pytest.mark.asyncio
class ReplyContract(
    DeliveriesContract, InboxesContract, TurnsContract, DeadlinesContract, ReadinessContract, OperatorsContract
):
    """What a `SessionStore` promises of replies and deadlines, as tests.

    Name it beside `SessionStoreContract`, behind it, for a store that keeps replies.
    """


@pytest.mark.asyncio
class ConversationStoreContract(
    ConversationsContract,
    TranscriptsContract,
    EditingContract,
    ConversationPartitionsContract,
    ConversationInputsContract,
    ConversationArchivesContract,
    _StoreSuite,
):
    """What every `ConversationStore` promises, as tests.

    Subclass it with the fixture `make_store`.
    """

    @pytest_asyncio.fixture
    async def store(self, make_store: MakeConversationStore) -> AsyncIterator[ConversationStore[Any]]:
        """Yield a store without options."""
        async with make_store() as store:
            yield store
