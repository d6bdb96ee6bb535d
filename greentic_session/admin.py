"""Administration of a store: figures, faults, settings, and details of sessions.

The command line asks here, so it knows no keys and no server. An `Inspector` only ever reads.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from ._base.holder import Holder
from .models import ReplyScope

__all__ = [
    "SOON_MS",
    "Details",
    "Examination",
    "Finding",
    "Group",
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


class Group(NamedTuple):
    """Key of a count of sessions.

    Attributes:
        env: "" for those of which nobody can tell whose they are.
        tenant: The same.
        team: None for those of no team.
        flow: The flow; None where nobody can tell, and for conversations.
    """

    env: str
    tenant: str
    team: str | None
    flow: str | None = None


class Tally(msgspec.Struct):
    """Counts of one flow of one team of a tenant.

    Attributes:
        sessions: Live ones, waits included.
        waits: How many of them wait for an answer.
        soon: How many of the sessions end within `SOON_MS`.
        size: The length of their texts, in bytes.
        conversations: Those in the same storage.
        claimed: How many of the waits a live claim is on.
        ready: How many of them are ready.
        oldest_ms: For how many milliseconds the first of those has been ready; 0 without any.
        due: How many of the waits have a deadline that comes within `SOON_MS`.
        overdue: Of how many the deadline has passed, and no verdict has heard it.
        put_off: How many are put off.
        replies: How many unsettled replies lie at their places.
    """

    sessions: int = 0
    waits: int = 0
    soon: int = 0
    size: int = 0
    conversations: int = 0
    claimed: int = 0
    ready: int = 0
    oldest_ms: int = 0
    due: int = 0
    overdue: int = 0
    put_off: int = 0
    replies: int = 0

    def add(self, other: "Tally") -> None:
        """Add what another one counts."""
        self.sessions += other.sessions
        self.waits += other.waits
        self.soon += other.soon
        self.size += other.size
        self.conversations += other.conversations
        self.claimed += other.claimed
        self.ready += other.ready
        self.oldest_ms = max(self.oldest_ms, other.oldest_ms)
        self.due += other.due
        self.overdue += other.overdue
        self.put_off += other.put_off
        self.replies += other.replies


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of a live session beside its snapshot.

    Attributes:
        ttl_ms: What is left of its lifetime; None: for ever.
        size: The length of its text, in bytes.
        waits: Whether it waits for an answer.
        scope: Where, as far as the store knows; None for a wait of another runtime.
        claim_ms: What is left of the lease of the claim on it; None without one.
        holder: Which process holds that claim; None where its token does not tell.
        deadline_ms: What is left until the deadline of the wait, negative once that has passed;
            None where it has none.
        resumes: Whether a runner resumes it then; else it is forgotten.
        ready_ms: For how long it has been ready; None where it is not.
        put_off_ms: For how long it is put off; 0 where it is not.
        attempts: How many attempts its open turn has had.
        replies: How many unsettled replies lie at its place.
        age_ms: For how long it has waited where it does; None where the storage does not tell.
    """

    ttl_ms: int | None
    size: int
    waits: bool
    scope: ReplyScope | None = None
    claim_ms: int | None = None
    holder: Holder | None = None
    deadline_ms: int | None = None
    resumes: bool = False
    ready_ms: int | None = None
    put_off_ms: int = 0
    attempts: int = 0
    replies: int = 0
    age_ms: int | None = None

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has passed, and no verdict has ended that turn."""
        return self.resumes and self.deadline_ms is not None and self.deadline_ms <= 0


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
    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Group, Tally]:
        """Count what there is, by env, tenant, team and flow.

        Args:
            looked: Told about progress.
            selection: Count only this; a user's conversations cannot be told apart, and are not
                counted then.
        """

    @abstractmethod
    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """Return the details of some sessions, in their order; None for each that is absent."""

    async def accepted(self) -> int | None:
        """Return how many replies the storage has accepted since it began to count.

        Where it begins anew, the number is lower than before. None where it does not count.
        """
        return None

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
