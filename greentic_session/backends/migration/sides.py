"""What a copy asks of the stores on both of its sides, be they in Redis or in SQLite."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, TypeAlias

from greentic_session.conversation.backend import ConversationBackend

from .exported import Exported
from .report import Report

__all__ = ["Endpoint", "Group", "Looked", "Side", "Source", "Target"]

Group: TypeAlias = tuple[Any, list[bytes]]
"""Some names of a kind, and where they are: for the side itself."""
Looked: TypeAlias = Callable[[int], None]
"""Told of how many more names were looked at."""


class Source(ABC):
    """Where sessions come from."""

    @abstractmethod
    async def check(self) -> None:
        """Check that there is something to copy from.

        Raises:
            UnavailableError: There is not.
        """

    @abstractmethod
    def sessions(self, looked: Looked) -> AsyncIterator[Group]:
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
    """

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
        carries_replies: Whether replies, deadlines and what goes with them can be copied from and
            to here.
    """

    conversations: ConversationBackend
    carries_replies: bool = False

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def id(self) -> str:
        """A short name for copies to be marked with."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @abstractmethod
    def walk_conversations(self, looked: Looked) -> AsyncIterator[Group]:
        """Yield the names of all conversations: ``env:tenant:team or -:id``."""

    async def holds_replies(self) -> bool:
        """Say whether replies, deadlines or what goes with them are there."""
        return False

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
