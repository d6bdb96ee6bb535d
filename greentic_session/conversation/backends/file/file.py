"""Reads and writes of the open file of one conversation."""

import logging
import os
from collections.abc import Generator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from greentic_session.conversation.backends.file import framing
from greentic_session.conversation.backends.file.disk import read_at, write_at
from greentic_session.conversation.backends.file.framing import OPENING_LENGTH, PREAMBLE_LENGTH, State
from greentic_session.conversation.envelope import write_envelope
from greentic_session.conversation.header import Header
from greentic_session.conversation.rules import check_schema, corrupt
from greentic_session.errors import CorruptSessionError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = [
    "FileInfo",
    "append",
    "check_header",
    "examine",
    "expiry_of",
    "read_header",
    "read_messages",
    "repair",
    "set_expiry",
    "warn_of_foreign_lines",
    "write_new",
]

_FRONT_BYTES: Final = 4096
"""Usually more than the first two lines, in bytes."""
_MAX_CLOSING_LINE_BYTES: Final = 256
_READ_WINDOW_BYTES: Final = 64 * 1024
"""Bytes per read where the needed length is not known."""
_TYPICAL_MESSAGE_BYTES: Final = 1536

_log: Final = logging.getLogger("greentic_session")


class FileInfo(Struct, frozen=True):
    """Information on a conversation's file, from its first two lines and its end.

    Attributes:
        partition: The partition of the conversation.
        id: The id of the conversation.
        state: The state of the last intact batch.
        expiry: When the conversation expires, in milliseconds since the Unix epoch; 0 for never.
        preamble: The first line, which may hold the expiry.
        torn: How many bytes follow the last intact batch: those of an append that was interrupted
            or is in progress; if `damaged`, of something else.
        damaged: Whether the bytes behind the last intact batch are not an unfinished append, but a
            damaged one, or text of another program. All batches before them can be read.
    """

    partition: Partition
    id: str
    state: State
    expiry: int
    preamble: bytes
    torn: int = 0
    damaged: bool = False


def examine(fd: int, size: int, id: str) -> FileInfo:
    """Read the information on a conversation's file.

    Args:
        fd: The descriptor of the file.
        size: The length of the file, in bytes.
        id: The id for errors; the id in the file is not compared with it.

    Raises:
        CorruptSessionError: The file is damaged, or is no conversation's.
        SchemaVersionError: A newer version wrote the file.
    """
    front = read_at(fd, 0, _FRONT_BYTES)
    _check_preamble(front, id)
    while (end := front.find(b"\n", PREAMBLE_LENGTH)) < 0:
        if len(front) >= size:
            raise corrupt(id)
        front = read_at(fd, 0, 4 * len(front))
    identity = framing.read_identity(front[PREAMBLE_LENGTH:end])
    if identity is None:
        raise corrupt(id)
    tail = front if size <= len(front) else read_at(fd, size - _MAX_CLOSING_LINE_BYTES, _MAX_CLOSING_LINE_BYTES)
    state, damaged = framing.last_state(tail, size), False
    if state is None:
        state, damaged = _state_before(fd, size, id)
    return FileInfo(*identity, state, expiry_of(front, state, id), front[:PREAMBLE_LENGTH], size - state.end, damaged)


def _check_preamble(front: bytes, id: str) -> tuple[int, int, int]:
    found = framing.read_preamble(front)
    if found is None:
        raise corrupt(id)
    if found[0] > framing.LAYOUT_VERSION:
        raise SchemaVersionError(
            f"unsupported file layout version {found[0]} for the id (expected {framing.LAYOUT_VERSION})", conversation_id=id
        )
    return found


def _state_before(fd: int, size: int, id: str) -> tuple[State, bool]:
    """Return the state of the last intact batch, and whether the bytes behind it are damaged."""
    stop = size
    while stop > 0:
        start = max(stop - _READ_WINDOW_BYTES, 0)
        # Two parts overlap by more than a line, so that each line is whole in one of them.
        part = read_at(fd, start, min(stop + _MAX_CLOSING_LINE_BYTES, size) - start)
        for state in framing.states(part, start):
            length = size - state.end
            opening = read_at(fd, state.end, min(length, OPENING_LENGTH))
            return state, not framing.is_torn(opening, length, read_at(fd, size - 1, 1))
        stop = start
    raise corrupt(id)


def expiry_of(front: bytes, state: State, id: str) -> int:
    """Return when a conversation expires, in milliseconds since the Unix epoch; 0 for never.

    Args:
        front: The first bytes of its file, at least the preamble.
        state: The state of the last intact batch.
        id: The id for errors.
    """
    _, expiry, as_of = _check_preamble(front, id)
    return expiry if as_of == state.end else state.expiry


