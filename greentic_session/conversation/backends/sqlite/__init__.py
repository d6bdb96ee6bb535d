"""Conversation store in a database of SQLite: durable, without a server, for one machine."""

import os
import time
from typing import Any, TypeVar, Unpack, overload

from greentic_session._expiry.expiring import Timer
from greentic_session._json.fields import check_text
from greentic_session._sqlite.database import Database
from greentic_session._sqlite.file import Durability
from greentic_session._sqlite.url import checked_path
from greentic_session.conversation.message import Message
from greentic_session.conversation.options import StoreOptions
from greentic_session.conversation.store import ConversationStore
from greentic_session.expiry import Seconds

from .backend import SQLiteConversationBackend
from .removal import Upkeep
from .schema import CONVERSATIONS
from .tables import Tables

__all__ = ["SQLiteConversationStore"]

M = TypeVar("M")


class SQLiteOptions(StoreOptions, total=False):
    """The options of a `SQLiteConversationStore`, which describes them."""

    namespace: str | None
    durability: Durability
    timeout: Seconds
    timer: Timer


class SQLiteConversationStore(ConversationStore[M]):
    """Conversation store in one file, which sessions may share.

    It may be shared by threads and event loops, and runs on asyncio and trio; any number of stores
    and processes of one machine may use the same file at the same time. All I/O is done in threads
    of the store. Appends that wait at the same time are written in one transaction.

    The constructor does no I/O. The first operation makes the file, which only its owner may read,
    and its directory. Expired conversations are freed in short steps while a store on the file is
    in use, and their space is used again.

    Args:
        path: The database's file; a relative path is resolved at once.
        message_type: The type of messages; `Message` by default.
        namespace: Separates this store's conversations from those of others in the same file.
        durability: ``"power"``: a write that has returned survives a power cut; ``"process"``: only
            the death of the process, and writes do not wait for the disk.
        timeout: For how long an operation waits while other processes hold the file's lock, in
            seconds or as a timedelta; then UnavailableError is raised.
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
            All stores on a file should have the same time.
        options: Those of every `ConversationStore`: `ttl`, `sliding`, `max_message_bytes`, `clock`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.

    >>> import asyncio, tempfile
    >>> from greentic_session import TenantCtx
    >>> async def keep(path):
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with SQLiteConversationStore(path) as conversations:
    ...         await conversations.create(ctx, id="order-7", model="some-model")
    ...     async with SQLiteConversationStore(path) as conversations:  # another process, next week
    ...         return (await conversations.load(ctx, "order-7")).model
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     asyncio.run(keep(f"{directory}/bot.db"))
    'some-model'
    """

    @overload
    def __init__(
        self: "SQLiteConversationStore[Message]", path: str | os.PathLike[str], **options: Unpack[SQLiteOptions]
    ) -> None: ...

    @overload
    def __init__(self, path: str | os.PathLike[str], *, message_type: type[M], **options: Unpack[SQLiteOptions]) -> None: ...

    @overload
    def __init__(self, path: str | os.PathLike[str], *, message_type: Any, **options: Unpack[SQLiteOptions]) -> None: ...

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        message_type: Any = Message,
        namespace: str | None = None,
        durability: Durability = "power",
        timeout: Seconds = 5.0,
        timer: Timer = time.time,
        **options: Unpack[StoreOptions],
    ) -> None:
        file = checked_path(path)
        check_text("namespace", namespace)
        database = Database(file, [CONVERSATIONS], durability=durability, timeout=timeout, upkeep=Upkeep(timer))
        tables = Tables("" if namespace is None else namespace, timer)
        super().__init__(SQLiteConversationBackend(database, tables), message_type=message_type, **options)
