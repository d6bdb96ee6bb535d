"""The header of a conversation: what is stored beside its messages, and how it changes.

Every backend asks here for the rules.

A header holds plain values only, so that a backend may keep it as it likes: as one text, or field
by field.
"""

from enum import Enum
from typing import Final, TypeAlias, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace

from greentic_session._hiding import Hiding, outline
from greentic_session.conversation.moments import later
from greentic_session.conversation.rules import SCHEMA_VERSION, changed, check_schema, taken
from greentic_session.errors import InvalidInputError

__all__ = [
    "MAX_COUNT",
    "MAX_TURNS",
    "Change",
    "Expected",
    "Header",
    "Lifetime",
    "Revision",
    "Stored",
    "changed_header",
    "replacing",
]

T = TypeVar("T")

MAX_COUNT: Final = 2**53 - 1
"""The largest number that a counter holds.

Up to here a double, as Lua and many readers of JSON count, is exact.
"""

MAX_TURNS: Final = 2**64 - 1
"""The largest `Header.max_turns`.

Nobody counts with it, and in other programs it stands for no limit.
"""


class Revision(Struct, frozen=True):
    """Which state of a conversation: every write makes another.

    Attributes:
        birth: As in `Header`.
        updated_at: As in `Header`.
    """

    birth: str
    updated_at: int


class Stored(Enum):
    """Requirements of `ConversationBackend.put` on the stored conversation, besides a revision."""

    NOTHING = "nothing"
    ANYTHING = "anything"


Expected: TypeAlias = Revision | Stored
"""What must be there for a conversation to be stored.

Exactly this one, nothing, or whatever it is.
"""


class Lifetime(Struct, frozen=True):
    """How long a store keeps a conversation.

    Attributes:
        ttl_ms: The lifetime that begins with the creation, in milliseconds; None for ever.
        sliding: Whether every use begins it anew.
    """

    ttl_ms: int | None = None
    sliding: bool = False

    @property
    def renewal_ms(self) -> int | None:
        """The lifetime that begins when a conversation is used; None.

        What is left of the old one stays as it is.
        """
        return self.ttl_ms if self.sliding else None


class Header(Hiding, Struct, frozen=True, kw_only=True):
    """A conversation without its messages.

    Attributes:
        birth: A random token, another each time that `put` writes the conversation anew; with
            `updated_at` it makes the revision. Empty in what another program wrote.
        created_at: Microseconds since the Unix epoch; stays.
        updated_at: The same; grows with every write.
        schema_version: Of the envelope.
        model: Free text.
        max_turns: From 0 to `MAX_TURNS`.
        system_message: Free text.
        metadata: Text by text; the order does not matter.
        cwd: Free text.
        usage: Counters, by the names of the fields of TokenUsage; those that are None are left out.
        event_count: From 0 to `MAX_COUNT`.
        custom: JSON by name; the order does not matter.
        extra: JSON fields of the conversation that this version does not know, by name. Nothing
            ever changes them but `put`.
        state_extra: The same of its state.
        usage_extra: The same of its token usage.
    """

    birth: str = ""
    created_at: int = 0
    updated_at: int = 0
    schema_version: int = SCHEMA_VERSION
    model: str = ""
    max_turns: int = 0
    system_message: str | None = None
    metadata: dict[str, str] = {}
    cwd: str = ""
    usage: dict[str, int] = {}
    event_count: int = 0
    custom: dict[str, Raw] = {}
    extra: dict[str, Raw] = {}
    state_extra: dict[str, Raw] = {}
    usage_extra: dict[str, Raw] = {}

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)

    @property
    def revision(self) -> Revision:
        """Which state of the conversation this is."""
        return Revision(self.birth, self.updated_at)


class Change(Hiding, Struct, frozen=True, kw_only=True):
    """What `update_state` changes.

    Attributes:
        cwd: The new one; None leaves it.
        usage: What to add to which counter; one that is not there yet counts from 0.
        events: What to add to the event count.
        custom: JSON by name, merged into what is there.
        metadata: Text by text, merged into what is there.
        remove_custom: The names of custom values that go.
        remove_metadata: The names of metadata that go.
    """

    cwd: str | None = None
    usage: dict[str, int] = {}
    events: int = 0
    custom: dict[str, Raw] = {}
    metadata: dict[str, str] = {}
    remove_custom: frozenset[str] = frozenset()
    remove_metadata: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)


def replacing(stored: Header | None, new: Header, expected: Expected, conversation_id: str) -> Header:
    """Return what `put` stores in the place of `stored`: `new`, with times that go on from there.

    Args:
        stored: What is there; None if nothing is, or if it cannot be read and `expected` is
            ANYTHING.
        new: What is to be written.
        expected: What must be there.
        conversation_id: For the error.

    Raises:
        ConflictError: Something else is there than `expected`.
        SchemaVersionError: A newer version wrote what is there, and `expected` is not ANYTHING.
    """
    if expected is not Stored.ANYTHING:
        if stored is not None:
            check_schema(stored.schema_version, conversation_id)
        if expected is Stored.NOTHING:
            if stored is not None:
                raise taken(conversation_id)
        elif stored is None or stored.revision != expected:
            raise changed(conversation_id)
    if stored is None:
        return new
    return replace(new, created_at=stored.created_at, updated_at=later(new.updated_at, stored.updated_at))


def changed_header(stored: Header, change: Change, now: int) -> Header:
    """Return what `update` makes of a header.

    Raises:
        InvalidInputError: A counter would exceed 2**53 - 1.
    """
    usage = dict(stored.usage)
    for name, count in change.usage.items():
        usage[name] = _sum(name, usage.get(name, 0), count)
    return replace(
        stored,
        updated_at=later(now, stored.updated_at),
        cwd=stored.cwd if change.cwd is None else change.cwd,
        usage=usage,
        event_count=_sum("event_count", stored.event_count, change.events),
        custom=_without(stored.custom, change.remove_custom) | change.custom,
        metadata=_without(stored.metadata, change.remove_metadata) | change.metadata,
    )


def _without(fields: dict[str, T], names: frozenset[str]) -> dict[str, T]:
    return {name: value for name, value in fields.items() if name not in names} if names else fields


def _sum(name: str, a: int, b: int) -> int:
    if a + b > MAX_COUNT:
        raise InvalidInputError(f"{name} would exceed 2**53 - 1")
    return a + b
