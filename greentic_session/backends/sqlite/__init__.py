"""The SQLite store: sessions in one file of this machine, for any number of its processes."""

import os
import time
from typing import Self, Unpack

from greentic_session._expiry.expiring import Timer
from greentic_session._sqlite.database import Database
from greentic_session._sqlite.file import Durability
from greentic_session._sqlite.url import checked_path
from greentic_session.expiry import Seconds
from greentic_session.limits import Limits, StoreOptions
from greentic_session.store import SessionStore

from .backend import SQLiteBackend, upkeep
from .schema import SESSIONS

__all__ = ["SQLiteSessionStore"]


class SQLiteStoreOptions(StoreOptions, total=False):
    """The options of a `SQLiteSessionStore`, which describes them."""

    durability: Durability
    timeout: Seconds
    timer: Timer


class SQLiteSessionStore(SessionStore):
    """A `SessionStore` in a file, on Python's own `sqlite3`; see `open`.

    What an operation has stored survives the death of the process and, unless `durability` says
    otherwise, a power cut. Any number of processes of one machine may share the file, and any
    number of threads and event loops (asyncio and trio) one store. No work is done in the event
    loop: a thread writes, and what waits together is committed together, another one reads. A
    conversation store may be in the same file.

    Args:
        path: The file; a relative path is resolved now. It is made at the first operation, with its
            directory, for its owner only.
        durability: ``"power"``: what was acknowledged survives a power cut. ``"process"``: it
            survives the death of the process only; writes wait for no disk.
        timeout: For how many seconds an operation waits for the locks of other processes.
        timer: Tells the time in seconds since the Unix epoch; the same in all processes.
        options: The options of every `SessionStore`.

    Raises:
        InvalidInputError: An option is out of range, or `path` is ``:memory:`` or empty.
        TypeError: An option has a wrong type.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        timeout: Seconds = 5.0,
        timer: Timer = time.time,
        **options: Unpack[StoreOptions],
    ) -> None:
        keeping_up = upkeep(timer, Limits.of(options).replies)
        database = Database(checked_path(path), [SESSIONS], durability=durability, timeout=timeout, upkeep=keeping_up)
        super().__init__(
            SQLiteBackend(database, timer),
            **options,
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str], **options: Unpack[SQLiteStoreOptions]) -> Self:
        """Return a store in a file; the arguments are the constructor's. No I/O.

        >>> import anyio, tempfile
        >>> from greentic_session import SessionData, TenantCtx
        >>> async def survive(directory):
        ...     ctx = TenantCtx.new("dev", "acme")
        ...     async with SQLiteSessionStore.open(f"{directory}/bot.db") as store:
        ...         key = await store.create_session(ctx, SessionData.new(ctx, "order", "ask"))
        ...     async with SQLiteSessionStore.open(f"{directory}/bot.db") as store:
        ...         return (await store.get_session(key)).flow_id
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     anyio.run(survive, directory)
        'order'
        """
        return cls(path, **options)
