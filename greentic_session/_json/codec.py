"""JSON encoding and decoding; the one module that translates msgspec's errors."""

import re
from typing import Any, TypeVar

import msgspec

from greentic_session.errors import InvalidInputError
from greentic_session.ids import plain

from .faults import find_fault

__all__ = ["ENCODER", "SNAPSHOT_ENCODER", "as_bytes", "decode", "encode", "encode_alike", "write_plain"]

T = TypeVar("T")


def write_plain(value: Any) -> Any:
    """Return what msgspec can write of a value that it does not know.

    Raises:
        TypeError: Nothing can be written of it.
    """
    # msgspec writes exact strings and integers only; a subclass (numpy.str_, markupsafe.Markup) is
    # written as what it holds.
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, int):
        return int.__int__(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


# "deterministic" sorts the keys of maps and leaves the fields of structs in their order, as the
# reference does.
ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=write_plain)
# A snapshot is the user's own: its maps keep their order, and may have keys that are not strings.
SNAPSHOT_ENCODER = msgspec.json.Encoder(enc_hook=write_plain)
_PLAIN = msgspec.json.Decoder()


def encode(encoder: msgspec.json.Encoder, value: Any, what: str, path: str = "$") -> bytes:
    """Return `value` as JSON; `what` names it in messages, and `path` in the paths of its fields.

    Raises:
        InvalidInputError: It holds a lone surrogate, a reference to itself, or something that JSON
            cannot carry.
        TypeError: It holds an object of a type that msgspec does not write; the message tells which
            field.
    """
    try:
        text = encoder.encode(value)
        if encoder is SNAPSHOT_ENCODER:
            text.decode()  # a msgspec.Raw in it is written unseen
    except UnicodeError as error:
        raise InvalidInputError(f"{what} must be valid Unicode: it holds a lone surrogate") from error
    except RecursionError as error:
        raise InvalidInputError(f"{what} is nested too deeply, or holds itself") from error
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{what} cannot be written as JSON") from error
    except TypeError as error:
        fault = find_fault(value, encoder, path, is_type=True)
        raise TypeError(f"{what} cannot be written as JSON: {fault or error}") from error
    return text


def encode_alike(encoder: msgspec.json.Encoder, value: Any, what: str, path: str = "$") -> bytes:
    """Return `value` as JSON from which the same value can be read.

    msgspec writes NaN and the infinities as null, and two keys of a map that look alike (1 and "1")
    as the same key twice, so that one of them is lost.

    Args:
        encoder: Writes it.
        value: What is written.
        what: Its name in messages.
        path: How messages call the value itself in paths.

    Raises:
        InvalidInputError: As `encode`; or it holds such a number or such keys: the message tells
            which field.
        TypeError: As `encode`.
    """
    text = encode(encoder, value, what, path)
    try:
        plain = _PLAIN.decode(text)
        # Both are rare, and tell of themselves: then it is worth a look at each part.
        doubtful = b"null" in text or len(SNAPSHOT_ENCODER.encode(plain)) != len(text)
    except (RecursionError, UnicodeError):
        doubtful = True
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInputError(f"{what} cannot be written as JSON: a msgspec.Raw in it is none") from error
    if doubtful and (fault := find_fault(value, encoder, path, is_type=False)) is not None:
        raise InvalidInputError(f"{what} cannot be written as JSON: {fault}")
    return text


def as_bytes(text: str | bytes, what: str) -> bytes:
    """Return a JSON text as UTF-8; `what` names the expected thing in messages.

    Raises:
        InvalidInputError: It holds a lone surrogate.
        TypeError: It is neither str nor bytes.
    """
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"{what} is read from str or bytes, not {type(text).__name__}")
    try:
        return str.encode(text)
    except UnicodeError as error:
        raise InvalidInputError(f"not a {what}: the text is not valid Unicode") from error


def decode(decoder: msgspec.json.Decoder[T], text: bytes, what: str, *, known: bool = True) -> T:
    """Read `text` with `decoder`; `what` names the expected thing in messages.

    Args:
        decoder: Knows the type.
        text: The JSON text.
        what: What it should be, for the message.
        known: Whether the type is one of ours. Then the message says what is wrong and where (the
            checks of a user's own type may quote what they refuse), and fields that we do not know
            are skipped though they are nested deeper than msgspec follows, if the text has no more
            than some thousand brackets.

    Raises:
        InvalidInputError: It is not that.
    """
    try:
        try:
            return decoder.decode(text)
        except RecursionError:
            if not known:
                raise
            return decoder.decode(_flatten(text))
    except UnicodeError as error:
        raise InvalidInputError(f"not a {what}: the text is not valid Unicode") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"not a {what}{f': {error}' if known else _told_of(error)}") from error


def _told_of(error: Exception) -> str:
    """Return why a text is not of a user's own type: the fault of the JSON, or its path.

    The rest of the message may quote what it refuses.
    """
    if isinstance(error, RecursionError):
        return ": it is nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return f": {error}"
    found = _PATH.search(str(error))
    return "" if found is None else f", by what it has at {found[1]}"


_PATH = re.compile(r" - at `(\$[^`]*)`$")

# Possessive, and with the closing quote optional: a text of quotes that never close takes linear
# time, too.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]|[^"\[\]{}]+|.', re.DOTALL)
_KEPT_DEPTH = 64
_MAX_TOKENS = 40_960
"""Limit of the brackets, and pieces between them, that are read: some 50 ms of work, and 20,480
brackets in one
another, which is as deep as readers of the reference are known to be tested."""


def _flatten(text: bytes) -> bytes:
    """Replace values nested deeper than any known field by a number: skipping needs no recursion.

    Readers of the reference skip an unknown field at any depth; msgspec gives up at Python's
    recursion limit. What is replaced is checked first, in layers that are no deeper than it bears:
    malformed text stays malformed. The work is bounded, because it is done in the event loop.

    Raises:
        RecursionError: The text has more brackets than are looked at.
    """
    parts: list[bytes] = []
    opened: list[int] = []  # where in `parts` each container begins
    for number, match in enumerate(_TOKEN.finditer(text)):
        if number == _MAX_TOKENS:
            raise RecursionError("it is nested too deeply, and too long for that")
        token = match.group()
        parts.append(token)
        if token in b"[{":
            opened.append(len(parts) - 1)
        elif token in b"]}" and opened:
            start = opened.pop()
            if opened and len(opened) % _KEPT_DEPTH == 0:
                msgspec.json.decode(b"".join(parts[start:]), type=msgspec.Raw)
                parts[start:] = [b"0"]
    return b"".join(parts)
