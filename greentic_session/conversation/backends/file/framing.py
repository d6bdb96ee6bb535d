"""Encoding of the lines of a conversation's file, which the package's docstring describes.

No I/O.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from greentic_session.conversation.moments import MAX_MOMENT
from greentic_session.tenancy import Partition

__all__ = [
    "HEADER_MARK_LENGTH",
    "LAYOUT_VERSION",
    "MESSAGE",
    "OPENING_LENGTH",
    "PREAMBLE_LENGTH",
    "State",
    "batch",
    "collect_messages",
    "header_line",
    "identity_line",
    "is_torn",
    "last_header",
    "last_state",
    "message_line",
    "preamble",
    "read_header_line",
    "read_identity",
    "read_preamble",
    "states",
]

LAYOUT_VERSION: Final = 1
"""The version of the file layout, in the first line of a file."""

MESSAGE: Final = b"m"
"""The letter of a line that holds a message."""
_IDENTITY: Final = b"!"
_OPENING: Final = b"+"
_HEADER: Final = b"h"
_CLOSING: Final = b"="

_SEEDS: Final = {kind: crc32(kind) for kind in (MESSAGE, _IDENTITY, _OPENING, _HEADER, _CLOSING)}
_CHECKSUM: Final = slice(2, 10)
_PAYLOAD: Final = slice(11, None)

_MAGIC: Final = b"#greentic-conversation "
PREAMBLE_LENGTH: Final = len(_MAGIC) + len("1 ") + 2 * 17 + 9
"""Length of the first line, in bytes."""
OPENING_LENGTH: Final = 11 + 16 + 1
"""Length of the line that opens a batch, in bytes."""
HEADER_MARK_LENGTH: Final = len(b"\nh ")
"""Length of the mark by which `last_header` finds the line of a header, in bytes."""


class State(Struct, frozen=True, kw_only=True):
    """State of a file up to the end of a batch, as the line that closes the batch has it.

    Attributes:
        end: Offset of the end of the line, in bytes.
        count: How many messages there are.
        created_at: Microseconds since the Unix epoch.
        updated_at: Microseconds since the Unix epoch.
        expiry: When the conversation expires, in milliseconds since the Unix epoch; 0 for never.
            The preamble may have a later one.
        header_start: Offset of the line of the latest header, in bytes.
        header_length: Length of that line with its newline, in bytes.
        waste: How many bytes older headers take.
    """

    end: int
    count: int
    created_at: int
    updated_at: int
    expiry: int
    header_start: int
    header_length: int
    waste: int = 0


def _line(kind: bytes, payload: bytes) -> bytes:
    return b"%b %08x %b\n" % (kind, crc32(payload, _SEEDS[kind]), payload)


def _payload(kind: bytes, line: bytes) -> bytes | None:
    """Return the payload of a line (without newline); None if it is damaged or of another kind."""
    payload = line[_PAYLOAD]
    return payload if line[:11] == b"%b %08x " % (kind, crc32(payload, _SEEDS[kind])) else None


# -- the first two lines of a file


def preamble(expiry: int, as_of: int) -> bytes:
    """Return the first line: when a conversation expires, valid while the file ends at `as_of`."""
    text = b"%b%d %016d %016d " % (_MAGIC, LAYOUT_VERSION, expiry, as_of)
    return text + b"%08x\n" % crc32(text)


def read_preamble(front: bytes) -> tuple[int, int, int] | None:
    """Return layout version, expiry and as_of of a file; None if it is foreign or damaged.

    For a newer layout version the other two are 0.
    """
    if not front.startswith(_MAGIC):
        return None
    version = front[len(_MAGIC) :].split(b" ", 1)[0]
    if version != b"%d" % LAYOUT_VERSION:
        return (int(version), 0, 0) if len(version) < 10 and version.isdigit() and int(version) > LAYOUT_VERSION else None
    text, checksum = front[: PREAMBLE_LENGTH - 9], front[PREAMBLE_LENGTH - 9 : PREAMBLE_LENGTH]
    if checksum != b"%08x\n" % crc32(text):
        return None
    _, _, expiry, as_of, _ = text.split(b" ")
    return LAYOUT_VERSION, int(expiry), int(as_of)


def identity_line(partition: Partition, id: str) -> bytes:
    """Return the second line: partition and id of the conversation."""
    return _line(_IDENTITY, msgspec.json.encode({"room": partition, "id": id}))


class _Identity(Struct, rename={"partition": "room"}):  # the name in files
    partition: Partition
    id: str


_IDENTITY_DECODER: Final = msgspec.json.Decoder(_Identity)


def read_identity(line: bytes) -> tuple[Partition, str] | None:
    """Return partition and id of an `identity_line` without newline; None if it is not intact."""
    payload = _payload(_IDENTITY, line)
    if payload is None:
        return None
    try:
        identity = _IDENTITY_DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return identity.partition, identity.id


# -- batches


def header_line(text: bytes, schema_version: int) -> bytes:
    """Return the line of a header: its schema version and its envelope as JSON."""
    return _line(_HEADER, b"%d %b" % (schema_version, text))


def read_header_line(line: bytes) -> tuple[int, bytes] | None:
    """Return schema version and text of a header line with newline; None if it is not intact."""
    payload = _payload(_HEADER, line[:-1]) if line.endswith(b"\n") else None
    if payload is None:
        return None
    version, _, text = payload.partition(b" ")
    return (int(version), text) if version.isdigit() else None


def last_header(part: bytes) -> int | None:
    """Return the offset of the last header line in a part of a file; None if no line is one."""
    found = part.rfind(b"\n" + _HEADER + b" ")
    return None if found < 0 else found + 1


def message_line(position: int, text: bytes) -> bytes:
    """Return the line of a message: its position, from 0, and its JSON."""
    return _line(MESSAGE, b"%d %b" % (position, text))


def batch(before: State, lines: Sequence[bytes], header: bytes | None = None) -> tuple[list[bytes], State]:
    """Return the pieces that one write adds to a file, and the new state.

    Args:
        before: The new count, times and expiry, with the `end`, header and waste of before.
        lines: The lines of new messages.
        header: The line of a new header.
    """
    start, length, waste = before.header_start, before.header_length, before.waste
    if header is not None:
        waste += length
        start, length = before.end + OPENING_LENGTH, len(header)
        lines = [header, *lines]
    fields = (before.count, before.created_at, before.updated_at, before.expiry, start, length, waste)
    closing = _line(_CLOSING, b"%d %d %d %d %d %d %d" % fields)
    size = sum(map(len, lines)) + len(closing)
    opening = _line(_OPENING, b"%016d" % size)
    return [opening, *lines, closing], _state(before.end + len(opening) + size, *fields)


def _state(end: int, *fields: int) -> State:
    count, created_at, updated_at, expiry, header_start, header_length, waste = fields
    return State(
        end=end,
        count=count,
        created_at=created_at,
        updated_at=updated_at,
        expiry=expiry,
        header_start=header_start,
        header_length=header_length,
        waste=waste,
    )


def _closing(line: bytes, end: int) -> State | None:
    payload = _payload(_CLOSING, line)
    if payload is None:
        return None
    try:
        state = _state(end, *map(int, payload.split(b" ")))
    except ValueError:  # an intact line, but not of this store
        return None
    inside = min(state.header_start, state.header_length) >= 0 and state.header_start + state.header_length <= end
    moments = 0 <= state.created_at <= MAX_MOMENT and 0 <= state.updated_at <= MAX_MOMENT
    return state if inside and moments and 0 <= state.count <= end and state.expiry >= 0 else None


def last_state(tail: bytes, end: int) -> State | None:
    """Return the state of a file from its last bytes; None if it does not end with an intact batch.

    Args:
        tail: The last bytes of the file, at least the whole last line.
        end: The length of the file, in bytes.
    """
    if not tail.endswith(b"\n"):
        return None
    return _closing(tail[tail.rfind(b"\n", 0, -1) + 1 : -1], end)


def states(part: bytes, start: int) -> Iterable[State]:
    """Yield the states in the whole lines of a part of a file, the last one first.

    Args:
        part: Some bytes of the file.
        start: Offset of these bytes in the file.
    """
    end = len(part)
    while (at := part.rfind(b"\n" + _CLOSING + b" ", 0, end)) >= 0:
        stop = part.find(b"\n", at + 1)
        state = None if stop < 0 else _closing(part[at + 1 : stop], start + stop + 1)
        if state is not None:
            yield state
        end = at


def is_torn(opening: bytes, length: int, last: bytes) -> bool:
    """Return whether the bytes behind the last intact batch are the start of an unfinished one.

    If not, the end of the file is damaged: the bytes are a whole batch that is not intact, or no
    batch at all.

    Args:
        opening: The first ones of these bytes, up to `OPENING_LENGTH`.
        length: The number of these bytes.
        last: The last one of these bytes.
    """
    if last == b"\0":  # some file systems extend a file before they fill it
        return True
    if length < OPENING_LENGTH:
        return opening.startswith((_OPENING + b" ")[:length])
    payload = _payload(_OPENING, opening[:-1])
    return payload is not None and length < OPENING_LENGTH + int(payload)


def collect_messages(part: bytes, first: int, texts: list[bytes]) -> int | None:
    """Collect the messages in a part of a file by position; a damaged one is left out.

    Args:
        part: Some bytes of the file; a line that was cut is left out.
        first: The position of the first one of `texts`.
        texts: The list to fill.

    Returns:
        The lowest position of all messages found, also before `first`; None without messages.
    """
    lowest: int | None = None
    seed = _SEEDS[MESSAGE]
    for line in part.split(b"\n"):
        if line.startswith(b"m "):
            payload = line[_PAYLOAD]
            if line[_CHECKSUM] != b"%08x" % crc32(payload, seed):
                continue
            number, _, text = payload.partition(b" ")
            if not number.isdigit():
                continue
            position = int(number)
            if lowest is None:
                lowest = position
            if 0 <= position - first < len(texts):
                texts[position - first] = text
    return lowest
