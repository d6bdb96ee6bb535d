"""Conversation store in files: durable, without a server, for one machine.

On disk (layout version 1), below the store's directory; directories have the mode 0700, files
0600::

    <partition>/                  a directory for each env, tenant and team
        <id>.log             the file of a conversation
        <id>.lock            empty; locked during each operation on the conversation
        <id>.tmp             a new file that is being written, or of a process that was killed

``<partition>`` and ``<id>`` are a readable part of the text and its SHA-256 (see `names`):
``dev_acme_ops-9f86...``. With a namespace all of them are one directory deeper.

A ``.log`` is text in lines, to which lines are only added; to replace its content, another file
gets its name. Every line but the first is a letter, the CRC-32 of letter and content in hex, and
the content:

======  ==========================================================================================
``#``   The first line: layout version, expiry, as_of, CRC-32. The only line that is ever
        overwritten, in the same length: when an operation renews the conversation's lifetime.
``!``   The second line: partition and id, as JSON.
``+``   Opens a batch, which is what one write adds: how many bytes of the batch follow.
``h``   A header: schema version, and the envelope without messages as JSON. The latest counts.
``m``   A message: its position, from 0, and its JSON.
``=``   Closes a batch: count of messages, created_at, updated_at (both in microseconds since the
        Unix epoch), expiry, offset and length of the latest header, and how many bytes older
        headers take.
======  ==========================================================================================

Expiry is in milliseconds since the Unix epoch, 0 for never. The expiry in the first line counts if
its as_of is the end of the last batch, else the expiry in that batch. So a list reads only the two
ends of each file, an append is one write at the end, and the last messages are read backwards from
there.

A batch without its ``=`` was interrupted and never acknowledged: the next operation drops it, with
a warning in the log. Any other bytes behind the last ``=`` (a damaged batch, text of another
program) are never dropped: they count as one message that cannot be read, all batches before them
can be read, and nothing is added until the conversation has been saved again. Foreign lines between
two lines of the store are left out, with a warning; they move the lines behind them, so the latest
header is searched for. A file that is more than half old headers is written again without them.

An expired conversation is deleted by the next call that names it, by the next list or purge of its
partition, and otherwise when a conversation with a lifetime is created in that partition: each
creation checks some others.
"""

import os
import time
from typing import Any, TypeVar, Unpack, overload

from greentic_session._expiry.expiring import Timer
from greentic_session._json.fields import check_text
from greentic_session.conversation.backends.file.backend import FileConversationBackend
from greentic_session.conversation.jsonl.names import namespace_name
from greentic_session.conversation.message import Message
from greentic_session.conversation.options import StoreOptions
from greentic_session.conversation.store import ConversationStore
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Seconds, milliseconds

__all__ = ["FileConversationStore"]

M = TypeVar("M")


class FileOptions(StoreOptions, total=False):
    """The options of a `FileConversationStore`, which describes them."""

    namespace: str | None
    fsync: bool
    lock_timeout: Seconds
    timer: Timer


class FileConversationStore(ConversationStore[M]):
    """Conversation store in files.

    It may be shared by threads and event loops, and runs on asyncio and trio; any number of stores
    and processes of one machine may use the same directory at the same time. On a network file
    system locks (``flock``) must work. All I/O is done in threads of the store; a cancelled call
    has either happened or not when it returns.

    The constructor does no I/O. The first write makes the directory, and missing ones above it.
    An error of the operating system is raised as UnavailableError; then the write has not happened,
    unless only the last step failed (the sync of a new name to the disk).

    The directory should be the program's own. A directory that is a symbolic link, belongs to
    another user, or may be written by other users is used, and named once in the log (on POSIX
    systems): such users can add conversations.

    Args:
        directory: The directory of the files; a relative path is resolved at once.
        message_type: The type of messages; `Message` by default.
        namespace: Separates this store's data from that of others in the same directory.
        fsync: Whether every write is on the disk when it returns. If not, the last writes may be
            lost when the machine loses power, but not when the process dies.
        lock_timeout: How long to wait for another process that holds the lock of a conversation, in
            seconds or as a timedelta; then OperationTimeoutError is raised.
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
            All stores on a directory should have the same time.
        options: Those of every `ConversationStore`: `ttl`, `sliding`, `max_message_bytes`, `clock`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.

    >>> import asyncio, tempfile
    >>> from greentic_session import TenantCtx
    >>> async def keep(directory):
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with FileConversationStore(directory) as conversations:
    ...         await conversations.create(ctx, id="order-7", model="some-model")
    ...     async with FileConversationStore(directory) as conversations:  # next week
    ...         return (await conversations.load(ctx, "order-7")).model
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     asyncio.run(keep(directory))
    'some-model'
    """

    @overload
    def __init__(
        self: "FileConversationStore[Message]", directory: str | os.PathLike[str], **options: Unpack[FileOptions]
    ) -> None: ...

    @overload
    def __init__(
        self, directory: str | os.PathLike[str], *, message_type: type[M], **options: Unpack[FileOptions]
    ) -> None: ...

    @overload
    def __init__(self, directory: str | os.PathLike[str], *, message_type: Any, **options: Unpack[FileOptions]) -> None: ...

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        message_type: Any = Message,
        namespace: str | None = None,
        fsync: bool = True,
        lock_timeout: Seconds = 30.0,
        timer: Timer = time.time,
        **options: Unpack[StoreOptions],
    ) -> None:
        path = os.fspath(directory)
        if not isinstance(path, str):
            raise TypeError(f"directory must be a path of text, not {type(path).__name__}")
        if not path or "\0" in path:
            raise InvalidInputError("directory must be a path: not empty, and without a NUL")
        check_text("namespace", namespace)
        if type(fsync) is not bool:
            raise TypeError(f"fsync must be a bool, not {type(fsync).__name__}")
        path = os.path.abspath(path)  # noqa: PTH100  # the process may change its directory later
        bases = [path]
        if namespace is not None:
            path = os.path.join(path, namespace_name(namespace))  # noqa: PTH118
            bases.append(path)
        wait = milliseconds(lock_timeout, "lock_timeout") / 1000
        backend = FileConversationBackend(path, timer, bases=bases, sync=fsync, lock_timeout=wait)
        super().__init__(backend, message_type=message_type, **options)
