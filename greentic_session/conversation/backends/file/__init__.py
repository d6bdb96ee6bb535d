"""The conversation store in files: durable, without a server, for one machine.

On disk (layout version 1), below the store's directory; directories have the mode 0700, files
0600::

    <partition>/                  a directory for each env, tenant and team
        <id>.log             a conversation, all of it
        <id>.lock            empty; locked by whoever is at the conversation
        <id>.tmp             a conversation that is just being written anew, or was when somebody was killed

``<partition>`` and ``<id>`` are, as `names` says, what can be read of the text, and its SHA-256:
``dev_acme_ops-9f86...``. With a namespace all of that is one directory deeper.

A ``.log`` is text in lines that only ever grows; to replace what is in it, another file takes its
name. Every line but the first is a letter, the CRC-32 of letter and content in hex, and the
content:

======  ====================================================================================================================
``#``   The first line: layout version, expiry, as_of, CRC-32. The only one that is ever written over, in place and in the
        same length: when a use of the conversation begins its lifetime anew.
``!``   The second: partition and id, as JSON.
``+``   Opens a batch, which is what one write adds: how many bytes follow in it.
``h``   A header, which is the conversation's envelope without messages: schema version, and it as JSON. The latest counts.
``m``   A message: its position, from 0, and it as JSON.
``=``   Closes a batch: count of messages, created_at, updated_at (in seconds since the Unix epoch), expiry, where the
        latest header is and how long, and how many bytes older headers take.
======  ====================================================================================================================

Expiry is in milliseconds since the Unix epoch, 0 for never; the one in the first line counts if its
as_of is where the last batch ends, else the one in that. So the ends of a file tell what a list
needs, an append is one write at its end, and the last messages are read backwards from there. A
batch without its ``=`` was cut short, was never acknowledged, and is dropped by whoever comes next,
with one warning in the log. Anything else behind the last ``=`` (a batch that is damaged, text of
another program) is never dropped: it counts as one message that cannot be read, what is before it
can be read, and nothing is added to the file until it has been saved anew. Foreign lines between
ours are left out, with a warning; they move what follows, so the latest header is searched for.
Where more than half of a file is old headers it is written anew.

A conversation that has expired is deleted by the next call that names it, by the next list or purge
of its partition, and otherwise by what is created in that partition with a lifetime: each looks
after some of its neighbours.
"""

import os
import time
from typing import Any, TypeVar, Unpack, overload

from greentic_session._expiry.expiring import Timer
from greentic_session._json.fields import check_text
from greentic_session.conversation.backends.file.backend import FileConversationBackend
from greentic_session.conversation.backends.file.names import namespace_name
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
    """A `ConversationStore` in files.

    It may be shared by threads and event loops, and runs on asyncio and trio; any number of stores
    and processes of one machine may use the same directory at the same time. File systems of a
    network must have locks that work (``flock``). All work is done in threads of its own; a call
    that was cancelled has either happened or not when it returns.

    The constructor does no I/O. The directory, and those above it that are missing, are made by the
    first write; as long as it is missing nothing is stored. What the operating system refuses is
    UnavailableError; what was to be written is not there then, if it was not the last step that
    failed (to have a new name on the disk).

    The directory should be the program's own. One that is a link, is another user's, or may be
    written by others is used, and named once in the log: whoever else may write there can put
    conversations there.

    Args:
        directory: Where; a relative path begins at the current directory of now.
        message_type: What messages are; `Message` by default.
        namespace: Keeps this store's data apart from that of others in the same directory.
        fsync: Whether every write is on the disk when it returns. If not, what was written last may
            be lost when the machine loses power, though not when the process dies.
        lock_timeout: How long to wait where other processes are at the same conversation, in
            seconds or as a timedelta; then OperationTimeoutError.
        timer: Tells the time in seconds since the Unix epoch: lifetimes are measured by it.
            All stores on a directory should agree.
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
    ...     async with FileConversationStore(directory) as conversations:  # another process, next week
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
        path = os.path.abspath(path)  # noqa: PTH100  # as it is now, wherever the process goes
        bases = [path]
        if namespace is not None:
            path = os.path.join(path, namespace_name(namespace))  # noqa: PTH118
            bases.append(path)
        wait = milliseconds(lock_timeout, "lock_timeout") / 1000
        backend = FileConversationBackend(path, timer, bases=bases, sync=fsync, lock_timeout=wait)
        super().__init__(backend, message_type=message_type, **options)
