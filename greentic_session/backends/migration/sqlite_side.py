"""A SQLite file as one side of a copy."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

from greentic_session import transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session._sqlite.database import Database
from greentic_session.backends.sqlite.copying import (
    Copied,
    claim_on,
    copies_between,
    expunge,
    store_copy,
    turn_of,
)
from greentic_session.backends.sqlite.copying_replies import places_held
from greentic_session.backends.sqlite.rows import Row, by_key, rows_between, scope_text
from greentic_session.backends.sqlite.schema import SESSIONS
from greentic_session.backends.sqlite.walking import END, next_window
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.backends.sqlite.backend import SQLiteConversationBackend
from greentic_session.conversation.backends.sqlite.schema import CONVERSATIONS
from greentic_session.conversation.backends.sqlite.tables import Tables
from greentic_session.errors import CorruptSessionError, UnavailableError
from greentic_session.tenancy import NO_TEAM, Identity

from .exported import Exported, identity_of
from .report import Report
from .sides import Endpoint, Group, Looked, ReplySource, ReplyTarget, Side, Source, Target
from .sqlite_replies import SQLiteReplySource, SQLiteReplyTarget, copied_turn, exported_turn

__all__ = ["SQLiteSide", "SQLiteSource", "SQLiteTarget", "sqlite_endpoint"]

_STEP: Final = 50
"""How many sessions there are in a group at most."""
_UNKNOWN_SCOPE: Final = b"?"
"""What a source says of a wait whose scope another pass will tell."""


class SQLiteSide(Side):
    """A SQLite file; its conversations are those of no namespace.

    Args:
        path: The absolute path of the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"sqlite {path}")
        self.database: Database = Database(path, [SESSIONS, CONVERSATIONS], timeout=30.0)
        self.conversations: ConversationBackend = SQLiteConversationBackend(self.database, Tables("", time.time))

    async def walk_conversations(self, looked: Looked) -> AsyncIterator[Group]:
        """See `Side.walk_conversations`."""
        async for found in self.conversations.walk():
            looked(len(found))
            names = [":".join((env, tenant, team or NO_TEAM, id)).encode() for (env, tenant, team), id in found]
            for start in range(0, len(names), _STEP):
                yield None, names[start : start + _STEP]

    async def size(self) -> int:
        """See `Side.size`."""
        (count,) = await self.database.read(
            lambda c: c.execute("SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM conversation)").fetchone()
        )
        return int(count)

    async def aclose(self) -> None:
        """Close the file."""
        await self.database.aclose()


class SQLiteSource(Source):
    """Sessions that come from a file.

    Args:
        side: Which one.
        report: Where all is counted.
    """

    def __init__(self, side: SQLiteSide, report: Report) -> None:  # noqa: ARG002  # columns tell whose all are
        self._database = side.database
        self.replies: ReplySource = SQLiteReplySource(side.database)

    async def check(self) -> None:
        """See `Source.check`."""
        if not await asyncio.to_thread(Path(self._database.path).exists):
            raise UnavailableError(f"there is no such file to copy from ({self._database.path})")

    async def sessions(self, looked: Looked) -> AsyncGenerator[Group, None]:
        """See `Source.sessions`."""
        after = 0
        while after < END:
            keys, after = await self._database.read(partial(_keys_in_window, after=after))
            looked(len(keys))
            for start in range(0, len(keys), _STEP):
                yield None, keys[start : start + _STEP]

    async def waits(self, looked: Looked) -> AsyncIterator[Group]:  # noqa: ARG002
        """See `Source.waits`: a row says all of its wait."""
        nothing: list[Group] = []
        for group in nothing:
            yield group

    async def read(self, group: Group, *, believed: bool = False) -> list[Exported]:  # noqa: ARG002  # there are none
        """See `Source.read`."""
        seen = asyncio.get_running_loop().time()
        found = await self._database.read(lambda c: [_exported(c, key.decode(), seen) for key in group[1]])
        return [one for one in found if one is not None]

    async def lacks(self, key: bytes) -> bool:
        """See `Source.lacks`."""
        now = time.time()
        row = await self._database.read(lambda c: by_key(c, key.decode()))
        return row is None or row.end <= now


