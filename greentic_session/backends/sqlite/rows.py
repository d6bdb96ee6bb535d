"""Rows of sessions: reading them, and the statements that change them."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.errors import GreenticError
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session.tenancy import Identity, Owner
from greentic_session.transitions import Turn
from greentic_session.wait import Wait, wait_of

from .schema import FREE

__all__ = [
    "Row",
    "at_place",
    "by_key",
    "delete",
    "earlier",
    "first_due",
    "held_at",
    "insert",
    "latest_of",
    "part_of_row",
    "place_of",
    "rows_between",
    "scope_text",
    "to_claim_at",
    "to_deliver_at",
    "to_park_at",
    "waits_of",
]

_HEAD: Final = (
    "s.id, s.key, s.env, s.tenant, s.team, s.user, s.pointer, s.place, s.scope, "
    "s.end, s.token, s.lease_end, length(s.text), "
    "t.deadline, t.rest_end, t.resume, t.put_off, t.is_new, t.about, t.failed, t.turn_key, t.due"
)
_TABLES: Final = "sessions s LEFT JOIN turns t ON t.id = s.id"
_FROM: Final = f"SELECT {_HEAD} FROM {_TABLES} WHERE"  # noqa: S608  # constants of ours
_FROM_TEXT: Final = f"SELECT {_HEAD}, s.text FROM {_TABLES} WHERE"  # noqa: S608  # as above
_BY_KEY: Final = f"{_FROM} s.key = ?"
_BY_KEY_TEXT: Final = f"{_FROM_TEXT} s.key = ?"
_BY_PLACE: Final = f"{_FROM} s.place = ?"
_LATEST: Final = f"{_FROM} s.pointer = ? AND s.tenant = ? AND s.env = ? AND s.team = ?"
_LATEST_TEXT: Final = f"{_FROM_TEXT} s.pointer = ? AND s.tenant = ? AND s.env = ? AND s.team = ?"
_PLACED: Final = "SELECT id, key, end, token, lease_end FROM sessions WHERE place = ?"
_PLACED_TEXT: Final = "SELECT id, key, end, token, lease_end, text FROM sessions WHERE place = ?"
_TO_CLAIM_AT: Final = f"SELECT s.id, s.key, s.end, s.token, s.lease_end, t.id, s.text FROM {_TABLES} WHERE s.place = ?"  # noqa: S608
_DUE: Final = f"SELECT {_HEAD}, s.text FROM turns t JOIN sessions s ON s.id = t.id WHERE"  # noqa: S608  # as above
_NEXT_TENANT: Final = "FROM tenants ORDER BY rank, id LIMIT 1"
_DUE_OF_ANY: Final = (
    f"{_DUE} t.tenant = (SELECT tenant {_NEXT_TENANT}) AND t.env = (SELECT env {_NEXT_TENANT}) AND t.due < 9e999 "
    "ORDER BY t.due, t.id LIMIT 1"
)
_DUE_OF_TENANT: Final = f"{_DUE} t.tenant = ? AND t.env = ? AND t.due < 9e999 ORDER BY t.due, t.id LIMIT 1"
_DUE_OF_TEAM: Final = f"{_DUE} t.tenant = ? AND t.env = ? AND t.team = ? AND t.due < 9e999 ORDER BY t.due, t.id LIMIT 1"
_LYING: Final = "EXISTS (SELECT 1 FROM replies WHERE place = :place)"
_RANK: Final = "(SELECT rank FROM tenants x WHERE x.tenant = s.tenant AND x.env = s.env)"
_TO_DELIVER_AT: Final = f"SELECT {_HEAD}, s.text, {_RANK}, {_LYING} FROM {_TABLES} WHERE s.place = :place"  # noqa: S608
_TO_PARK_AT: Final = (
    f"SELECT {_LYING}, t.id, s.id, s.key, s.env, s.tenant, s.team, s.user, s.end, s.token, s.lease_end "  # noqa: S608
    f"FROM (SELECT 1) LEFT JOIN sessions s ON s.place = :place LEFT JOIN turns t ON t.id = s.id"
)
_SCOPE_HASH: Final = re.compile(b"[0-9a-f]{64}")
_SINCE: Final = re.compile(rb',"since":([0-9.]+)\}$')
"""The last field of a scope: within a string its quotes would be escaped."""
_UNKNOWN_SCOPE: Final = ReplyScope("")
_NO_PART: Final = (None,) * 9
_NOBODY: Final = ("",) * 4
_SCOPES: Final = msgspec.json.Decoder(ReplyScope)


class Row:
    """One session as it is stored, for `transitions`.

    Args:
        columns: The columns of `_HEAD`, and the text where it was read, too.

    Attributes:
        takes_part: Whether it has a row in ``turns``.
        announced: From when on its tenant's rank leads to it, as far as is known: if it is due
            earlier than that, the rank has to come forward.
    """

    __slots__ = (
        "_data",
        "announced",
        "deadline",
        "due",
        "end",
        "id",
        "identity",
        "is_new",
        "key",
        "lease_end",
        "place",
        "pointer",
        "put_off",
        "rest_end",
        "resume",
        "size",
        "stored_scope",
        "takes_part",
        "text",
        "token",
        "turn",
    )

    def __init__(self, columns: Sequence[Any]) -> None:
        id, key, env, tenant, team, user, pointer, place, scope, end, token, lease_end, size, deadline, *more = columns
        self.id: int = id
        self.key: SessionKey = SessionKey(key)
        self.identity: Identity = (env, tenant, team or None, user or None)
        self.pointer: str | None = pointer
        self.place: bytes | None = place
        self.stored_scope: bytes | None = scope
        self.end: float = end
        self.token: str | None = None if token == FREE else token
        self.lease_end: float = lease_end
        self.size: int = size
        self._data: SessionData | None = None
        rest_end, resume, put_off, is_new, about, failed, turn_key, due, *text = more
        self.text: bytes | None = text[0] if text else None
        self.takes_part: bool = deadline is not None
        if deadline is None:
            # Nothing prolongs its life but leases, which move the deadline with the end.
            self.deadline: float = NEVER_ENDS if place is None else end
            self.rest_end: float = end
            self.resume: bool = False
            self.is_new: bool = False
            self.put_off: float = 0.0
            self.turn: Turn | None = None
            self.due: float = NEVER_ENDS
        else:
            self.deadline, self.rest_end, self.put_off, self.due = deadline, rest_end, put_off, due
            self.resume, self.is_new = bool(resume), bool(is_new)
            self.turn = None if about is None else Turn(about, failed, turn_key)
        self.announced: float = self.due

    @property
    def waits(self) -> bool:
        """Whether the session is a wait."""
        return self.place is not None

    @property
    def owner(self) -> Owner | None:
        """Whose it is; None where it has no user."""
        env, tenant, team, user = self.identity
        return None if user is None else (env, tenant, team, user)

    @property
    def scope(self) -> ReplyScope | None:
        """Where it waits, for `transitions`; None where it is no wait."""
        return (self.known_scope or _UNKNOWN_SCOPE) if self.waits else None

    @property
    def known_scope(self) -> ReplyScope | None:
        """Where it waits; None where it is no wait, or nobody knows the scope."""
        try:
            return None if self.stored_scope is None else _SCOPES.decode(self.stored_scope)
        except (msgspec.MsgspecError, GreenticError, UnicodeError, RecursionError, TypeError):
            return None

    @property
    def since(self) -> float | None:
        """Since when it waits where it does; None where nobody knows."""
        found = None if not isinstance(self.stored_scope, bytes) else _SINCE.search(self.stored_scope)
        return None if found is None else float(found[1])

    @property
    def scope_hash(self) -> str:
        """The SHA-256 of the scope where it waits; empty where it is no wait, or nobody knows."""
        scope = self.known_scope
        if scope is not None:
            return scope.scope_hash()
        known = isinstance(self.stored_scope, bytes) and _SCOPE_HASH.fullmatch(self.stored_scope)
        return self.stored_scope.decode() if known and self.stored_scope is not None else ""

    @property
    def data(self) -> SessionData:
        """The snapshot; where the text was not read, one that has only the identity."""
        if self._data is None:
            env, tenant, team, user = self.identity
            ctx = TenantCtx.new(env, tenant, team=team, user=user)
            self._data = SessionData(tenant_ctx=ctx, flow_id="-", cursor=SessionCursor(""), context_json="")
        return self._data

    def wait(self, scope: ReplyScope | None = None) -> Wait:
        """Return the session as its text says.

        Raises:
            CorruptSessionError: The text is no session.
        """
        text = self.text
        wait = wait_of(self.key, text if isinstance(text, bytes) else b"", scope)
        self._data = wait.data
        return wait


# -- reading


def by_key(connection: sqlite3.Connection, key: str, *, text: bool = False) -> Row | None:
    """Return the session under a key, live or not."""
    return _first(connection, _BY_KEY_TEXT if text else _BY_KEY, (key,))


def at_place(connection: sqlite3.Connection, place: bytes, *, text: bool = False) -> Row | None:
    """Return the session that waits at a place, live or not: what a lookup or a claim has to know.

    Of the rest it has nothing, and no owner above all: reading that takes twice as long.
    """
    found = connection.execute(_PLACED_TEXT if text else _PLACED, (place,)).fetchone()
    if found is None:
        return None
    id, key, end, token, lease_end, *more = found
    return part_of_row(id, key, place, end, token, lease_end, more)


def to_park_at(connection: sqlite3.Connection, place: bytes) -> tuple[Row | None, bool]:
    """Return what `at_place` does, with its owner, and whether replies or deadlines have a say."""
    lies, part, id, key, *identity, end, token, lease_end = connection.execute(_TO_PARK_AT, {"place": place}).fetchone()
    if id is None:
        return None, bool(lies)
    return part_of_row(id, key, place, end, token, lease_end, (), identity), bool(lies) or part is not None


def to_claim_at(connection: sqlite3.Connection, place: bytes) -> tuple[Row, bool] | None:
    """Return what `at_place` does, with its text, and whether it takes part in replies."""
    found = connection.execute(_TO_CLAIM_AT, (place,)).fetchone()
    if found is None:
        return None
    id, key, end, token, lease_end, part, text = found
    return part_of_row(id, key, place, end, token, lease_end, (text,)), part is not None


def part_of_row(
    id: int,
    key: str,
    place: bytes | None,
    end: float,
    token: str,
    lease_end: float,
    more: Sequence[bytes] = (),
    identity: Sequence[str] = _NOBODY,
) -> Row:
    """Return a session of which only this was read: enough to find, claim, displace or end it."""
    return Row((id, key, *identity, None, place, None, end, token, lease_end, 0, *_NO_PART, *more))


def held_at(connection: sqlite3.Connection, place: bytes) -> Row | None:
    """Return all of the session that waits at a place, live or not."""
    return _first(connection, _BY_PLACE, (place,))


def to_deliver_at(connection: sqlite3.Connection, place: bytes) -> tuple[Row | None, bool]:
    """Return what `held_at` does, with its text; and whether something lies there, if it waits."""
    found = connection.execute(_TO_DELIVER_AT, {"place": place}).fetchone()
    if found is None:
        return None, False
    *columns, rank, lies = found
    row = Row(columns)
    row.announced = NEVER_ENDS if rank is None else rank
    return row, bool(lies)


def first_due(connection: sqlite3.Connection, ctx: TenantCtx | None) -> Row | None:
    """Return the wait that is due first of those that a context administers, with its text.

    Without a context: of the tenant whose turn it is.
    """
    if ctx is None:
        return _first(connection, _DUE_OF_ANY, ())
    if ctx.effective_team is None:
        return _first(connection, _DUE_OF_TENANT, (ctx.tenant_id, ctx.env))
    return _first(connection, _DUE_OF_TEAM, (ctx.tenant_id, ctx.env, ctx.effective_team))


def latest_of(connection: sqlite3.Connection, owner: Owner, *, text: bool = False) -> Row | None:
    """Return the latest session of an owner, live or not."""
    env, tenant, team, user = owner
    return _first(connection, _LATEST_TEXT if text else _LATEST, (user, tenant, env, team or ""))


def waits_of(
    connection: sqlite3.Connection, owner: Owner, now: float, most: int | None = None, *, text: bool = False
) -> Iterator[Row]:
    """Yield the live waits of an owner, in no order; `most` of them, if it is given."""
    env, tenant, team, user = owner
    condition = "s.user = ? AND s.tenant = ? AND s.env = ? AND s.team = ? AND s.place IS NOT NULL AND s.end > ? LIMIT ?"
    found = connection.execute(
        f"SELECT {_columns(text)} FROM {_TABLES} WHERE {condition}",  # noqa: S608  # constants of ours
        (user, tenant, env, team or "", now, -1 if most is None else most),
    )
    return map(Row, found)


def rows_between(
    connection: sqlite3.Connection, first: int, last: int, where: tuple[str, str] | None = None, *, text: bool = False
) -> Iterator[Row]:
    """Yield the sessions whose ids are in a range, live or not, ascending by id.

    Args:
        connection: Where to look.
        first: The lowest id.
        last: The highest id.
        where: The env and tenant that they have; None for all.
        text: Whether their texts are read.
    """
    condition = "s.id BETWEEN ? AND ?" + ("" if where is None else " AND s.env = ? AND s.tenant = ?")
    tables = "sessions s NOT INDEXED LEFT JOIN turns t ON t.id = s.id"
    found = connection.execute(
        f"SELECT {_columns(text)} FROM {tables} WHERE {condition} ORDER BY s.id",  # noqa: S608  # as above
        (first, last, *(where or ())),
    )
    return map(Row, found)


def _first(connection: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> Row | None:
    found = connection.execute(statement, values).fetchone()
    return None if found is None else Row(found)


def _columns(text: bool) -> str:  # noqa: FBT001
    return f"{_HEAD}, s.text" if text else _HEAD


# -- writing


def insert(connection: sqlite3.Connection, key: str, identity: Identity, text: bytes, end: float, **more: Any) -> None:
    """Store a session that has no row yet.

    Args:
        connection: Where to store it.
        key: The session key.
        identity: Whose it is.
        text: The wire text.
        end: When its lifetime ends.
        more: Other columns; by default it is no wait, nobody's latest, and free.
    """
    env, tenant, team, user = identity
    connection.execute(
        """
        INSERT INTO sessions (key, env, tenant, team, user, pointer, place, scope, end, token, lease_end, text)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            *(key, env, tenant, team or "", user or ""),
            *(more.get("pointer"), more.get("place"), more.get("scope")),
            *(end, more.get("token", FREE), more.get("lease_end", 0.5), text),
        ),
    )


def delete(connection: sqlite3.Connection, row: Row | None) -> bool:
    """Remove a session that takes no part in replies; say whether there is one."""
    if row is not None:
        connection.execute("DELETE FROM sessions WHERE id = ?", (row.id,))
    return row is not None


# -- what a place is called


def place_of(owner: Owner, scope_hash: str) -> bytes:
    """Return the name of a place: no two owners or scopes share one."""
    env, tenant, team, user = owner  # ids hold no newline
    return hashlib.sha256(f"{env}\n{tenant}\n{team or ''}\n{user}\n{scope_hash}".encode()).digest()


def earlier(scope: bytes, passed: float) -> bytes:
    """Return a stored scope whose wait is there so many seconds longer."""
    return _SINCE.sub(lambda found: b',"since":%.3f}' % (float(found[1]) - passed), scope)


def scope_text(scope: ReplyScope, since: float | None = None) -> bytes:
    """Return a scope as it is stored; that of a wait tells since when it waits there."""
    text = msgspec.json.encode(scope)
    return text if since is None else b'%b,"since":%.3f}' % (text[:-1], since)
