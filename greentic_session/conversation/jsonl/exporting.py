"""Export of the conversations of a store to a directory of JSON Lines."""

import os
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from greentic_session._json.fields import check_instance
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.header import Lifetime
from greentic_session.conversation.rules import partition_of
from greentic_session.conversation.store import ConversationStore
from greentic_session.errors import CorruptSessionError, NotFoundError, SchemaVersionError
from greentic_session.models import TenantCtx
from greentic_session.tenancy import Partition

from .archived import Archived
from .folder import SUFFIX, Skipped, checked_directory, in_thread, prepare, write_file
from .lines import write_lines
from .names import conversation_name, partition_name

__all__ = ["ExportReport", "export_conversations"]


class ExportReport(Struct, kw_only=True):
    """Report of an export.

    Attributes:
        exported: How many conversations were written.
        unreadable_messages: How many messages of these cannot be read; their lines are empty.
        skipped: Conversations whose header cannot be read, or which a newer version wrote.
    """

    exported: int = 0
    unreadable_messages: int = 0
    skipped: list[Skipped] = field(default_factory=list)


async def export_conversations(
    store: ConversationStore[Any],
    directory: str | os.PathLike[str],
    *,
    ctx: TenantCtx | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> ExportReport:
    """Write the conversations of a store to readable files, one for each, as JSON Lines.

    The store may be in use meanwhile. Each file is of one moment; an older file of the same
    conversation is replaced, and files of conversations that are gone stay: for a copy of one day
    take an empty directory. An export that was interrupted may be repeated. The conversations of an
    encrypted store are written in plain text.

    Args:
        store: The store; it is only read.
        directory: Where the files are written to. It is made if missing, and must not be a link,
            another user's, or writable by others. Files can be read by their owner only.
        ctx: Export only the conversations of its env and tenant, and of its team if it has one; the
            user does not matter. None for all of the store.
        on_progress: Told of how many more conversations were looked at.

    Returns:
        What was done.

    Raises:
        GreenticError: The store failed.
        InvalidInputError: Other users can change the directory; or the store cannot name all its
            conversations.
        TypeError: An argument has a wrong type.
        UnavailableError: The store cannot be reached, or the files cannot be written.

    >>> import asyncio, pathlib, tempfile
    >>> from greentic_session.conversation import InMemoryConversationStore, Message
    >>> async def export(directory):
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with InMemoryConversationStore() as conversations:
    ...         await conversations.create(ctx, id="order-7")
    ...         await conversations.append(ctx, "order-7", Message.user("hello"))
    ...         return (await export_conversations(conversations, directory)).exported
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     count = asyncio.run(export(directory))
    ...     (file,) = pathlib.Path(directory).glob("*/*.jsonl")
    ...     print(count, file.read_text().splitlines()[1])
    1 {"role":"user","content":[{"type":"text","text":"hello"}]}
    """
    check_instance("store", store, ConversationStore)
    top = checked_directory(directory)
    env, tenant, team = (None, None, None) if ctx is None else partition_of(ctx)
    backend, report = store.backend, ExportReport()
    backend.check_open()
    await in_thread(prepare, top)
    seen: set[tuple[Partition, str]] = set()
    prepared: set[Path] = set()
    async with aclosing(backend.walk()) as steps:
        async for names in steps:
            for partition, id in names:
                chosen = partition[0] == env and partition[1] == tenant and team in (None, partition[2])
                if (partition, id) in seen or not (ctx is None or chosen):
                    continue
                seen.add((partition, id))
                path = top / partition_name(partition) / f"{conversation_name(id)}{SUFFIX}"
                if path.parent not in prepared:
                    await in_thread(prepare, path.parent)
                    prepared.add(path.parent)
                await _export(backend, partition, id, path, report)
                if on_progress is not None:
                    on_progress(1)
    return report


async def _export(backend: ConversationBackend, partition: Partition, id: str, path: Path, report: ExportReport) -> None:
    try:
        glimpse = await backend.peek(partition, id)
        if glimpse is None:
            return
        header, messages = await backend.load(partition, id, Lifetime())
    except NotFoundError:
        return
    except (CorruptSessionError, SchemaVersionError) as error:
        newer = isinstance(error, SchemaVersionError)
        reason = "a newer version of greentic_session wrote it" if newer else "its header cannot be read"
        report.skipped.append(Skipped(f"{path.parent.name}/{path.name}", reason))
        return
    left = glimpse.left_ms()
    expires_at_ms = None if left is None else round(time.time() * 1000) + left
    archived = Archived(partition=partition, id=id, header=header, messages=messages, expires_at_ms=expires_at_ms)
    report.unreadable_messages += await in_thread(_write, path, archived)
    report.exported += 1


def _write(path: Path, archived: Archived) -> int:
    """Write a conversation; return how many of its messages cannot be read."""
    text, unreadable = write_lines(archived)
    write_file(path, text)
    return unreadable
