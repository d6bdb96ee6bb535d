"""The interface of a backend: storage for a `ConversationStore`, one atomic step an operation.

The store has checked every argument before it calls: ids are valid texts of 1 to 255 characters
(any text: ``..``, ``a/b``, ``CON``), messages are JSON texts in UTF-8 on one line, times are
microseconds since the Unix epoch, lifetimes milliseconds. What is left to the backend is what needs
stored state; for the rules in that it asks `header` and `rules`.

Everywhere:

- A conversation that has expired is absent. Everything that belongs to one expires together.
- Partitions are apart: no id in one ever reaches another.
- Every write makes `updated_at` later than it was, by `moments.later`, and so a new revision;
  `created_at` stays.
- A `Lifetime` begins with the creation, and again with every use if `Lifetime.renewal_ms` says so,
  reads included.
- A driver's or the system's errors leave as GreenticErrors. A header that cannot be read is
  CorruptSessionError, one of a newer schema SchemaVersionError (`rules.check_schema`): in every
  operation on that conversation that reads the part that is broken, but `delete` and a `put` of
  ANYTHING.
- A cancelled call has either happened or not.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence

from greentic_session._lifecycle import Closable
from greentic_session.admin import Step
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Expected, Header, Lifetime
from greentic_session.errors import InvalidInputError
from greentic_session.tenancy import Partition

__all__ = ["ConversationBackend"]


class ConversationBackend(Closable, ABC):
    """Storage for conversations. Each method is one atomic step, `purge` excepted.

    Attributes:
        system: As for a `SessionBackend`.
    """

    system: str = "other"

    @abstractmethod
    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        """Store a whole conversation, new or over an old one; return the header as stored.

        What is there and must be there, and the times of what is stored, are those of
        `header.replacing`. A lifetime begins if nothing was there; else as with every use.

        Raises:
            ConflictError: Something else is there than `expected`.
        """

    @abstractmethod
    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        """Return a whole conversation, of one moment.

        Raises:
            NotFoundError: It is absent.
        """

    @abstractmethod
    async def delete(self, partition: Partition, id: str) -> None:
        """Remove a conversation with all that belongs to it, whether it can be read or not.

        Raises:
            NotFoundError: It is absent.
        """

    @abstractmethod
    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        """Append messages, in order and without a gap; return the new number of messages.

        It costs what is new, however long the conversation is: it neither reads nor writes what is
        there. Without messages it writes none, leaves `updated_at`, and returns how many there are.

        Raises:
            NotFoundError: It is absent.
        """

    @abstractmethod
    async def messages(self, partition: Partition, id: str, last: int | None, life: Lifetime) -> tuple[int, list[bytes]]:
        """Return the number of messages, and the last `last` of them in order (None: all).

        Raises:
            NotFoundError: It is absent.
        """

    @abstractmethod
    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        """Change a header as `header.changed_header` does.

        Raises:
            InvalidInputError: A counter would exceed `header.MAX_COUNT`; nothing is written.
            NotFoundError: It is absent.
        """

    @abstractmethod
    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        """Return summaries: the latest `updated_at` first, then ascending by id.

        A conversation of which the header cannot be read is left out, with `rules.warn_skipped`
        once a call.

        Args:
            partition: Of which partition.
            limit: At most so many; None for all.
            after: Begin after this id; None for the beginning.
            since: With `after`: the `updated_at` at which the caller saw it. Then the list goes on
                from that moment and id, whatever has become of the conversation. None: from where
                it stands now.

        Raises:
            NotFoundError: `after` is absent, and `since` is None.
        """

    @abstractmethod
    async def purge(self, partition: Partition) -> int:
        """Remove all conversations of a partition, each in one step; return how many.

        Never block for long.
        """

    async def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        """Remove all conversations of a tenant, or of one of its teams, step by step.

        Whoever stops in between may begin again.

        Raises:
            InvalidInputError: This backend cannot tell the partitions of a tenant. So it is unless
                a backend says how.
        """
        if team is None:
            raise InvalidInputError("this store cannot tell which teams a tenant has: purge its partitions one by one")
        removed = await self.purge((env, tenant, team))
        yield Step(removed, removed)

    @abstractmethod
    async def health(self) -> None:
        """Return if the backend answers, raise UnavailableError if not."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of everything; idempotent."""
