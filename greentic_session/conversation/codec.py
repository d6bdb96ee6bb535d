"""Encoding of messages as JSON, and decoding, for the message type of a store."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import inspect

from greentic_session._json import codec
from greentic_session._json.fields import check_int
from greentic_session.conversation.message import Message, is_plain_text, read_message, write_message
from greentic_session.conversation.rules import corrupt_message
from greentic_session.errors import InvalidInputError

__all__ = ["DEFAULT_MAX_MESSAGE_BYTES", "Codec"]

M = TypeVar("M")

DEFAULT_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Default limit for the JSON text of a message, in bytes."""

_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError, TypeError)
"""Errors of a text that is no message; InvalidInputError and pydantic's are ValueErrors."""

_PLAIN: Final = (dict, list, str, int, float, bool, type(None))
"""Types that msgspec decodes JSON to by default."""


def is_readable(message_type: Any) -> bool:
    """Return whether msgspec can decode any JSON to this type.

    A decoder of msgspec accepts every class, and fails only with the first text.
    """
    try:
        known = inspect.type_info(message_type)
    except TypeError:
        return False
    return not isinstance(known, inspect.CustomType) or any(issubclass(plain, known.cls) for plain in _PLAIN)


class Dumping(Protocol):
    """What pydantic's `TypeAdapter` has, which may stand for a type of messages."""

    def dump_json(self, instance: Any, /, *, warnings: Any = ...) -> bytes:
        """Return a message as JSON."""
        ...

    def validate_json(self, data: bytes, /) -> Any:
        """Return the message of a JSON text."""
        ...


def is_dumping(message_type: Any) -> bool:
    """Return whether an object is pydantic's `TypeAdapter`, or has its methods."""
    methods = ("dump_json", "validate_json")
    return not isinstance(message_type, type) and all(callable(getattr(message_type, name, None)) for name in methods)


def _writer(adapter: Dumping) -> Callable[[Any], bytes]:
    def write(message: Any) -> bytes:
        try:
            return adapter.dump_json(message, warnings="error")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInputError("a message cannot be written as the store's message type") from error

    return write


class Codec(Generic[M]):
    """Writes and reads messages of one type.

    Args:
        message_type: `Message`, any type that msgspec writes and reads, or a `TypeAdapter` of
            pydantic.
        max_bytes: The longest message to write, in bytes.

    Raises:
        InvalidInputError: `max_bytes` is not positive.
        TypeError: msgspec cannot decode JSON to this type.
    """

    def __init__(self, message_type: Any, max_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        check_int("max_message_bytes", max_bytes, 1, sys.maxsize)
        # Only for a Struct can isinstance decide: a dict may be a valid TypedDict, an int a float.
        self._struct = message_type if isinstance(message_type, type) and issubclass(message_type, msgspec.Struct) else None
        dumping = is_dumping(message_type)
        if not dumping and not is_readable(message_type):
            raise TypeError("message_type must be a type that msgspec reads, or a TypeAdapter of pydantic")
        self._max_bytes = max_bytes
        self._write: Callable[[Any], bytes]
        self._read: Callable[[bytes], M]
        if message_type is Message:
            self._write, self._read = write_message, read_message  # type: ignore[assignment]  # M is Message
        elif dumping:
            adapter: Any = message_type
            self._write, self._read = _writer(adapter), adapter.validate_json
        else:
            self._write = lambda message: codec.encode_alike(codec.SNAPSHOT_ENCODER, message, "message")
            self._read = msgspec.json.Decoder[M](message_type).decode

    def write(self, message: object) -> bytes:
        """Return a message as JSON, on one line.

        A message that would not read back is refused now, not when it is read.

        Raises:
            InvalidInputError: The message would not read back, is too long, or holds a value that
                JSON cannot represent.
            TypeError: The message has another type, or holds an object of a type that msgspec does
                not write.
        """
        if self._struct is not None and not isinstance(message, self._struct):
            raise TypeError(f"a message must be a {self._struct.__name__}, not {type(message).__name__}")
        text = self._write(message)
        try:
            if not (type(message) is Message and is_plain_text(message)):
                self._read(text)
            if b"\n" in text:  # only from a msgspec.Raw
                text = msgspec.json.format(text, indent=-1)
        except _UNREADABLE as error:
            raise InvalidInputError("a message would not read back as the store's message type") from error
        if len(text) > self._max_bytes:
            raise InvalidInputError(f"a message is {len(text)} bytes long, and the limit is {self._max_bytes}")
        return text

    def read(self, texts: Sequence[bytes], conversation_id: str, first: int, *, skip_corrupt: bool) -> list[M]:
        """Return the messages of stored texts, the first of which is at this position.

        Args:
            texts: The texts.
            conversation_id: The conversation that they are of.
            first: The position of the first one.
            skip_corrupt: Leave out what is no message.

        Raises:
            CorruptSessionError: A text is no message; the error has the id of the conversation and
                the position, and quotes nothing.
        """
        try:
            return list(map(self._read, texts))
        except _UNREADABLE:
            pass  # it is looked for
        messages: list[M] = []
        for position, text in enumerate(texts, first):
            try:
                messages.append(self._read(text))
            except _UNREADABLE as error:
                if not skip_corrupt:
                    raise corrupt_message(conversation_id, position) from error
        return messages
