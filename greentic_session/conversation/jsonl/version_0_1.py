"""Reader of a conversation's file of 0.1.0, which kept conversations in files of its own format.

A file is text in lines, to which lines were only added. Every line but the first is a letter, the
CRC-32 of letter and content in hex, and the content:

======  ==========================================================================================
``#``   The first line: layout version, expiry, as_of, CRC-32.
``!``   The second line: partition and id, as JSON.
``+``   Opens a batch, which is what one write added: how many bytes of the batch follow.
``h``   A header: schema version, and the envelope without messages as JSON. The latest counts.
``m``   A message: its position, from 0, and its JSON.
``=``   Closes a batch: count of messages, created_at, updated_at (both in microseconds since the
        Unix epoch), expiry, offset and length of the latest header, and a number of no use here.
======  ==========================================================================================

Expiry is in milliseconds since the Unix epoch, 0 for never. The one in the first line counts if its
as_of is the end of the last batch, else the one in that batch. A batch without its ``=`` was never
acknowledged, and does not count. Any other bytes behind the last ``=`` count as one message that
cannot be read, as every damaged message does. Foreign lines in the middle are left out.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from greentic_session.conversation.envelope import read_envelope
from greentic_session.conversation.moments import MAX_MOMENT
from greentic_session.errors import CorruptSessionError, SchemaVersionError
from greentic_session.tenancy import Partition

from .archived import Archived, UnreadableFileError, checked_identity

__all__ = ["MAGIC", "read_log"]

MAGIC: Final = b"#greentic-conversation "
"""Beginning of every such file."""

_FIRST_LINE: Final = re.compile(rb"(#greentic-conversation 1 ([0-9]{16}) ([0-9]{16}) )([0-9a-f]{8})\n")
_NEWER: Final = re.compile(rb"#greentic-conversation ([2-9]|[1-9][0-9]{1,8}) ")
_OPENING_BYTES: Final = len(b"+ 01234567 0123456789012345\n")


class _Identity(Struct, rename={"partition": "room"}):  # the name in files
    partition: Partition
    id: str


class _Closing(NamedTuple):
    """The line that closes a batch. `end` is the offset of its end, in bytes."""

    end: int
    message_count: int
    created_at: int
    updated_at: int
    expiry: int
    header_start: int
    header_length: int


def read_log(text: bytes) -> Archived:
    """Return the conversation in a file of 0.1.0.

    Raises:
        UnreadableFileError: The text is none, or its header is damaged.
    """
    first = _FIRST_LINE.match(text)
    if first is None or int(first[4], 16) != crc32(first[1]):
        raise UnreadableFileError(
            "a newer version of greentic_session wrote it" if _NEWER.match(text) else "its first line is damaged"
        )
    partition, id = _read_identity(text[first.end() : text.find(b"\n", first.end())])
    closing = next(_closings(text), None)
    if closing is None:
        raise UnreadableFileError("no part of it is whole")
    expiry = int(first[2]) if int(first[3]) == closing.end else closing.expiry
    messages = _read_messages(text[: closing.end], closing.message_count)
    rest = text[closing.end :]
    if rest and not _is_unfinished(rest):
        messages.append(b"")
    try:
        header, _ = read_envelope(_read_header(text, closing), id)
    except CorruptSessionError as error:
        raise UnreadableFileError("its header is damaged") from error
    except SchemaVersionError as error:
        raise UnreadableFileError("a newer version of greentic_session wrote it") from error
    return Archived(
        partition=partition,
        id=id,
        header=replace(header, created_at=closing.created_at, updated_at=closing.updated_at),
        messages=messages,
        expires_at_ms=expiry or None,
    )


def _content(kind: bytes, line: bytes) -> bytes | None:
    """Return the content of a line without newline; None if it is damaged or of another kind."""
    content = line[11:]
    return content if line[:11] == b"%b %08x " % (kind, crc32(kind + content)) else None


def _read_identity(line: bytes) -> tuple[Partition, str]:
    content = _content(b"!", line)
    try:
        identity = msgspec.json.decode(content or b"", type=_Identity)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnreadableFileError("its second line is damaged") from error
    return checked_identity(*identity.partition, identity.id)


def _closings(text: bytes) -> Iterator[_Closing]:
    """Yield the closing lines that are intact, the last one first."""
    start = len(text)
    while (start := text.rfind(b"\n= ", 0, start)) >= 0:
        stop = text.find(b"\n", start + 1)
        content = None if stop < 0 else _content(b"=", text[start + 1 : stop])
        numbers = (content or b"").split(b" ")
        if len(numbers) == 7 and all(map(_is_number, numbers)):
            closing = _Closing(stop + 1, *map(int, numbers[:6]))
            inside = closing.header_start + closing.header_length <= closing.end
            if inside and closing.message_count <= closing.end and max(closing.created_at, closing.updated_at) <= MAX_MOMENT:
                yield closing


def _read_header(text: bytes, closing: _Closing) -> bytes:
    """Return the latest header, which foreign lines before it have moved to a later place."""
    start = closing.header_start
    content = _content(b"h", text[start : start + closing.header_length - 1])
    if content is None:
        start = text.rfind(b"\nh ", start, closing.end) + 1
        content = _content(b"h", text[start : text.find(b"\n", start)]) if start else None
    version, _, envelope = (content or b"").partition(b" ")
    if not _is_number(version):
        raise UnreadableFileError("its header is damaged")
    return envelope


def _read_messages(text: bytes, count: int) -> list[bytes]:
    """Return the messages, by their positions; a damaged or missing one is empty."""
    messages = [b""] * count
    for line in text.split(b"\n"):
        if line.startswith(b"m "):
            position, _, message = (_content(b"m", line) or b"").partition(b" ")
            if _is_number(position) and int(position) < count:
                messages[int(position)] = message
    return messages


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < 20


def _is_unfinished(rest: bytes) -> bool:
    """Return whether bytes at the end are the start of a batch, not something else."""
    if rest.endswith(b"\0"):  # some file systems extend a file before they fill it
        return True
    if len(rest) < _OPENING_BYTES:
        return rest.startswith(b"+ "[: len(rest)])
    size = _content(b"+", rest[: _OPENING_BYTES - 1])
    return size is not None and _is_number(size) and len(rest) < _OPENING_BYTES + int(size)