def read_header(fd: int, state: State, id: str) -> bytes:
    """Return the envelope of a conversation as JSON.

    Raises:
        CorruptSessionError: The header is damaged.
        SchemaVersionError: A newer version wrote the header.
    """
    found = framing.read_header_line(read_at(fd, state.header_start, state.header_length))
    if found is None:
        raise corrupt(id)
    version, text = found
    check_schema(version, id)
    return text


def check_header(fd: int, info: FileInfo, id: str) -> FileInfo:
    """Check that the latest header can be read; return `info` with the header's real offset.

    Text of another program in the middle of a file moves all lines behind it. Then the header is
    the last one of the file, behind the offset in the state.

    Raises:
        CorruptSessionError: The header is damaged.
        SchemaVersionError: A newer version wrote the header.
    """
    try:
        read_header(fd, info.state, id)
    except CorruptSessionError:
        start = _last_header(fd, info.state)
        if start is None:
            raise
        info = replace(info, state=replace(info.state, header_start=start))
        read_header(fd, info.state, id)
    return info


def _last_header(fd: int, state: State) -> int | None:
    """Return the offset of the last header; None if it is not behind the offset in the state."""
    stop = state.end
    while stop > state.header_start:
        start = max(stop - _READ_WINDOW_BYTES, state.header_start)
        found = framing.last_header(read_at(fd, start, stop - start))
        if found is not None:
            return start + found
        stop = start + framing.HEADER_MARK_LENGTH - 1 if start > state.header_start else start
    return None


def read_messages(fd: int, state: State, last: int | None) -> list[bytes]:
    """Return the last messages of a file (None: all), and read only the part that holds them.

    For a damaged message the text is empty, which is no JSON.
    """
    wanted = state.count if last is None else min(last, state.count)
    first = state.count - wanted
    texts = [b""] * wanted
    window = state.end if last is None or first == 0 else max(_READ_WINDOW_BYTES // 2, wanted * _TYPICAL_MESSAGE_BYTES)
    lowest: int | None = None
    while wanted and (lowest is None or lowest > first):
        start = max(state.end - window, 0)
        lowest = framing.collect_messages(read_at(fd, start, state.end - start), first, texts)
        if start == 0:
            break
        window *= 4
    return texts


def warn_of_foreign_lines() -> None:
    """Log that `check_header` had to search for the header."""
    _log.warning("a conversation's file has text of another program between its lines, which is left out")


def repair(fd: int, info: FileInfo) -> None:
    """Drop the rest of an interrupted append, which was never acknowledged, and log that."""
    os.ftruncate(fd, info.state.end)
    _log.warning("dropped the torn end of a conversation's file: %d bytes of an append that was cut short", info.torn)


def append(
    fd: int, before: State, lines: Sequence[bytes], header: bytes | None, *, sync: bool
) -> Generator[int, None, State]:
    """Append a batch to a file, as a whole or not at all; return the new state.

    Args:
        fd: The descriptor of the file.
        before: As for `framing.batch`.
        lines: The lines of new messages.
        header: The line of a new header.
        sync: Yield the descriptor, to be synced before the next step.
    """
    pieces, after = framing.batch(before, lines, header)
    try:
        write_at(fd, before.end, pieces)
        if sync:
            yield fd
    except BaseException:
        os.ftruncate(fd, before.end)  # if that fails too, the next operation finds a torn end
        raise
    return after


def set_expiry(fd: int, expiry: int, end: int) -> None:
    """Overwrite the expiry of a conversation.

    It is not synced: after a power cut the lifetime may be shorter.
    """
    write_at(fd, 0, [framing.preamble(expiry, end)])


def write_new(
    fd: int, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expiry: int, *, sync: bool
) -> State:
    """Write a whole conversation to an empty file; return its state."""
    identity = framing.identity_line(partition, id)
    text = framing.header_line(write_envelope(header, (), id), header.schema_version)
    lines = [framing.message_line(position, message) for position, message in enumerate(messages)]
    state = State(
        end=PREAMBLE_LENGTH + len(identity),
        count=len(messages),
        created_at=header.created_at,
        updated_at=header.updated_at,
        expiry=expiry,
        header_start=0,
        header_length=0,
    )
    pieces, state = framing.batch(state, lines, text)
    write_at(fd, 0, [framing.preamble(expiry, state.end), identity, *pieces])
    if sync:
        os.fsync(fd)
    return state
