"""Parsing of JSON texts of other programs.

Known fields are checked strictly, and unknown fields are kept.
"""

from collections.abc import Callable, Container
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from greentic_session._json import codec
from greentic_session._json.fields import check_int
from greentic_session.conversation.header import MAX_COUNT
from greentic_session.conversation.message import Message, message_from_json
from greentic_session.conversation.moments import as_datetime, as_moment
from greentic_session.errors import InvalidInputError

__all__ = ["Fields", "as_object", "keep", "read_messages", "read_object", "take", "take_count", "take_moment"]

Fields: TypeAlias = dict[str, Any]
"""A JSON object, from which fields are removed when they are read."""

_REQUIRED: Final = object()
"""The default of a field that must be there."""

_DECODER: Final = msgspec.json.Decoder()


def read_object(text: str | bytes, what: str) -> Fields:
    """Return the object of a JSON text; `what` names the expected object in error messages.

    Raises:
        InvalidInputError: The text is no object. The message quotes nothing of it.
        TypeError: `text` is neither str nor bytes.
    """
    value: object = codec.decode(_DECODER, codec.as_bytes(text, what), what, known=False)
    if not isinstance(value, dict):
        raise InvalidInputError(f"not a {what}: the text is no object")
    return value


def as_object(value: Any) -> Fields:
    """Return a value that must be an object.

    Raises:
        InvalidInputError: The value is no object.
    """
    if not isinstance(value, dict):
        raise InvalidInputError("what must be an object is none")
    return value


def take(fields: Fields, name: str, expected: Any, default: Any = _REQUIRED) -> Any:
    """Remove a field from an object, and return its value.

    Raises:
        InvalidInputError: The field is missing and has no default, or has another type.
    """
    if name not in fields:
        if default is _REQUIRED:
            raise InvalidInputError(f"{name} is missing")
        return default
    try:
        return msgspec.convert(fields.pop(name), expected)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{name} has a wrong type") from error


def take_count(fields: Fields, name: str, most: int = MAX_COUNT) -> int:
    """Remove a field with a number from 0 (the default) to `most`, and return the number."""
    count: int = take(fields, name, int, 0)
    check_int(name, count, 0, most)
    return count


def take_moment(fields: Fields, name: str) -> datetime:
    """Remove a field with a time in RFC 3339; return the time in UTC, to the microsecond."""
    return as_datetime(as_moment(take(fields, name, datetime), name))


def keep(unknown: Fields, taken: Container[str], program: str) -> Fields:
    """Return unknown fields under free names: those with a `taken` name below the `program`'s.

    >>> keep({"a": 1, "id": 2}, {"id"}, "neuron")
    {'a': 1, 'neuron': {'id': 2}}
    """
    below = {name: value for name, value in unknown.items() if name in taken or name == program}
    beside = {name: value for name, value in unknown.items() if name not in below}
    return beside | {program: below} if below else beside


def read_messages(values: list[Any], translate: Callable[[Any], Any]) -> list[Message]:
    """Return messages; `translate` converts each to our JSON.

    Raises:
        InvalidInputError: A message cannot be read; `GreenticError.position` has its position.
    """
    messages: list[Message] = []
    for position, value in enumerate(values):
        try:
            messages.append(message_from_json(translate(value)))
        except (InvalidInputError, TypeError, msgspec.ValidationError) as error:
            raise InvalidInputError(f"the message at position {position} cannot be read", position=position) from error
    return messages
