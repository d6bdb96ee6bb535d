"""Administration of a store: figures, faults, settings, and details of sessions.

The command line asks here, so it knows no keys and no server. An `Inspector` only ever reads.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from ._base.holder import Holder
from .models import ReplyScope
from .tenancy import Partition

__all__ = [
    "SOON_MS",
    "Details",
    "Examination",
    "Finding",
    "Holder",
    "Inspector",
    "Looked",
    "Selection",
    "Setting",
    "Step",
    "Tally",
]


Looked: TypeAlias = Callable[[int], object]
"""Told how many more keys or sessions a walk has looked at."""

SOON_MS = 3_600_000
"""What ends within so many milliseconds ends soon."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sessions are meant.

    One env and tenant, and of it one team or user only, where one is named.
    """

    env: str
    tenant: str
    team: str | None = None
    user: str | None = None


class Step(NamedTuple):
    """One step of a purge.

    How many sessions, conversations or keys were looked at, and how many were removed.
    """

    looked: int
    removed: int


class Tally(msgspec.Struct):
    """What one team of a tenant has in the store.

    Attributes:
        sessions: Live ones, waits included.
        waits: How many of them wait for an answer.
        soon: How many of them end within `SOON_MS`.
        size: The length of their texts, in bytes.
        conversations: Those in the same storage.
    """

    sessions: int = 0
    waits: int = 0
    soon: int = 0
    size: int = 0
    conversations: int = 0

    def add(self, other: "Tally") -> None:
        """Add what another one counts."""
        self.sessions += other.sessions
        self.waits += other.waits
        self.soon += other.soon
        self.size += other.size
        self.conversations += other.conversations


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of a live session beside its snapshot.

    Attributes:
        ttl_ms: What is left of its lifetime; None: for ever.
        size: The length of its text, in bytes.
        waits: Whether it waits for an answer.
        scope: Where, as far as the store knows; None for a wait of another runtime.
        claim_ms: What is left of the lease of the claim on it; None without one.
        holder: Which process holds that claim; None where its token does not tell.
    """

    ttl_ms: int | None
    size: int
    waits: bool
    scope: ReplyScope | None = None
    claim_ms: int | None = None
    holder: Holder | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of fault, or of a peculiarity, of the indices.

    Attributes:
        name: A short name for programs.
        fault: Whether the indices disagree there. Else it is what the contract allows, and
            harmless.
        what: What it is.
        advice: What to do.
        count: How many there are.
        keys: The names of some of them. They hold session keys and the ids of users.
    """

    name: str
    fault: bool
    what: str
    advice: str
    count: int
    keys: tuple[str, ...] = ()


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """How the indices stand.

    Attributes:
        looked: How many keys or sessions were looked at.
        findings: Faults first.
    """

    looked: int
    findings: Sequence[Finding]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A property of the server, or of how it is set up.

    Attributes:
        name: Of what.
        level: ``"warning"`` for what should be changed.
        value: What it is.
        advice: What to do; empty where nothing is.
    """

    name: str
    level: Literal["ok", "warning"]
    value: str
    advice: str = ""


class Inspector(ABC):
    """Looks into a backend, and changes nothing. No step of it keeps others waiting for long."""

    @abstractmethod
    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Partition, Tally]:
        """Count what there is, by env, tenant and team.

        Args:
            looked: Told about progress.
            selection: Count only this; a user's conversations cannot be told apart, and are not
                counted then.
        """

    @abstractmethod
    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """Return the details of some sessions, in their order; None for each that is absent."""

    async def namespaces(self, looked: Looked) -> Sequence[str]:
        """Return the names of some namespaces of this storage that hold sessions, sorted.

        None where the storage has no namespaces.
        """
        del looked
        return ()

    @abstractmethod
    async def examine(self, looked: Looked) -> Examination:
        """Look at everything, and say where it does not agree."""

    @abstractmethod
    async def settings(self) -> list[Setting]:
        """Return what is to be said of the server."""