class SQLiteTarget(Target):
    """Sessions that go to a file.

    Args:
        side: Which one.
        source: What copies are marked with.
        report: Where all is counted.
    """

    def __init__(self, side: SQLiteSide, source: str, report: Report) -> None:
        super().__init__(report)
        self._database = side.database
        self._source = source
        self.replies: ReplyTarget = SQLiteReplyTarget(side.database, source)

    async def put(self, session: Exported) -> bytes | None:
        """See `Target.put`."""
        current = session.aged()
        if current is None:
            return None
        now = time.time()
        identity = identity_of(current.owner)
        latest = identity_of(current.latest) if current.latest else None
        copied = Copied(
            source=self._source,
            key=current.key.decode(),
            text=current.text,
            identity=identity,
            end=NEVER_ENDS if current.ttl == -1 else now + current.ttl / 1000,
            scope_hash=None if current.scope_hash == _UNKNOWN_SCOPE else current.scope_hash.decode(),
            scope=current.scope,
            latest=None if latest is None or latest[3] is None else (latest[0], latest[1], latest[2], latest[3]),
            token=current.claim.decode().partition(":")[0],
            lease_end=now + current.lease / 1000,
            believed=current.believed,
            turn=copied_turn(current.turn, now),
        )
        outcome = await self._database.write(lambda c: store_copy(c, copied, time.time()))
        return outcome.encode()

    async def copies(self, looked: Looked) -> AsyncIterator[Group]:
        """See `Target.copies`."""
        after, source = "", self._source
        while keys := await self._database.read(partial(copies_between, source=source, after=after, most=_STEP)):
            after = keys[-1]
            looked(len(keys))
            yield None, [key.encode() for key in keys]

    async def remove(self, group: Group) -> None:
        """See `Target.remove`."""
        source = self._source
        for key in group[1]:
            removed = await self._database.write(partial(expunge, source=source, key=key.decode(), now=time.time()))
            self.report.removed += removed is True


def _keys_in_window(connection: sqlite3.Connection, after: int) -> tuple[list[bytes], int]:
    window = next_window(connection, after)
    if window is None:
        return [], END
    return [row.key.encode() for row in rows_between(connection, *window)], window[1]


def _exported(connection: sqlite3.Connection, key: str, seen: float) -> Exported | None:
    row, now = by_key(connection, key, text=True), time.time()
    if row is None or not transitions.is_live(row, now):
        return None
    env, tenant, team, _ = row.identity
    scope, token, hash = row.known_scope, claim_on(row, now), row.scope_hash
    return Exported(
        believed=False,
        seen=seen,
        key=key.encode(),
        text=row.text or b"",
        ttl=-1 if row.end == NEVER_ENDS else max(round((row.end - now) * 1000), 1),
        owner=_text_of(row.identity),
        scope_hash=hash.encode(),
        scope=b"" if scope is None else scope_text(scope),
        latest=b"" if row.pointer is None else _text_of((env, tenant, team, row.pointer)),
        claim=f"{token}:{hash}".encode() if token else b"",
        lease=round((row.lease_end - now) * 1000) if token else 0,
        unseen=b"" if _is_session(row) else b"1",
        turn=exported_turn(turn_of(row), now, places_held(connection, token) if token else ()),
    )


def _text_of(identity: Identity) -> bytes:
    env, tenant, team, user = identity
    return f"{env}:{tenant}:{team or ''}:{user or ''}".encode()


def _is_session(row: Row) -> bool:
    try:
        row.wait()
    except CorruptSessionError:
        return False
    return True


def sqlite_endpoint(path: str) -> Endpoint:
    """Return the endpoint of a file. No I/O."""
    side = SQLiteSide(path)
    return Endpoint(side, partial(SQLiteSource, side), partial(SQLiteTarget, side))
