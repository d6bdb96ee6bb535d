"""Operations on sessions within a transaction: what is stored is read, `transitions` decides.

Each checks before it writes. `now` is the moment, in seconds since the Unix epoch.
"""

import sqlite3

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.backend import Claiming, Creation, Parking, Update
from greentic_session.expiry import NEVER, Never
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from .rows import Row, at_place, by_key, delete, insert, latest_of, place_of, scope_text, waits_of
from .schema import FREE

__all__ = [
    "Places",
    "claim",
    "clear",
    "complete",
    "create",
    "find",
    "find_by_user",
    "find_key",
    "free_expired",
    "get",
    "list_waits",
    "park",
    "places_of",
    "release",
    "remaining_ms",
    "remove",
    "renew",
    "touch",
    "update",
]

Places = tuple[tuple[bytes, ReplyScope], ...]
"""The names of places, and their scopes, best first."""


def places_of(owner: Owner, scopes: tuple[ReplyScope, ...]) -> Places:
    """Return the places of an owner at some scopes."""
    return tuple((place_of(owner, scope.scope_hash()), scope) for scope in scopes)


# -- sessions, by key


def create(connection: sqlite3.Connection, creation: Creation, text: bytes, now: float) -> bool:
    """As `SessionBackend.create`."""
    row = by_key(connection, creation.key)
    if transitions.is_live(row, now):
        return False
    delete(connection, row)
    pointer = creation.pointer
    if pointer is not None:
        previous = latest_of(connection, pointer)
        if previous is not None:
            connection.execute("UPDATE sessions SET pointer = NULL WHERE id = ?", (previous.id,))
    identity = tenancy.expected_identity(None, creation.data)
    end = transitions.end_after(creation.ttl_ms, now)
    insert(connection, creation.key, identity, text, end, pointer=None if pointer is None else pointer[3])
    return True


def get(connection: sqlite3.Connection, key: str, now: float) -> Wait | None:
    """As `SessionBackend.get`."""
    row = transitions.visible(by_key(connection, key, text=True), None, now)
    return None if row is None else row.wait()


def update(connection: sqlite3.Connection, change: Update, text: bytes, now: float) -> None:
    """As `SessionBackend.update`."""
    row = by_key(connection, change.key, text=True)
    wait = None
    if row is not None and transitions.is_live(row, now):
        wait = row.wait()
    found = transitions.check_update(change, row, now)
    if wait is not None and change.if_version is not None:
        transitions.check_version(change, wait.version)
    connection.execute("UPDATE sessions SET text = ? WHERE id = ?", (text, found.id))


def remove(connection: sqlite3.Connection, key: str, ctx: TenantCtx | None, now: float) -> bool:
    """As `SessionBackend.remove`."""
    return delete(connection, transitions.visible(by_key(connection, key), ctx, now))


def touch(connection: sqlite3.Connection, key: str, ttl_ms: int | None, ctx: TenantCtx | None, now: float) -> bool:
    """As `SessionBackend.touch`."""
    row = transitions.visible(by_key(connection, key), ctx, now)
    if row is not None:
        _set_end(connection, row, transitions.end_after(ttl_ms, now))
    return row is not None


def remaining_ms(connection: sqlite3.Connection, key: str, ctx: TenantCtx | None, now: float) -> int | Never | None:
    """As `SessionBackend.remaining_ms`."""
    row = transitions.visible(by_key(connection, key), ctx, now)
    if row is None:
        return None
    return NEVER if row.end == NEVER_ENDS else max(round((row.end - now) * 1000), 1)


# -- waits, by scope


def park(connection: sqlite3.Connection, parking: Parking, place: bytes, text: bytes, now: float) -> SessionKey | None:
    """As `SessionBackend.park`."""
    row, holder = by_key(connection, parking.key), at_place(connection, place)
    if row is not None and holder is not None and row.id == holder.id:
        holder = row
    waits = () if parking.max_waits is None else list(waits_of(connection, parking.owner, now, parking.max_waits))
    parked = transitions.park(parking, row, holder, now, waits)

    # Decided; from here on only writes.
    end = transitions.end_after(parking.ttl_ms, now)
    if parked.displaced is not None:
        connection.execute("UPDATE sessions SET place = NULL, scope = NULL WHERE id = ?", (parked.displaced.id,))
    elif holder is not row:
        delete(connection, holder)  # it has expired
    session = parked.session
    if session is None:
        delete(connection, row)
        insert(connection, parking.key, parking.owner, text, end, place=place, scope=scope_text(parking.scope))
    else:
        token = session.token if parking.token is None else None
        if parked.moves:  # else its indices stay as they are
            connection.execute("UPDATE sessions SET place = ? WHERE id = ?", (place, session.id))
        connection.execute(
            "UPDATE sessions SET scope = ?, end = ?, token = ?, text = ? WHERE id = ?",
            (scope_text(parking.scope), end, token or FREE, text, session.id),
        )
    return None if parked.displaced is None else parked.displaced.key


