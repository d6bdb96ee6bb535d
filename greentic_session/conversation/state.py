"""State of an agent session: everything but its messages."""

from typing import Any

from msgspec import Struct, field
from msgspec.structs import force_setattr

from greentic_session._base.hiding import Hiding, Outlined, outline
from greentic_session._json.fields import check_int
from greentic_session.conversation.envelope import COUNTERS
from greentic_session.conversation.header import MAX_COUNT

__all__ = ["ConversationState", "TokenUsage"]


class TokenUsage(Hiding, Struct, frozen=True):
    """Numbers of used tokens.

    Attributes:
        input_tokens: From 0 to 2**53 - 1, as all counts here.
        output_tokens: A count.
        cache_read_tokens: A count; None if unknown.
        cache_creation_tokens: A count; None if unknown.
        reasoning_tokens: A count; None if unknown.
        extra: Unknown fields, unchanged.

    Raises:
        InvalidInputError: A number is out of range.
        TypeError: A field has a wrong type.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, name in enumerate(COUNTERS):
            count: object = getattr(self, name)
            if count is not None or number < 2:
                check_int(name, count, 0, MAX_COUNT)
            if type(count) is not int and count is not None:
                force_setattr(self, name, int.__int__(getattr(self, name)))

    def __repr__(self) -> str:
        return outline(self, "extra", **{name: getattr(self, name, None) for name in COUNTERS})

    def counts(self) -> dict[str, int]:
        """Return the counts that are known, by name.

        >>> TokenUsage(12, 5, reasoning_tokens=3).counts()
        {'input_tokens': 12, 'output_tokens': 5, 'reasoning_tokens': 3}
        """
        return {name: count for name in COUNTERS if (count := getattr(self, name)) is not None}


class ConversationState(Outlined, Struct):
    """State of an agent session; mutable, and checked when it is saved.

    Attributes:
        cwd: The working directory; free text.
        token_usage: Numbers of tokens used so far.
        event_count: The number of events, from 0 to 2**53 - 1.
        custom: JSON values by name.
        extra: Unknown fields, unchanged.

    >>> ConversationState("/srv/acme", custom={"mood": "calm"}).token_usage.input_tokens
    0
    """

    cwd: str = ""
    token_usage: TokenUsage = field(default_factory=TokenUsage)
    event_count: int = 0
    custom: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
