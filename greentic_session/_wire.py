"""JSON text in and out: the one place where msgspec's errors become ours."""

import re
from typing import Any, TypeVar

import msgspec

from .errors import InvalidInputError

__all__ = ["ENCODER", "decode", "encode"]

T = TypeVar("T")


def _plain(value: Any) -> Any:
    # msgspec writes exact strings only; a subclass (numpy.str_, markupsafe.Markup) is written as the text it holds.
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


# "deterministic" sorts the keys of maps and leaves the fields of structs in their order, as the reference does.
ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=_plain)


def encode(value: Any, what: str) -> bytes:
    """Return `value` as JSON; `what` names it in messages.

    Raises:
        InvalidInputError: It holds a lone surrogate, a reference to itself, or a number that JSON cannot carry.
        TypeError: It holds an object of a type that msgspec does not write.
    """
    try:
        return ENCODER.encode(value)
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"{what} must be valid Unicode: it holds a lone surrogate") from error
    except RecursionError as error:
        raise InvalidInputError(f"{what} is nested too deeply, or holds itself") from error
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{what} cannot be written as JSON") from error


def decode(decoder: msgspec.json.Decoder[T], text: str | bytes, what: str, *, explain: bool = True) -> T:
    """Read `text` with `decoder`; `what` names the expected thing in messages.

    Args:
        decoder: Knows the type.
        text: The JSON text.
        what: What it should be, for the message.
        explain: Whether the message may say what is wrong and where. Not for types of the user's own: their checks may
            quote what they refuse.

    Raises:
        InvalidInputError: It is not that.
        TypeError: `text` is neither str nor bytes.
    """
    if not isinstance(text, str | bytes):
        raise TypeError(f"{what} is read from str or bytes, not {type(text).__name__}")
    try:
        try:
            return decoder.decode(text)
        except RecursionError:
            return decoder.decode(_flatten(text.encode() if isinstance(text, str) else text))
    except UnicodeError as error:
        raise InvalidInputError(f"not a {what}: the text is not valid Unicode") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"not a {what}: {error}" if explain else f"not a {what}") from error


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]|[^"\[\]{}]+|.', re.DOTALL)
_KEPT_DEPTH = 64


def _flatten(text: bytes) -> bytes:
    """Replace what is nested deeper than any field we read by a number, so that no recursion is needed to skip it.

    Readers of the reference skip an unknown field at any depth; msgspec gives up at Python's recursion limit. Each
    container is still checked, on its own, with those inside it replaced: malformed text stays malformed.
    """
    open_containers: list[list[bytes]] = [[]]
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in b"[{":
            open_containers.append([token])
        elif token in b"]}" and len(open_containers) > 1:
            whole = b"".join([*open_containers.pop(), token])
            if len(open_containers) > _KEPT_DEPTH:
                msgspec.json.decode(whole)
                whole = b"0"
            open_containers[-1].append(whole)
        else:
            open_containers[-1].append(token)
    return b"".join(b"".join(parts) for parts in open_containers)
