"""A model of the contract for conversations: what a store should hold, kept the simplest way."""

from dataclasses import dataclass
from datetime import datetime

from greentic_session.conversation import Conversation, ConversationSummary, Message

from .samples import OPS

__all__ = ["PARTITIONS", "PLACES", "TTL", "ConversationModel", "Held", "Known", "Seen", "recency"]

# Few names, so that operations meet.
PARTITIONS = [OPS, OPS.with_team(None)]
PLACES = [(0, "a"), (0, "b"), (1, "a")]
TTL = 3
"""Of a store that has one; in units."""


@dataclass
class Known:
    """A conversation as the model sees it.

    Attributes:
        content: What a load would give.
        ends: When it ends.
        edits: How often its messages were changed other than by an append.
    """

    content: Conversation[Message]
    ends: float
    edits: int = 0


@dataclass
class Held:
    """A caller's object, and the state that it was loaded from or saved as, if it was."""

    object: Conversation[Message]
    partition: int
    known: Known | None = None
    seen: datetime | None = None


@dataclass
class Seen:
    """A version of a transcript that a caller has read."""

    place: tuple[int, str]
    version: str
    known: Known
    edits: int
    total: int


def recency(summary: ConversationSummary) -> tuple[float, str]:
    """Return what a list is sorted by."""
    return -summary.updated_at.timestamp(), summary.id


class ConversationModel:
    """A store, as the contract describes it, in which only `now` makes lifetimes shorter."""

    def __init__(self) -> None:
        super().__init__()
        self.now: float = 0.0
        self.sliding = False
        self.ttl: int | None = None
        self.known: dict[tuple[int, str], Known] = {}

    def live(self, place: tuple[int, str]) -> Known | None:
        """Return the conversation at a place, if it has not expired."""
        known = self.known.get(place)
        return known if known is not None and known.ends > self.now else None

    def in_partition(self, partition: int) -> list[ConversationSummary]:
        """Return what a list should tell."""
        there = [known.content.summary() for place in PLACES if place[0] == partition and (known := self.live(place))]
        return sorted(there, key=recency)

    def passed(self, seconds: float) -> None:
        """Let lifetimes get shorter."""
        self.now += seconds

    def ends(self) -> float:
        """Return when a lifetime that begins now ends."""
        return float("inf") if self.ttl is None else self.now + self.ttl

    def used(self, known: Known) -> None:
        """Let a use begin the lifetime anew, if it does."""
        if self.sliding:
            known.ends = self.ends()
