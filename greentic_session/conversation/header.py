"""Header of a conversation: everything that is stored but its messages; and what changes ask for.

A header holds plain values only, so that a backend may store it as one text or field by field. The
rules for changes are in `transitions`.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias

from msgspec import Raw, Struct

from greentic_session._base.hiding import Hiding, Outlined, outline
from greentic_session.conversation.rules import SCHEMA_VERSION

__all__ = [
    "MAX_COUNT",
    "MAX_TURNS",
    "Change",
    "Edit",
    "Expected",
    "Header",
    "Lifetime",
    "Reading",
    "Revision",
    "Stored",
    "Tail",
]

MAX_COUNT: Final = 2**53 - 1
"""The largest value of a counter: doubles, as in Lua and many JSON parsers, are exact up to it."""

MAX_TURNS: Final = 2**64 - 1
"""The largest `Header.max_turns`; in other programs it means no limit."""


class Revision(Struct, frozen=True):
    """Identity of a state of a conversation: every write makes a new revision.

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
"""The stored conversation that `put` requires: a revision, none, or any."""


class Lifetime(Struct, frozen=True):
    """Lifetime of the conversations of a store.

    Attributes:
        ttl_ms: The lifetime that begins with the creation, in milliseconds; None for ever.
        sliding: Whether every operation renews it.
    """

    ttl_ms: int | None = None
    sliding: bool = False

    @property
    def again_ms(self) -> int | None:
        """The lifetime that begins with every operation, in ms; None keeps the current one."""
        return self.ttl_ms if self.sliding else None


class Header(Outlined, Struct, frozen=True, kw_only=True):
    """A conversation without its messages.

    Attributes:
        birth: A random token, a new one for every `put` and every `Edit` of the conversation: while
            it stays, messages are only appended. With `updated_at` it is the revision. Empty if
            another program wrote the conversation.
        created_at: Microseconds since the Unix epoch; constant.
        updated_at: Microseconds since the Unix epoch; grows with every write.
        schema_version: The version of the envelope.
        model: Free text.
        max_turns: From 0 to `MAX_TURNS`.
        system_message: Free text.
        metadata: Texts by name, in any order.
        cwd: Free text.
        usage: Counters by the names of the fields of TokenUsage, without those that are None.
        event_count: From 0 to `MAX_COUNT`.
        custom: JSON texts by name, in any order.
        extra: Unknown fields of the conversation, JSON by name. Only `put` changes them.
        state_extra: Unknown fields of its state.
        usage_extra: Unknown fields of its token usage.
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

    @property
    def revision(self) -> Revision:
        """The revision of the conversation."""
        return Revision(self.birth, self.updated_at)


class Change(Outlined, Struct, frozen=True, kw_only=True):
    """Changes by one `update_state`.

    Attributes:
        cwd: The new working directory; None keeps the old one.
        usage: Increments of counters, by name; a missing counter is 0.
        events: The increment of the event count.
        custom: Custom values to set, JSON by name.
        metadata: Metadata to set, texts by name.
        remove_custom: Names of custom values to remove.
        remove_metadata: Names of metadata to remove.
    """

    cwd: str | None = None
    usage: dict[str, int] = {}
    events: int = 0
    custom: dict[str, Raw] = {}
    metadata: dict[str, str] = {}
    remove_custom: frozenset[str] = frozenset()
    remove_metadata: frozenset[str] = frozenset()


class Reading(Struct, frozen=True):
    """State of the transcript that a caller has read.

    Attributes:
        birth: As in `Header`.
        total: How many messages the conversation had.
    """

    birth: str
    total: int


class Tail(Hiding, Struct, frozen=True):
    """End of a transcript, as a backend reads it.

    Attributes:
        birth: As in `Header`.
        total: The number of messages of the conversation.
        texts: The last of them, oldest first.
    """

    birth: str
    total: int
    texts: list[bytes]

    def __repr__(self) -> str:
        return outline(self, "texts", total=getattr(self, "total", None))


class Edit(Hiding, Struct, frozen=True, kw_only=True):
    """Replacement of messages at the beginning or at the end of a transcript, in one step.

    Attributes:
        operation: The operation of the store, for telemetry.
        birth: A fresh token: the new `Header.birth`.
        first: The position of the first message that goes, from 0; 0 if `end` is not None.
        end: The position behind the last one that goes, at most `read.total`; None for all from
            `first` on.
        messages: What takes their place, JSON texts.
        read: What the caller has read; None if that does not matter.
    """

    operation: Literal["pop", "clear", "compact"]
    birth: str
    first: int = 0
    end: int | None = None
    messages: Sequence[bytes] = ()
    read: Reading | None = None

    def __repr__(self) -> str:
        shown = {name: getattr(self, name, None) for name in ("operation", "first", "end")}
        return outline(self, "messages", **shown)
