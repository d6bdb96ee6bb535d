"""`Messages`, what a store's `messages` returns: a list with the version of what was read."""

from typing import TypeVar

from greentic_session.conversation.header import MAX_COUNT, Reading
from greentic_session.errors import InvalidInputError

__all__ = ["Messages", "reading_of", "version_of"]

M = TypeVar("M")


class Messages(list[M]):
    """Messages of a conversation, oldest first.

    Attributes:
        version: The state of the transcript that was read, any text, for
            `ConversationStore.compact`; empty if messages were left out as corrupt, for then their
            number does not tell positions. It stays valid while messages are only appended.
        first: The position of the first message in the conversation, from 0.
        total: The number of messages of the conversation.

    >>> found = Messages(["b", "c"], version="3.x", first=1, total=3)
    >>> found == ["b", "c"], found.first + len(found)
    (True, 3)
    """

    version: str
    first: int
    total: int

    def __init__(self, messages: "list[M]", *, version: str, first: int, total: int) -> None:
        super().__init__(messages)
        self.version = version
        self.first = first
        self.total = total

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:  # for copy and pickle
        return _again, (list(self), self.version, self.first, self.total)


def _again(messages: "list[M]", version: str, first: int, total: int) -> Messages[M]:
    return Messages(messages, version=version, first=first, total=total)


def version_of(reading: Reading) -> str:
    """Return what was read as a text.

    >>> version_of(Reading("x", 3))
    '3.x'
    """
    return f"{reading.total}.{reading.birth}"


def reading_of(version: object) -> Reading:
    """Return what was read, from the text of `version_of`.

    Raises:
        InvalidInputError: The text is no version.
        TypeError: It is no text.
    """
    if not isinstance(version, str):
        raise TypeError(f"version must be a str, not {type(version).__name__}")
    if not version:
        raise InvalidInputError("version is empty: messages were left out as corrupt; save the conversation first")
    digits, dot, birth = str.__str__(version).partition(".")
    total = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 16 else -1
    if not dot or not 0 <= total <= MAX_COUNT or not birth.isascii():
        raise InvalidInputError("version must be what `messages` gave")
    return Reading(birth, total)
