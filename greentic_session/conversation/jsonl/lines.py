"""Encoding of a conversation as lines, and decoding, by the format in the package's docstring."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from greentic_session.conversation.envelope import read_envelope, write_envelope
from greentic_session.errors import CorruptSessionError, SchemaVersionError

from .archived import Archived, UnreadableFileError, checked_identity

__all__ = ["read_lines", "write_lines"]

_FORMAT: Final = "greentic-session.conversation"
_VERSION: Final = 1
_MAX_EXPIRY_MS: Final = 2**53 - 1

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Version(Struct):
    """Fields of the first line in every version."""

    format: str
    version: int


class _FirstLine(Struct):
    format: str
    version: int
    env: str
    tenant: str
    team: str | None
    message_count: int
    expires_at_ms: int | None
    conversation: Raw


class _Identified(Struct):
    id: str


_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def write_lines(archived: Archived) -> tuple[bytes, int]:
    """Return the text of a file, and how many of its messages cannot be read."""
    fields = _FIELDS.decode(write_envelope(archived.header, (), archived.id))
    del fields["messages"]  # they follow
    env, tenant, team = archived.partition
    lines = [_line(message) for message in archived.messages]
    first = _FirstLine(
        format=_FORMAT,
        version=_VERSION,
        env=env,
        tenant=tenant,
        team=team,
        message_count=len(lines),
        expires_at_ms=archived.expires_at_ms,
        conversation=Raw(msgspec.json.encode(fields)),
    )
    return b"\n".join([msgspec.json.encode(first), *lines, b""]), lines.count(b"")


def read_lines(text: bytes) -> Archived:
    """Return the conversation in the text of a file.

    Raises:
        UnreadableFileError: The text is none, or not whole.
    """
    first, *lines = text.removesuffix(b"\n").split(b"\n")
    try:
        head = msgspec.json.decode(first, type=_Version)
        if head.format != _FORMAT:
            raise UnreadableFileError("it is no conversation")
        if head.version > _VERSION:
            raise UnreadableFileError("a newer version of greentic_session wrote it")
        told = msgspec.json.decode(first, type=_FirstLine)
        stored_id = msgspec.json.decode(told.conversation, type=_Identified).id
    except _UNREADABLE as error:
        raise UnreadableFileError("its first line is not that of a conversation") from error
    partition, id = checked_identity(told.env, told.tenant, told.team, stored_id)
    if told.message_count != len(lines):
        raise UnreadableFileError(f"it has {len(lines)} messages, and its first line says {told.message_count}")
    if told.expires_at_ms is not None and not 0 <= told.expires_at_ms <= _MAX_EXPIRY_MS:
        raise UnreadableFileError("expires_at_ms in it is out of range")
    try:
        header, within = read_envelope(bytes(told.conversation), id)
    except CorruptSessionError as error:
        raise UnreadableFileError("its header cannot be read") from error
    except SchemaVersionError as error:
        raise UnreadableFileError("a newer version of greentic_session wrote it") from error
    if within:
        raise UnreadableFileError("it has messages in its first line")
    messages = list(_without_returns(lines))
    return Archived(partition=partition, id=id, header=header, messages=messages, expires_at_ms=told.expires_at_ms)


def _without_returns(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Yield lines without what an editor of another system adds; empty for what is no JSON."""
    for line in lines:
        yield _line(line.removesuffix(b"\r"))


def _line(text: bytes) -> bytes:
    """Return a JSON text on one line; empty if it is none."""
    try:
        text.decode()
        msgspec.json.decode(text, type=Raw)
        return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text
    except _UNREADABLE:
        return b""
