"""The open file of one conversation: reading it, and appending to it."""

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
    "Seen",
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

_FRONT: Final = 4096
"""Enough for the first two lines, unless the partition's name is very long."""
_LONGEST_CLOSING: Final = 256
_WINDOW: Final = 64 * 1024
"""How much is read at once where it is not known how much is needed."""
_USUAL_MESSAGE: Final = 1536

_log: Final = logging.getLogger("greentic_session")


class Seen(Struct, frozen=True):
    """What the ends of a file tell.

    Attributes:
        partition: Whose it is.
        id: The id of the conversation.
        state: The last one.
        expiry: When the conversation ends, in milliseconds since the Unix epoch; 0 for never.
        preamble: The first line, from which that may come.
        torn: How many bytes are behind the state: of an append that was cut short, or that is just
            going on; or of something else, if `damaged`.
        damaged: Whether the bytes behind the state are no append that was cut short: an append
            whose end is damaged, or text of another program. What is before them can be read.
    """

    partition: Partition
    id: str
    state: State
    expiry: int
    preamble: bytes
    torn: int = 0
    damaged: bool = False


def examine(fd: int, size: int, id: str) -> Seen:
    """Look at the ends of a file.

    Args:
        fd: It.
        size: How long it is.
        id: For errors; it is not compared.

    Raises:
        CorruptSessionError: It is no conversation's, or damaged.
        SchemaVersionError: A newer version made it.
    """
    front = read_at(fd, 0, _FRONT)
    _check_preamble(front, id)
    while (end := front.find(b"\n", PREAMBLE_LENGTH)) < 0:
        if len(front) >= size:
            raise corrupt(id)
        front = read_at(fd, 0, 4 * len(front))
    identity = framing.read_identity(front[PREAMBLE_LENGTH:end])
    if identity is None:
        raise corrupt(id)
    tail = front if size <= len(front) else read_at(fd, size - _LONGEST_CLOSING, _LONGEST_CLOSING)
    state, damaged = framing.last_state(tail, size), False
    if state is None:
        state, damaged = _state_before(fd, size, id)
    return Seen(*identity, state, expiry_of(front, state, id), front[:PREAMBLE_LENGTH], size - state.end, damaged)


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
    """Return the last state of a file without one at its end, and whether its end is damaged."""
    stop = size
    while stop > 0:
        start = max(stop - _WINDOW, 0)
        # A line that was cut at the end of this part is whole in it: both overlap by more than a
        # line.
        part = read_at(fd, start, min(stop + _LONGEST_CLOSING, size) - start)
        for state in framing.states(part, start):
            length = size - state.end
            opening = read_at(fd, state.end, min(length, OPENING_LENGTH))
            return state, not framing.is_torn(opening, length, read_at(fd, size - 1, 1))
        stop = start
    raise corrupt(id)


def expiry_of(front: bytes, state: State, id: str) -> int:
    """Return when a conversation ends, in milliseconds since the Unix epoch; 0 for never.

    Args:
        front: The beginning of its file.
        state: The last one in it.
        id: For the error.
    """
    _, expiry, as_of = _check_preamble(front, id)
    return expiry if as_of == state.end else state.expiry


def read_header(fd: int, state: State, id: str) -> bytes:
    """Return the envelope of a conversation as JSON.

    Raises:
        CorruptSessionError: It is damaged.
        SchemaVersionError: A newer version wrote it.
    """
    found = framing.read_header_line(read_at(fd, state.header_start, state.header_length))
    if found is None:
        raise corrupt(id)
    version, text = found
    check_schema(version, id)
    return text


def check_header(fd: int, seen: Seen, id: str) -> Seen:
    """Check that the latest header can be read; return what was seen, with the header's position.

    Text of another program in the middle of a file moves what follows it. Then the header is the
    last one of the file, behind the position that the state tells; nothing else is lost.

    Raises:
        CorruptSessionError: It is damaged.
        SchemaVersionError: A newer version wrote it.
    """
    try:
        read_header(fd, seen.state, id)
    except CorruptSessionError:
        start = _last_header(fd, seen.state)
        if start is None:
            raise
        seen = replace(seen, state=replace(seen.state, header_start=start))
        read_header(fd, seen.state, id)
    return seen


def _last_header(fd: int, state: State) -> int | None:
    """Return where the last header of a file begins; None if that is not behind the old position."""
    stop = state.end
    while stop > state.header_start:
        start = max(stop - _WINDOW, state.header_start)
        found = framing.last_header(read_at(fd, start, stop - start))
        if found is not None:
            return start + found
        stop = start + framing.HEADER_FRONT_LENGTH - 1 if start > state.header_start else start
    return None


def read_messages(fd: int, state: State, last: int | None) -> list[bytes]:
    """Return the last so many messages of a file (None: all), reading only so far as they go back.

    In the place of one that is damaged comes an empty text, which is no JSON.
    """
    wanted = state.count if last is None else min(last, state.count)
    first = state.count - wanted
    texts = [b""] * wanted
    window = state.end if last is None or first == 0 else max(_WINDOW // 2, wanted * _USUAL_MESSAGE)
    lowest: int | None = None
    while wanted and (lowest is None or lowest > first):
        start = max(state.end - window, 0)
        lowest = framing.pick_messages(read_at(fd, start, state.end - start), first, texts)
        if start == 0:
            break
        window *= 4
    return texts


def warn_of_foreign_lines() -> None:
    """Warn in the log of a file for which `check_header` had to search for the header."""
    _log.warning("a conversation's file has text of another program between its lines, which is left out")


def repair(fd: int, seen: Seen) -> None:
    """Drop what an append has left that was cut short, and say so in the log.

    It was never acknowledged.
    """
    os.ftruncate(fd, seen.state.end)
    _log.warning("dropped the torn end of a conversation's file: %d bytes of an append that was cut short", seen.torn)


def append(
    fd: int, before: State, lines: Sequence[bytes], header: bytes | None, *, sync: bool
) -> Generator[int, None, State]:
    """Add a batch to a file, all of it or nothing; return the state that it leaves.

    Args:
        fd: The file.
        before: As for `framing.batch`.
        lines: The lines of new messages.
        header: The line of a new header.
        sync: Yield the file when the disk must have it before this goes on.
    """
    pieces, after = framing.batch(before, lines, header)
    try:
        write_at(fd, before.end, pieces)
        if sync:
            yield fd
    except BaseException:
        os.ftruncate(fd, before.end)  # if that fails too, whoever comes next finds a torn end
        raise
    return after


def set_expiry(fd: int, expiry: int, end: int) -> None:
    """Write when a conversation ends, in place.

    It is not synchronised: a lifetime may be shorter after a power cut.
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
