"""The interface of a backend: storage for a `ConversationStore`, one atomic step an operation.

The store checks every argument before it calls the backend: ids are valid texts of 1 to 255
characters (any text: ``..``, ``a/b``, ``CON``), messages are JSON texts in UTF-8 on one line, times
are microseconds since the Unix epoch, lifetimes milliseconds. The backend decides only what depends
on stored state, by the rules in `header` and `rules`.

Rules for all operations:

- An expired conversation is absent. All parts of a conversation expire together.
- Partitions are separate: an id in one never leads to a conversation in another.
- Every write makes `updated_at` later than before, by `moments.later`, and so makes a new revision;
  `created_at` stays.
- A `Lifetime` begins with the creation. Unless `Lifetime.again_ms` is None, every operation
  renews it, reads included.
- Errors of a driver or of the system are raised as GreenticErrors. A header that cannot be read is
  CorruptSessionError, one of a newer schema SchemaVersionError (`rules.check_schema`): in every
  operation that reads the broken part, except `delete` and a `put` of ANYTHING.
- A cancelled call has either happened or not.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from greentic_session._base.lifecycle import Closable
from greentic_session.admin import Step
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Revision, Tail
from greentic_session.errors import InvalidInputError
from greentic_session.tenancy import Partition

__all__ = ["ConversationBackend", "Glimpse"]


class Glimpse(Struct, frozen=True):
    """Size and revision of a conversation before it is read.

    Attributes:
        revision: Its revision.
        ttl_ms: The lifetime that was left, in milliseconds; None for ever.
        seen_at: When, by `time.monotonic`.
    """

    revision: Revision
    ttl_ms: int | None
    seen_at: float

    def left_ms(self) -> int | None:
        """Return what is left of the lifetime now, in milliseconds; None for ever."""
        if self.ttl_ms is None:
            return None
        return self.ttl_ms - round((time.monotonic() - self.seen_at) * 1000)


class ConversationBackend(Closable, ABC):
    """Storage for conversations. Each method except `purge` is one atomic step.

    Attributes:
        system: The name of the storage system, as for a `SessionBackend`.
    """

    system: str = "other"

    @abstractmethod
    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        """Store a whole conversation, new or over an old one; return the stored header.

        `header.replacing` checks `expected` and sets the times. The lifetime of a new conversation
        begins; that of an old one is renewed as by every operation.

        Raises:
            ConflictError: The stored conversation is not the `expected` one.
        """

    @abstractmethod
    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        """Return a whole conversation, as of one moment.

        Raises:
            NotFoundError: The conversation is absent.
        """

    @abstractmethod
    async def delete(self, partition: Partition, id: str) -> None:
        """Remove a conversation with all its parts, readable or not.

        Raises:
            NotFoundError: The conversation is absent.
        """

    @abstractmethod
    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        """Append messages, in order and without a gap; return the new number of messages.

        The cost does not depend on the length of the conversation: no stored message is read or
        written. Without new messages `updated_at` stays, and the number of messages is returned.

        Raises:
            NotFoundError: The conversation is absent.
        """

    @abstractmethod
    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        """Return the number of messages, and the last `last` of them in order (None: all).

        Args:
            partition: The partition.
            id: The id of the conversation.
            last: How many to return.
            life: The lifetime.
            fresh: Whether an `edit` follows, so that what is returned must not be stale.

        Raises:
            NotFoundError: The conversation is absent.
        """

    @abstractmethod
    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        """Replace messages, and give the conversation the new birth; return the new number.

        `header.end_of_edit` decides. The cost does not depend on messages that stay before those
        that go.

        Raises:
            ConflictError: The messages are not those that the caller has read; nothing is written.
            NotFoundError: The conversation is absent.
        """

    @abstractmethod
    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        """Change a header as `header.changed_header` does.

        Raises:
            InvalidInputError: A counter would exceed `header.MAX_COUNT`; nothing is written.
            NotFoundError: The conversation is absent.
        """

    @abstractmethod
    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        """Return summaries: the latest `updated_at` first, then ascending by id.

        A conversation whose header cannot be read is left out, with one `rules.warn_skipped` per
        call.

        Args:
            partition: The partition to list.
            limit: The largest number of summaries; None for all.
            after: The id behind which the list begins; None for the whole list.
            since: With `after`: the `updated_at` of the summary that the caller has. Then the list
                continues from that moment and id, even if the conversation has changed or is gone.
                None: from the current position of the conversation.

        Raises:
            NotFoundError: `after` is absent, and `since` is None.
        """

    @abstractmethod
    async def purge(self, partition: Partition) -> int:
        """Remove all conversations of a partition, each in one step; return how many.

        The event loop and the storage are never blocked for long.
        """

    async def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        """Remove all conversations of a tenant, or of one of its teams, step by step.

        A purge that was interrupted may be repeated.

        Raises:
            InvalidInputError: This backend cannot find all partitions of a tenant. That is the
                default; a backend that can overrides this method.
        """
        if team is None:
            raise InvalidInputError("this store cannot tell which teams a tenant has: purge its partitions one by one")
        removed = await self.purge((env, tenant, team))
        yield Step(removed, removed)

    def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        """Yield partition and id of all conversations, some at a time, and some perhaps twice.

        What is there throughout is in it; what comes or goes meanwhile may be.

        Raises:
            InvalidInputError: This backend cannot name all its conversations. That is the default;
                a backend that can overrides this method.
        """
        raise InvalidInputError("this store cannot name all its conversations")

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:  # noqa: ARG002  # for backends that can
        """Return what is known of a conversation; None if it is absent. No lifetime is renewed.

        Raises:
            InvalidInputError: This backend cannot. That is the default; a backend that can
                overrides this method.
        """
        raise InvalidInputError("this store does not tell the lifetimes of its conversations")

    @abstractmethod
    async def health(self) -> None:
        """Check that the backend answers; raise UnavailableError if not."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release all resources; idempotent."""
