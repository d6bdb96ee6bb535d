"""What a copy asks of the stores on both of its sides, be they in Redis or in SQLite."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NamedTuple, TypeAlias

from greentic_session.conversation.backend import ConversationBackend

from .exported import CopiedReply, Exported, ExportedDelivery, ExportedInbox
from .report import Report

__all__ = ["Endpoint", "Group", "Looked", "ReplySource", "ReplyTarget", "Side", "Source", "Target", "unheard"]

Group: TypeAlias = tuple[Any, list[bytes]]
"""Some names of a kind, and where they are: for the side itself."""
Looked: TypeAlias = Callable[[int], None]
"""Told of how many more names were looked at."""


def unheard(looked: int) -> None:
    """Tell nobody."""


class ReplySource(ABC):
    """Where replies come from, and what goes with them."""

    @abstractmethod
    def inboxes(self) -> AsyncGenerator[ExportedInbox, None]:
        """Yield what lies at each place, once."""

    @abstractmethod
    def deliveries(self) -> AsyncIterator[list[ExportedDelivery]]:
        """Yield the ids of deliveries that were settled or removed, and are remembered."""

    @abstractmethod
    async def lacks(self, copies: list[CopiedReply]) -> list[CopiedReply]:
        """Return those of some replies that do not lie here unsettled.

        Each says whether the id of its delivery is forgotten, too.
        """


class ReplyTarget(ABC):
    """Where replies go to, and what goes with them."""

    @abstractmethod
    async def put_inbox(self, inbox: ExportedInbox) -> int:
        """Put what is new of an inbox behind what lies at its place, in one atomic step.

        What was copied before, or is known by the id of its delivery, is left out; but what nobody
        here has touched is held as it is there. Return how many replies were added.
        """

    @abstractmethod
    async def put_deliveries(self, deliveries: list[ExportedDelivery]) -> None:
        """Remember ids of deliveries that are not known yet."""

    @abstractmethod
    def copies(self) -> AsyncIterator[list[CopiedReply]]:
        """Yield the replies that were copied here and lie here still."""

    @abstractmethod
    async def remove(self, copies: list[CopiedReply]) -> None:
        """Settle those of some copies that nobody here holds, as it was where they came from."""


class Source(ABC):
    """Where sessions come from.

    Attributes:
        replies: Where their replies come from.
    """

    replies: ReplySource

    @abstractmethod
    async def check(self) -> None:
        """Check that there is something to copy from.

        Raises:
            UnavailableError: There is not.
        """

    @abstractmethod
    def sessions(self, looked: Looked) -> AsyncGenerator[Group, None]:
        """Yield the keys of all sessions, some perhaps twice."""

    @abstractmethod
    def waits(self, looked: Looked) -> AsyncIterator[Group]:
        """Yield what else tells of waits, for `read` with `believed`."""

    @abstractmethod
    async def read(self, group: Group, *, believed: bool = False) -> list[Exported]:
        """Return those of some sessions that are there.

        Args:
            group: Their keys.
            believed: The group is one of `waits`; what nothing else tells of is returned.
        """

    @abstractmethod
    async def lacks(self, key: bytes) -> bool:
        """Say whether no session lives under a key."""


class Target(ABC):
    """Where sessions go to.

    Args:
        report: Where all is counted.

    Attributes:
        replies: Where their replies go to.
    """

    replies: ReplyTarget

    def __init__(self, report: Report) -> None:
        self.report = report

    async def write(self, session: Exported) -> None:
        """Store a session, unless that is not to be done."""
        outcome = await self.put(session)
        if session.believed:
            self.report.waits += outcome == b"stored"
        elif outcome == b"stored":
            self.report.copied += 1
        elif outcome == b"same":
            self.report.unchanged += 1
        elif outcome == b"kept":
            self.report.kept += 1

    @abstractmethod
    async def put(self, session: Exported) -> bytes | None:
        """Store a session in one atomic step.

        Returns:
            ``stored``; ``same`` if nothing was to be done; ``kept`` if it may not be; None if its
            life is over.
        """

    @abstractmethod
    def copies(self, looked: Looked) -> AsyncIterator[Group]:
        """Yield the keys of all that was copied here."""

    @abstractmethod
    async def remove(self, group: Group) -> None:
        """Remove those of some copies that are as they were left."""


class Side(ABC):
    """One side of a copy.

    Attributes:
        name: Tells which store it is; never a password.
        conversations: The conversations there.
    """

    conversations: ConversationBackend

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def id(self) -> str:
        """A short name for copies to be marked with."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @abstractmethod
    def walk_conversations(self, looked: Looked) -> AsyncIterator[Group]:
        """Yield the names of all conversations: ``env:tenant:team or -:id``."""

    @abstractmethod
    async def size(self) -> int:
        """Return how much there is to look at, roughly."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of everything."""


class Endpoint(NamedTuple):
    """A side, and what makes it where sessions come from, or where they go to.

    Attributes:
        source: Takes the report.
        target: Takes the `id` of the source, with which copies are marked, and the report.
    """

    side: Side
    source: Callable[[Report], Source]
    target: Callable[[str, Report], Target]
