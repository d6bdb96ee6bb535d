"""Import of conversations from a directory: of JSON Lines, or of files of 0.1.0."""

import os
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from greentic_session._json.fields import check_instance
from greentic_session.conversation.backend import Glimpse
from greentic_session.conversation.copying import Copied, copy_conversation
from greentic_session.conversation.header import Header, Lifetime
from greentic_session.conversation.store import ConversationStore
from greentic_session.tenancy import Partition

from .archived import Archived, UnreadableFileError
from .folder import Skipped, checked_directory, find_files, in_thread, read_file

__all__ = ["ImportReport", "import_conversations"]


class ImportReport(Struct, kw_only=True):
    """Report of an import.

    Attributes:
        imported: How many conversations were written to the store.
        unchanged: How many were there already, and alike.
        kept: How many the store has changed later than the file; they were left alone.
        expired: How many have expired.
        unreadable_messages: How many messages of those written cannot be read, and keep their
            positions.
        skipped: Files and directories that were left out.
    """

    imported: int = 0
    unchanged: int = 0
    kept: int = 0
    expired: int = 0
    unreadable_messages: int = 0
    skipped: list[Skipped] = field(default_factory=list)


async def import_conversations(
    directory: str | os.PathLike[str],
    store: ConversationStore[Any],
    *,
    on_progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Write conversations to a store: those of an export, or those that 0.1.0 kept in files.

    They keep their times and lifetimes. Where the store has a conversation of the same id, the
    later change wins. The store may be in use meanwhile, and an import that was interrupted may be
    repeated. Nothing in the directory is changed.

    Args:
        directory: The directory; it must not be a link, another user's, or writable by others.
            Files in it and in its directories are read. In 0.1.0 each namespace had a directory of
            its own, whose name begins with that of the namespace: import that one.
        store: The store; its `ttl` and `max_message_bytes` do not apply. An encrypted one encrypts
            what it is given: what 0.1.0 has stored encrypted goes into the store that it wraps.
        on_progress: Told of how many files were read, and of how many there are.

    Returns:
        What was done, and what was left out.

    Raises:
        GreenticError: The store failed; what was imported until then is.
        InvalidInputError: The directory is missing, or other users can change it.
        TypeError: An argument has a wrong type.
        UnavailableError: The store cannot be reached, or the directory cannot be read.
    """
    check_instance("store", store, ConversationStore)
    top = checked_directory(directory)
    store.backend.check_open()
    files, skipped = await in_thread(find_files, top)
    report = ImportReport(skipped=skipped)
    for number, path in enumerate(files, 1):
        try:
            archived = await in_thread(read_file, path)
        except UnreadableFileError as error:
            skipped.append(Skipped(str(path.relative_to(top)), str(error)))
        else:
            await _import(archived, store, report)
        if on_progress is not None:
            on_progress(number, len(files))
    return report


async def _import(archived: Archived, store: ConversationStore[Any], report: ImportReport) -> None:
    source = _File(archived)
    if source.has_expired():
        report.expired += 1
        return
    match await copy_conversation(source, store.backend, archived.partition, archived.id):
        case Copied.WRITTEN:
            report.imported += 1
            report.unreadable_messages += archived.messages.count(b"")
        case Copied.UNCHANGED:
            report.unchanged += 1
        case Copied.KEPT:
            report.kept += 1
        case _:  # it expired just now
            report.expired += 1


class _File:
    """A conversation in a file, as a source of a copy."""

    def __init__(self, archived: Archived) -> None:
        self._archived = archived
        expiry = archived.expires_at_ms
        left = None if expiry is None else expiry - round(time.time() * 1000)
        self._glimpse = Glimpse(archived.header.revision, left, time.monotonic())

    def has_expired(self) -> bool:
        left = self._glimpse.left_ms()
        return left is not None and left <= 0

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:  # noqa: ARG002  # there is one
        return self._glimpse

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:  # noqa: ARG002
        return self._archived.header, self._archived.messages