def find(connection: sqlite3.Connection, owner: Owner, places: Places, now: float) -> Wait | None:
    """As `SessionBackend.find`."""
    for place, scope in places:
        row = transitions.visible(at_place(connection, place, text=True), None, now)
        if row is not None:
            return _of_owner(row.wait(scope), owner)
    return None


def find_key(connection: sqlite3.Connection, place: bytes, now: float) -> SessionKey | None:
    """As `SessionBackend.find_key`."""
    row = transitions.visible(at_place(connection, place), None, now)
    return None if row is None else row.key


def list_waits(connection: sqlite3.Connection, owner: Owner, most: int | None, now: float) -> list[SessionKey]:
    """Return the keys of the live waits of an owner, ascending; of `most` at the most."""
    return sorted(row.key for row in waits_of(connection, owner, now, most))


def clear(connection: sqlite3.Connection, place: bytes) -> None:
    """As `SessionBackend.clear`."""
    delete(connection, at_place(connection, place))


def find_by_user(connection: sqlite3.Connection, owner: Owner, now: float) -> Wait | None:
    """As `SessionBackend.find_by_user`."""
    waits = waits_of(connection, owner, now, 2, text=True)
    row = transitions.latest_or_only(waits, latest_of(connection, owner, text=True), now)
    wait = None if row is None else row.wait()
    return wait if wait is not None and tenancy.sees(owner, wait.data) else None


# -- claims


def claim(connection: sqlite3.Connection, claiming: Claiming, places: Places, now: float) -> Wait | None:
    """As `SessionBackend.claim`."""
    for place, scope in places:
        row = transitions.visible(at_place(connection, place, text=True), None, now)
        if row is None:
            continue
        held = transitions.claim(row, row.key, claiming.lease_ms, now)
        wait = _of_owner(row.wait(scope), claiming.owner)
        if wait is not None:
            _hold(connection, row, claiming.token, held)
        return wait
    return None


def complete(connection: sqlite3.Connection, key: str, token: str, now: float) -> bool:
    """As `SessionBackend.complete`."""
    return delete(connection, _held(connection, key, token, now))


def release(connection: sqlite3.Connection, key: str, token: str, now: float) -> bool:
    """As `SessionBackend.release`."""
    row = _held(connection, key, token, now)
    if row is not None:
        connection.execute("UPDATE sessions SET token = ? WHERE id = ?", (FREE, row.id))
    return row is not None


def renew(connection: sqlite3.Connection, key: str, token: str, lease_ms: int, now: float) -> bool:
    """As `SessionBackend.renew`."""
    row = _held(connection, key, token, now)
    if row is not None:
        _hold(connection, row, token, transitions.renew(row, lease_ms, now))
    return row is not None


# -- expiry


def free_expired(connection: sqlite3.Connection, now: float, most: int) -> float | None:
    """Remove some sessions that have expired; return when the next one will have, or None."""
    expired = "SELECT id FROM sessions WHERE end < 9e999 AND end <= ? ORDER BY end LIMIT ?"
    connection.execute(f"DELETE FROM sessions WHERE id IN ({expired})", (now, most))  # noqa: S608  # a constant
    forgotten = "SELECT key FROM copies WHERE forgotten <= ? LIMIT ?"
    connection.execute(f"DELETE FROM copies WHERE key IN ({forgotten})", (now, most))  # noqa: S608  # as above
    found = connection.execute("SELECT min(end) FROM sessions WHERE end < 9e999").fetchone()
    return None if found is None else found[0]


# -- shared


def _held(connection: sqlite3.Connection, key: str, token: str, now: float) -> Row | None:
    row = by_key(connection, key)
    return row if transitions.is_held(row, token, now) else None


def _hold(connection: sqlite3.Connection, row: Row, token: str, held: transitions.Held) -> None:
    connection.execute(
        "UPDATE sessions SET token = ?, lease_end = ?, end = ? WHERE id = ?",
        (token, held.lease_end, held.lease_end if held.lengthens else row.end, row.id),
    )


def _set_end(connection: sqlite3.Connection, row: Row, end: float) -> None:
    connection.execute("UPDATE sessions SET end = ? WHERE id = ?", (end, row.id))


def _of_owner(wait: Wait, owner: Owner) -> Wait | None:
    """Return a wait whose text says that it is the owner's: somebody may have overwritten it."""
    return wait if tenancy.owner_of(wait.data) == owner else None
