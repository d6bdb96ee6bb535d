"""Reading of texts of other programs.

Strictly where we know the field, and with nothing lost where we do not.
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
"""An object of JSON, of which the fields that were read have been taken out."""

_REQUIRED: Final = object()
"""The default of a field that must be there."""

_DECODER: Final = msgspec.json.Decoder()


def read_object(text: str | bytes, what: str) -> Fields:
    """Return the object that a JSON text is; `what` names the expected thing in messages.

    Raises:
        InvalidInputError: It is none. The message quotes nothing of it.
        TypeError: `text` is neither str nor bytes.
    """
    value: object = codec.decode(_DECODER, codec.as_bytes(text, what), what, known=False)
    if not isinstance(value, dict):
        raise InvalidInputError(f"not a {what}: the text is no object")
    return value


def as_object(value: Any) -> Fields:
    """Return a value that must be an object.

    Raises:
        InvalidInputError: It is none.
    """
    if not isinstance(value, dict):
        raise InvalidInputError("what must be an object is none")
    return value


def take(fields: Fields, name: str, expected: Any, default: Any = _REQUIRED) -> Any:
    """Take a field out of an object, and return its value.

    Raises:
        InvalidInputError: It is missing and has no default, or it is not of the `expected` type.
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
    """Take a number, from 0 (which it is where it is missing) to `most`."""
    count: int = take(fields, name, int, 0)
    check_int(name, count, 0, most)
    return count


def take_moment(fields: Fields, name: str) -> datetime:
    """Take a point in time, in RFC 3339; to the microsecond, in UTC."""
    return as_datetime(as_moment(take(fields, name, datetime), name))


def keep(unknown: Fields, taken: Container[str], program: str) -> Fields:
    """Return unknown fields under names that are free.

    A `taken` name goes below that of the `program`.

    >>> keep({"a": 1, "id": 2}, {"id"}, "neuron")
    {'a': 1, 'neuron': {'id': 2}}
    """
    below = {name: value for name, value in unknown.items() if name in taken or name == program}
    beside = {name: value for name, value in unknown.items() if name not in below}
    return beside | {program: below} if below else beside


def read_messages(values: list[Any], translate: Callable[[Any], Any]) -> list[Message]:
    """Return messages; `translate` gives each as we write it in JSON.

    Raises:
        InvalidInputError: One of them is none; `GreenticError.position` tells which.
    """
    messages: list[Message] = []
    for position, value in enumerate(values):
        try:
            messages.append(message_from_json(translate(value)))
        except (InvalidInputError, TypeError, msgspec.ValidationError) as error:
            raise InvalidInputError(f"the message at position {position} cannot be read", position=position) from error
    return messages
