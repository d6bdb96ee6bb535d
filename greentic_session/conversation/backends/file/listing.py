"""Listing of the directory of a partition; for worker threads."""

import os
import stat
import time
from typing import Final

from greentic_session.conversation.backends.file import file
from greentic_session.conversation.backends.file.disk import check_no_link, open_file
from greentic_session.conversation.backends.file.file import Seen
from greentic_session.conversation.backends.file.handles import Busy
from greentic_session.conversation.backends.file.names import LOG, base_of, conversation_name
from greentic_session.conversation.backends.file.partitions import Partitions
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.moments import as_datetime
from greentic_session.conversation.rules import absent, corrupt, warn_skipped
from greentic_session.errors import CorruptSessionError, GreenticError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = ["bases", "recent"]

_TRIES: Final = 10
_PAUSE: Final = 0.002

_Place = tuple[int, str]


def bases(directory: str) -> list[str]:
    """Return the base paths of all conversations in a directory."""
    return [os.path.join(directory, base) for base in sorted({base for base, _ in _names(directory)[0]})]  # noqa: PTH118


def recent(
    partitions: Partitions, directory: str, partition: Partition, limit: int | None, after: str | None, since: int | None
) -> list[ConversationSummary]:
    """Do what `ConversationBackend.recent` says; `directory` is the partition's."""
    found: dict[str, Seen] = {}
    names, skipped = _names(directory)
    for base, kind in names:
        if kind != LOG:
            continue
        try:
            seen = _seen(partitions, os.path.join(directory, base))  # noqa: PTH118
        except (CorruptSessionError, SchemaVersionError):
            skipped += 1
            continue
        if seen is not None and seen.partition == partition and conversation_name(seen.id) == base:
            found[seen.id] = seen
        elif seen is not None:
            skipped += 1
    warn_skipped("conversations of a partition", skipped)
    ordered = sorted((-seen.state.updated_at, id) for id, seen in found.items())
    if after is not None:
        if since is None:
            if after not in found:
                raise absent(after)
            since = found[after].state.updated_at
        ordered = [place for place in ordered if place > (-since, after)]
    return [_summary(found[id]) for _, id in ordered[:limit]]


def _summary(seen: Seen) -> ConversationSummary:
    state = seen.state
    return ConversationSummary(seen.id, as_datetime(state.created_at), as_datetime(state.updated_at), state.count)


def _names(directory: str) -> tuple[list[tuple[str, str]], int]:
    """Return the base names in a directory, and the number of foreign files."""
    check_no_link(directory)
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except FileNotFoundError:
        return [], 0
    ours = [parts for parts in map(base_of, names) if parts is not None]
    return ours, len(names) - len(ours)


def _seen(partitions: Partitions, base: str) -> Seen | None:
    """Return the summary of a conversation's file; None if it is gone or expired (then erased).

    It is read without a lock, as mostly nobody is writing just there. Only if it does not look
    right it is looked at again with the lock; if that is taken, somebody is writing, and what was
    there before is what is there.
    """
    error: GreenticError | None = None
    for _ in range(_TRIES):
        seen = None
        try:
            seen = _glance(base)
            if seen is None or not (seen.torn or partitions.expired(seen.expiry)):
                return seen
        except (CorruptSessionError, SchemaVersionError) as caught:
            error = caught
        try:
            return partitions.look(base)
        except Busy:
            if seen is not None:
                return None if partitions.expired(seen.expiry) else seen
        time.sleep(_PAUSE)
    assert error is not None
    raise error


def _glance(base: str) -> Seen | None:
    try:
        if not stat.S_ISREG(os.lstat(base + LOG).st_mode):
            raise corrupt("")
        fd = open_file(base + LOG, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return file.check_header(fd, file.examine(fd, os.fstat(fd).st_size, ""), "")
    finally:
        os.close(fd)
