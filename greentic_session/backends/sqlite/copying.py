"""Sessions of a copy: out of a SQLite store, and into one, each within a transaction.

What a copy from another store left here is remembered in ``copies``: from which source, the version
of the text, when it ends, its scope and its claim; for as long as the copy lives, 30 days at most,
also where somebody removes that: then the copy is not made again. A copy that has changed since is
its runners'. On Redis `lua/migration/copied.lua` and `import.lua` do the same.
"""

import sqlite3
from typing import Final, NamedTuple

from msgspec.structs import replace

from greentic_session import transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.limits import ReplyLimits
from greentic_session.models import version_of
from greentic_session.tenancy import Identity, Owner
from greentic_session.transitions import Leaving, Turn, name_of_deadline

from .inboxes import update_letter
from .rows import Row, by_key, delete, insert, latest_of, place_of, to_deliver_at
from .schema import FREE
from .shelves import Shelves

__all__ = [
    "NEAR_S",
    "Copied",
    "CopiedTurn",
    "Outcome",
    "claim_on",
    "copies_between",
    "expunge",
    "is_as_left",
    "store_copy",
    "turn_of",
]

_MONTH_S: Final = 30 * 86_400.0
_NOTHING: Final = "000 "
"""Signature of a turn that is as good as none."""
NEAR_S: Final = 1.0
"""How far apart two ends of lifetimes may be that count as one."""

Outcome = str
"""``stored``; ``same`` if nothing was to be done; ``kept`` if it may not be."""


class CopiedTurn(NamedTuple):
    """State of a session of another store that takes part in replies or deadlines.

    Moments are seconds since the Unix epoch, by this machine's clock.

    Attributes:
        deadline: When it is forgotten or resumed.
        rest_end: When it ends, once nothing unsettled lies at its place.
        resume: Whether it is resumed.
        put_off: When it may be ready again; 0 where it was not put off.
        is_new: Whether its first verdict is still due.
        turn: Its open turn.
    """

    deadline: float
    rest_end: float
    resume: bool
    put_off: float
    is_new: bool
    turn: Turn | None

    def sign(self) -> str:
        """Return what tells it from another one, apart from moments."""
        turn = self.turn
        if turn is None:
            about = ""
        else:
            is_heard = turn.about == name_of_deadline(self.deadline)
            about = f"{'' if is_heard else turn.about} {turn.failed} {turn.key}"
        return f"{self.resume:d}{self.is_new:d}{self.put_off != 0:d} {about}"


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
        turn: What it has that takes part in replies or deadlines; None where it has nothing.
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
    turn: CopiedTurn | None = None


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
        if not is_as_left(connection, session, copy.source, now):
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
        if not is_as_left(connection, session, copy.source, now):
            return "kept"
    place = place_of(owner, wanted) if owner is not None and wanted else None
    holder = None if place is None else to_deliver_at(connection, place)[0]
    if holder is not None and row is not None and holder.id == row.id:
        holder = None
    if transitions.is_live(holder, now) and holder is not None and not is_as_left(connection, holder, copy.source, now):
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
    _take_part(connection, copy, None if session is None else session.place, now)
    version = _version_of(copy.text, copy.turn)
    _remember(connection, copy.key, _Mark(copy.source, version, copy.end, wanted, copy.token), now)
    return "stored"


def _take_out(connection: sqlite3.Connection, row: Row | None, now: float) -> bool:
    """Remove a session, and what has to do with it; say whether there is one.

    What lies at the place of a live one stays.
    """
    if row is None or not row.takes_part:
        return delete(connection, row)
    shelves, place = Shelves(connection, now, ReplyLimits()), row.place
    row = shelves.taken_in(row)
    if transitions.is_live(row, now) and place is not None:
        shelves.unplace(row)
        _keep(shelves, place)
    removed = shelves.remove(row, Leaving.EXPIRED)
    shelves.flush()
    return removed


def _keep(shelves: Shelves, place: bytes) -> None:
    """Let what lies at a place stay for a while where nothing waits any more."""
    end = shelves.now + shelves.limits.reply_grace_ms / 1000
    for letter in shelves.inbox(place):
        received = replace(letter.received, keep_until=max(letter.received.keep_until, end))
        update_letter(shelves.connection, letter, received, end)
    shelves.prune(place)


def _take_part(connection: sqlite3.Connection, copy: Copied, left: bytes | None, now: float) -> None:
    """Store the turn of a session that was copied, and join it with the inbox of its place.

    Args:
        connection: Where it was stored.
        copy: The session.
        left: Where it waited before; None where it did not.
        now: The moment.
    """
    shelves = Shelves(connection, now, ReplyLimits())
    row = shelves.by_key(copy.key)
    if left is not None and row is not None and row.place != left:
        _keep(shelves, left)  # where it comes from another may wait there, which comes next
    if row is None or (copy.turn is None and not row.takes_part and not (row.place and shelves.inbox(row.place))):
        return
    part = copy.turn or CopiedTurn(copy.end if row.waits else NEVER_ENDS, copy.end, False, 0.0, False, None)  # noqa: FBT003
    row.deadline, row.rest_end, row.resume, row.put_off = part.deadline, part.rest_end, part.resume, part.put_off
    row.is_new, row.turn = part.is_new, part.turn
    if row.place is not None and shelves.inbox(row.place):
        if shelves.inbox(row.place)[0].kept is not None:  # nothing has waited there
            shelves.prune(row.place)
        shelves.settle_in(row, row.place)
        row.end = max(row.end, transitions.storage_end(row, shelves.received(row.place), shelves.limits))
    shelves.restore(row)
    shelves.flush()


