"""Sessions of a copy: out of a SQLite store, and into one, each within a transaction.

What a copy from another store left here is remembered in ``copies``: from which source, the version
of the text, when it ends, its scope and its claim; for as long as the copy lives, 30 days at most,
also where somebody removes that: then the copy is not made again. A copy that has changed since is
its runners'. On Redis `lua/migration/copied.lua` and `import.lua` do the same.
"""

import sqlite3
from typing import Final, NamedTuple

from greentic_session import transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.limits import ReplyLimits
from greentic_session.models import version_of
from greentic_session.tenancy import Identity, Owner
from greentic_session.transitions import Leaving

from .rows import Row, by_key, delete, held_at, insert, latest_of, place_of
from .schema import FREE
from .shelves import Shelves

__all__ = ["Copied", "Outcome", "claim_on", "copies_between", "expunge", "holds_replies", "store_copy"]

_MONTH_S: Final = 30 * 86_400.0
_NEAR_S: Final = 1.0
"""How far apart two ends of lifetimes may be that count as one."""

Outcome = str
"""``stored``; ``same`` if nothing was to be done; ``kept`` if it may not be."""


class Copied(NamedTuple):
    """A session of another store.

    Attributes:
        source: The store that it comes from.
        key: The session key.
        text: The wire text.
        identity: Whose it is.
        end: When it ends, by this machine's clock.
        scope_hash: SHA-256 of the scope where it waits; empty where it is no wait, None where only
            another pass of the copy will tell.
        scope: That scope as JSON, or empty.
        latest: Whose latest session it is; None for nobody's.
        token: Of the claim on it, or empty.
        lease_end: When that ends.
        believed: Whether this is that other pass.
    """

    source: str
    key: str
    text: bytes
    identity: Identity
    end: float
    scope_hash: str | None
    scope: bytes
    latest: Owner | None
    token: str
    lease_end: float
    believed: bool


class _Mark(NamedTuple):
    source: str
    version: str
    end: float
    scope_hash: str
    token: str


def store_copy(connection: sqlite3.Connection, copy: Copied, now: float) -> Outcome:
    """Store a session that another store has, unless that is not to be done.

    Somebody here has changed it since it was last copied from there, or removed it, or holds what
    it needs: then it stays as it is.
    """
    row = by_key(connection, copy.key, text=True)
    session = transitions.visible(row, None, now)
    if session is None and (copy.believed or _mark_of(connection, copy.key) is not None):
        return "kept"  # removed here
    owner = _owner(copy.identity)
    if session is not None and session.identity != copy.identity:
        if not _is_as_left(connection, session, copy.source, now):
            return "kept"
        session = None  # it goes, for that of another owner
    wanted = copy.scope_hash
    if wanted is None:
        wanted = "" if session is None else session.scope_hash
    if owner is None:
        wanted = ""
    if session is not None:
        if copy.believed and session.scope_hash not in ("", wanted):
            return "kept"  # a session has one place here
        if _is_same(connection, session, copy, wanted, now):
            return "same"
        if not _is_as_left(connection, session, copy.source, now):
            return "kept"
    place = place_of(owner, wanted) if owner is not None and wanted else None
    holder = None if place is None else held_at(connection, place)
    if holder is not None and row is not None and holder.id == row.id:
        holder = None
    if transitions.is_live(holder, now) and holder is not None and not _is_as_left(connection, holder, copy.source, now):
        return "kept"
    leads = _may_lead(connection, copy, now)

    # Decided; from here on only writes.
    if holder is not None:
        _clear_place(connection, holder, copy.source, now)
    if session is None:
        _take_out(connection, row, now)
    elif not leads and session.pointer is not None and copy.latest is None:
        connection.execute("UPDATE sessions SET pointer = NULL WHERE id = ?", (session.id,))
    if leads and copy.latest is not None:
        before = latest_of(connection, copy.latest)
        if before is not None and before.key != copy.key:
            connection.execute("UPDATE sessions SET pointer = NULL WHERE id = ?", (before.id,))
    pointer = copy.latest[3] if leads and copy.latest is not None else None
    scope = None if place is None else (copy.scope or _scope_of(session, wanted))
    token = copy.token or FREE
    if session is None:
        insert(
            connection,
            copy.key,
            copy.identity,
            copy.text,
            copy.end,
            pointer=pointer,
            place=place,
            scope=scope,
            token=token,
            lease_end=copy.lease_end,
        )
    else:
        connection.execute(
            """
            UPDATE sessions SET pointer = ?, place = ?, scope = ?, end = ?, token = ?, lease_end = ?, text = ?
            WHERE id = ?
            """,
            (pointer, place, scope, copy.end, token, copy.lease_end, copy.text, session.id),
        )
    if place is not None:
        _meet(connection, copy.key, place, now)
    _remember(connection, copy.key, _Mark(copy.source, version_of(copy.text), copy.end, wanted, copy.token), now)
    return "stored"


