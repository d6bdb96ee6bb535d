"""The state of an agent session beside its transcript."""

from typing import Any

from msgspec import Struct, field
from msgspec.structs import force_setattr

from greentic_session._hiding import Hiding, outline
from greentic_session._json.fields import check_int
from greentic_session.conversation.envelope import COUNTERS
from greentic_session.conversation.header import MAX_COUNT

__all__ = ["ConversationState", "TokenUsage"]


class TokenUsage(Hiding, Struct, frozen=True):
    """How many tokens were used.

    Attributes:
        input_tokens: From 0 to 2**53 - 1, as all of them.
        output_tokens: The same.
        cache_read_tokens: None where nobody counts them, as for the following.
        cache_creation_tokens: The same.
        reasoning_tokens: The same.
        extra: Fields that we do not know, kept as they came.

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
        """Return the counters that are there, by name.

        >>> TokenUsage(12, 5, reasoning_tokens=3).counts()
        {'input_tokens': 12, 'output_tokens': 5, 'reasoning_tokens': 3}
        """
        return {name: count for name in COUNTERS if (count := getattr(self, name)) is not None}


class ConversationState(Hiding, Struct):
    """The state of an agent session; mutable, and checked when it is saved.

    Attributes:
        cwd: The working directory; free text.
        token_usage: How many tokens were used so far.
        event_count: How many events there were, from 0 to 2**53 - 1.
        custom: Anything that JSON can carry, by name.
        extra: Fields that we do not know, kept as they came.

    >>> ConversationState("/srv/acme", custom={"mood": "calm"}).token_usage.input_tokens
    0
    """

    cwd: str = ""
    token_usage: TokenUsage = field(default_factory=TokenUsage)
    event_count: int = 0
    custom: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)