def expunge(connection: sqlite3.Connection, source: str, key: str, now: float) -> bool | None:
    """Remove a copy that is as it was left; forget that it was copied where it is gone already.

    What lies at its place stays.

    Returns:
        Whether it was removed; None where nothing was there.
    """
    session = transitions.visible(by_key(connection, key, text=True), None, now)
    if session is not None and not is_as_left(connection, session, source, now):
        return False
    connection.execute("DELETE FROM copies WHERE key = ? AND source = ?", (key, source))
    return _take_out(connection, session, now) or None


def copies_between(connection: sqlite3.Connection, source: str, after: str, most: int) -> list[str]:
    """Return the keys of some copies from a source, ascending, behind one."""
    found = connection.execute(
        "SELECT key FROM copies WHERE key > ? AND source = ? ORDER BY key LIMIT ?", (after, source, most)
    )
    return [key for (key,) in found]


def claim_on(session: Row, now: float) -> str:
    """Return the token of the live claim on a session; empty without one."""
    return session.token if session.token is not None and session.lease_end > now else ""


def turn_of(session: Row) -> CopiedTurn | None:
    """Return what a session has that takes part in replies or deadlines."""
    if not session.takes_part:
        return None
    return CopiedTurn(session.deadline, session.rest_end, session.resume, session.put_off, session.is_new, session.turn)


def _version_of(text: bytes, turn: CopiedTurn | None) -> str:
    """Return what tells whether somebody has changed a session."""
    return version_of(text) if turn is None or turn.sign() == _NOTHING else f"{version_of(text)} {turn.sign()}"


def _mark_of(connection: sqlite3.Connection, key: str) -> _Mark | None:
    found = connection.execute("SELECT source, version, end, scope_hash, token FROM copies WHERE key = ?", (key,)).fetchone()
    return None if found is None else _Mark(*found)


def _remember(connection: sqlite3.Connection, key: str, mark: _Mark, now: float) -> None:
    forgotten = now + _MONTH_S if mark.end == NEVER_ENDS else min(mark.end, now + _MONTH_S)
    connection.execute("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *mark, forgotten))


def is_as_left(connection: sqlite3.Connection, session: Row, source: str, now: float) -> bool:
    """Say whether a live session is as the copy from this source left it; its text was read."""
    mark = _mark_of(connection, session.key)
    return (
        mark is not None
        and mark.source == source
        and mark.scope_hash == session.scope_hash
        and _near(mark.end, session.end)
        and claim_on(session, now) in ("", mark.token)  # a copied claim may have ended
        and _version_of(session.text or b"", turn_of(session)) == mark.version
        and not _has_replies(connection, session, source)
    )


def _has_replies(connection: sqlite3.Connection, session: Row, source: str) -> bool:
    """Say whether replies lie at the place of a session that were not copied from this source."""
    found = connection.execute(
        """
        SELECT 1 FROM replies r WHERE r.place = ?
        AND NOT EXISTS (SELECT 1 FROM copied_replies c WHERE c.id = r.id AND c.source = ?) LIMIT 1
        """,
        (session.place, source),
    )
    return found.fetchone() is not None


def _is_same(connection: sqlite3.Connection, session: Row, copy: Copied, wanted: str, now: float) -> bool:
    pointer = None if copy.latest is None else copy.latest[3]
    latest = None if copy.latest is None else latest_of(connection, copy.latest)
    return (
        session.text == copy.text
        and _version_of(b"", turn_of(session)) == _version_of(b"", copy.turn)
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
    return other is None or other.key == copy.key or is_as_left(connection, other, copy.source, now)


def _clear_place(connection: sqlite3.Connection, holder: Row, source: str, now: float) -> None:
    if not transitions.is_live(holder, now):
        _take_out(connection, holder, now)
        return
    if holder.takes_part:
        shelves = Shelves(connection, now, ReplyLimits())
        shelves.displace(shelves.taken_in(holder))
        shelves.flush()
    else:
        connection.execute("UPDATE sessions SET place = NULL, scope = NULL WHERE id = ?", (holder.id,))
    displaced = by_key(connection, holder.key)
    part = None if displaced is None else turn_of(displaced)
    mark = _Mark(source, _version_of(holder.text or b"", part), holder.end, "", claim_on(holder, now))
    _remember(connection, holder.key, mark, now)


def _scope_of(session: Row | None, wanted: str) -> bytes:
    """Return what is stored of a scope whose parts the copy does not know."""
    known = None if session is None else session.stored_scope
    return known if known is not None and session is not None and session.scope_hash == wanted else wanted.encode()


def _near(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= NEAR_S


def _owner(identity: Identity) -> Owner | None:
    env, tenant, team, user = identity
    return None if user is None else (env, tenant, team, user)