def _take_out(connection: sqlite3.Connection, row: Row | None, now: float) -> bool:
    """Remove a session, and what has to do with it; say whether there is one."""
    if row is None or not row.takes_part:
        return delete(connection, row)
    shelves = Shelves(connection, now, ReplyLimits())
    leaving = Leaving.REMOVED if transitions.is_live(row, now) else Leaving.EXPIRED
    removed = shelves.remove(shelves.taken_in(row), leaving)
    shelves.flush()
    return removed


def _meet(connection: sqlite3.Connection, key: str, place: bytes, now: float) -> None:
    """Let a wait that has come have what lies at its place."""
    shelves = Shelves(connection, now, ReplyLimits())
    row = shelves.by_key(key)
    if row is not None and shelves.inbox(place):
        shelves.prune(place)
        shelves.settle_in(row, place)
        shelves.refresh(row)
        shelves.flush()


def expunge(connection: sqlite3.Connection, source: str, key: str, now: float) -> bool | None:
    """Remove a copy that is as it was left; forget that it was copied where it is gone already.

    Returns:
        Whether it was removed; None where nothing was there.
    """
    session = transitions.visible(by_key(connection, key, text=True), None, now)
    if session is not None and not _is_as_left(connection, session, source, now):
        return False
    connection.execute("DELETE FROM copies WHERE key = ? AND source = ?", (key, source))
    return _take_out(connection, session, now) or None


def copies_between(connection: sqlite3.Connection, source: str, after: str, most: int) -> list[str]:
    """Return the keys of some copies from a source, ascending, behind one."""
    found = connection.execute(
        "SELECT key FROM copies WHERE key > ? AND source = ? ORDER BY key LIMIT ?", (after, source, most)
    )
    return [key for (key,) in found]


def holds_replies(connection: sqlite3.Connection) -> bool:
    """Say whether anything takes part in replies or deadlines here."""
    tables = ("turns", "replies", "deliveries")
    looks = [connection.execute(f"SELECT 1 FROM {table} LIMIT 1") for table in tables]  # noqa: S608  # constants
    return any(look.fetchone() for look in looks)


def claim_on(session: Row, now: float) -> str:
    """Return the token of the live claim on a session; empty without one."""
    return session.token if session.token is not None and session.lease_end > now else ""


def _mark_of(connection: sqlite3.Connection, key: str) -> _Mark | None:
    found = connection.execute("SELECT source, version, end, scope_hash, token FROM copies WHERE key = ?", (key,)).fetchone()
    return None if found is None else _Mark(*found)


def _remember(connection: sqlite3.Connection, key: str, mark: _Mark, now: float) -> None:
    forgotten = now + _MONTH_S if mark.end == NEVER_ENDS else min(mark.end, now + _MONTH_S)
    connection.execute("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *mark, forgotten))


def _is_as_left(connection: sqlite3.Connection, session: Row, source: str, now: float) -> bool:
    """Say whether a live session is as the copy from this source left it; its text was read."""
    mark = _mark_of(connection, session.key)
    return (
        mark is not None
        and not session.takes_part  # its runners have been at it
        and mark.source == source
        and mark.scope_hash == session.scope_hash
        and _near(mark.end, session.end)
        and claim_on(session, now) in ("", mark.token)  # a copied claim may have ended
        and version_of(session.text or b"") == mark.version
    )


def _is_same(connection: sqlite3.Connection, session: Row, copy: Copied, wanted: str, now: float) -> bool:
    pointer = None if copy.latest is None else copy.latest[3]
    latest = None if copy.latest is None else latest_of(connection, copy.latest)
    return (
        session.text == copy.text
        and session.scope_hash == wanted
        and _near(session.end, copy.end)
        and (session.pointer == pointer or (session.pointer is None and latest is not None))
        and claim_on(session, now) == copy.token
        and (not copy.token or _near(session.lease_end, copy.lease_end))
    )


def _may_lead(connection: sqlite3.Connection, copy: Copied, now: float) -> bool:
    """Say whether the pointer of its user leads here: not past a session of this store's own."""
    if copy.latest is None:
        return False
    other = transitions.visible(latest_of(connection, copy.latest, text=True), None, now)
    return other is None or other.key == copy.key or _is_as_left(connection, other, copy.source, now)


def _clear_place(connection: sqlite3.Connection, holder: Row, source: str, now: float) -> None:
    if not transitions.is_live(holder, now):
        _take_out(connection, holder, now)
        return
    connection.execute("UPDATE sessions SET place = NULL, scope = NULL WHERE id = ?", (holder.id,))
    mark = _Mark(source, version_of(holder.text or b""), holder.end, "", claim_on(holder, now))
    _remember(connection, holder.key, mark, now)


def _scope_of(session: Row | None, wanted: str) -> bytes:
    """Return what is stored of a scope whose parts the copy does not know."""
    known = None if session is None else session.stored_scope
    return known if known is not None and session is not None and session.scope_hash == wanted else wanted.encode()


def _near(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= _NEAR_S


def _owner(identity: Identity) -> Owner | None:
    env, tenant, team, user = identity
    return None if user is None else (env, tenant, team, user)
