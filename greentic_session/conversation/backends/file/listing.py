"""Lists of the conversations in the directory of a partition. They block: for worker threads."""

import os
import stat
import time
from typing import Final

from greentic_session.conversation.backends.file import file
from greentic_session.conversation.backends.file.disk import check_no_link, open_file
from greentic_session.conversation.backends.file.file import FileInfo
from greentic_session.conversation.backends.file.handles import Busy
from greentic_session.conversation.backends.file.partitions import Partitions
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.jsonl.names import LOG, base_of, conversation_name
from greentic_session.conversation.moments import as_datetime
from greentic_session.conversation.rules import absent, corrupt, warn_skipped
from greentic_session.errors import CorruptSessionError, GreenticError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = ["bases", "recent"]

_MAX_ATTEMPTS: Final = 10
_RETRY_PAUSE_S: Final = 0.002

_SortKey = tuple[int, str]


def bases(directory: str) -> list[str]:
    """Return the base paths of all conversations in a directory."""
    return [os.path.join(directory, base) for base in sorted({base for base, _ in _names(directory)[0]})]  # noqa: PTH118


def recent(
    partitions: Partitions, directory: str, partition: Partition, limit: int | None, after: str | None, since: int | None
) -> list[ConversationSummary]:
    """Do what `ConversationBackend.recent` says; `directory` is the partition's."""
    found: dict[str, FileInfo] = {}
    names, skipped = _names(directory)
    for base, kind in names:
        if kind != LOG:
            continue
        try:
            info = _info(partitions, os.path.join(directory, base))  # noqa: PTH118
        except (CorruptSessionError, SchemaVersionError):
            skipped += 1
            continue
        if info is not None and info.partition == partition and conversation_name(info.id) == base:
            found[info.id] = info
        elif info is not None:
            skipped += 1
    warn_skipped("conversations of a partition", skipped)
    ordered = sorted((-info.state.updated_at, id) for id, info in found.items())
    if after is not None:
        if since is None:
            if after not in found:
                raise absent(after)
            since = found[after].state.updated_at
        ordered = [sort_key for sort_key in ordered if sort_key > (-since, after)]
    return [_summary(found[id]) for _, id in ordered[:limit]]


def _summary(info: FileInfo) -> ConversationSummary:
    state = info.state
    return ConversationSummary(info.id, as_datetime(state.created_at), as_datetime(state.updated_at), state.count)


def _names(directory: str) -> tuple[list[tuple[str, str]], int]:
    """Return base name and suffix of the store's files, and the number of all other files."""
    check_no_link(directory)
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except FileNotFoundError:
        return [], 0
    ours = [parts for parts in map(base_of, names) if parts is not None]
    return ours, len(names) - len(ours)


def _info(partitions: Partitions, base: str) -> FileInfo | None:
    """Return the information on a conversation's file; None if it is missing or expired.

    An expired one is erased. The file is read without its lock, because writes are rare. If the end
    of the file is not intact, or the conversation has expired, the file is read again with the
    lock; while another process holds that, the state before the current write counts.
    """
    error: GreenticError | None = None
    for _ in range(_MAX_ATTEMPTS):
        info = None
        try:
            info = _examine_unlocked(base)
            if info is None or not (info.torn or partitions.expired(info.expiry)):
                return info
        except (CorruptSessionError, SchemaVersionError) as caught:
            error = caught
        try:
            return partitions.examine(base)
        except Busy:
            if info is not None:
                return None if partitions.expired(info.expiry) else info
        time.sleep(_RETRY_PAUSE_S)
    assert error is not None
    raise error


def _examine_unlocked(base: str) -> FileInfo | None:
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
