"""Operations on sessions within a transaction: what is stored is read, `transitions` decides.

Each checks before it writes. `now` is the moment, in seconds since the Unix epoch. Where a session
takes part in replies or deadlines, `replying` does the rest; others pay nothing for it.
"""

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.backend import NOTHING_ELSE, Claimed, Claiming, Creation, Parking, Settled, Update
from greentic_session.expiry import NEVER, Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.tenancy import Owner
from greentic_session.transitions import Leaving
from greentic_session.wait import Wait

from . import replying
from .inboxes import to_complete
from .rows import (
    Row,
    at_place,
    by_key,
    delete,
    held_at,
    insert,
    latest_of,
    place_of,
    scope_text,
    to_claim_at,
    to_park_at,
    waits_of,
)
from .schema import FREE
from .shelves import Shelves

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
    "in_step",
    "list_waits",
    "park",
    "places_of",
    "release",
    "remaining_ms",
    "remove",
    "renew",
    "take_away",
    "touch",
    "update",
]

T = TypeVar("T")

Places = tuple[tuple[bytes, ReplyScope], ...]
"""The names of places, and their scopes, best first."""
_FORGOTTEN: Final = (("copies", "key", "forgotten"), ("copied_replies", "id", "forgotten"), ("deliveries", "id", "end"))
"""Tables of what is remembered for a time: the table, its key, and its end."""


def places_of(owner: Owner, scopes: tuple[ReplyScope, ...]) -> Places:
    """Return the places of an owner at some scopes."""
    return tuple((place_of(owner, scope.scope_hash()), scope) for scope in scopes)


# -- sessions, by key


def create(connection: sqlite3.Connection, creation: Creation, text: bytes, now: float, limits: ReplyLimits) -> bool:
    """As `SessionBackend.create`."""
    row = by_key(connection, creation.key)
    if transitions.is_live(row, now):
        return False
    take_away(connection, row, Leaving.EXPIRED, now, limits)
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


def remove(connection: sqlite3.Connection, key: str, ctx: TenantCtx | None, now: float, limits: ReplyLimits) -> bool:
    """As `SessionBackend.remove`."""
    row = transitions.visible(by_key(connection, key), ctx, now)
    return take_away(connection, row, Leaving.REMOVED, now, limits)


def touch(
    connection: sqlite3.Connection, key: str, ttl_ms: int | None, ctx: TenantCtx | None, now: float, limits: ReplyLimits
) -> bool:
    """As `SessionBackend.touch`."""
    row = transitions.visible(by_key(connection, key), ctx, now)
    if row is not None and row.takes_part:
        in_step(connection, now, limits, lambda shelves: replying.touch(shelves, shelves.taken_in(row), ttl_ms))
    elif row is not None:
        _set_end(connection, row, transitions.end_after(ttl_ms, now))
    return row is not None


def remaining_ms(connection: sqlite3.Connection, key: str, ctx: TenantCtx | None, now: float) -> int | Never | None:
    """As `SessionBackend.remaining_ms`."""
    row = transitions.visible(by_key(connection, key), ctx, now)
    if row is None:
        return None
    end = transitions.lifetime_end(row, now)
    return NEVER if end == NEVER_ENDS else max(round((end - now) * 1000), 1)


# -- waits, by scope


def park(
    connection: sqlite3.Connection, parking: Parking, place: bytes, text: bytes, now: float, limits: ReplyLimits
) -> Settled:
    """As `SessionBackend.park`."""
    holder, is_concerned = to_park_at(connection, place)
    # Who parks again where they wait, as most do, is read once.
    row = holder if holder is not None and holder.key == parking.key else by_key(connection, parking.key)
    if is_concerned or parking.resume or (row is not None and row.takes_part):
        return in_step(connection, now, limits, lambda shelves: replying.park(shelves, parking, place, text)[1])
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
        insert(connection, parking.key, parking.owner, text, end, place=place, scope=scope_text(parking.scope, now))
    else:
        token = session.token if parking.token is None else None
        if parked.moves:  # else its indices stay as they are
            connection.execute("UPDATE sessions SET place = ? WHERE id = ?", (place, session.id))
        connection.execute(
            "UPDATE sessions SET scope = ?, end = ?, token = ?, text = ? WHERE id = ?",
            (scope_text(parking.scope, now), end, token or FREE, text, session.id),
        )
    return NOTHING_ELSE if parked.displaced is None else Settled(parked.displaced.key)


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


def clear(connection: sqlite3.Connection, place: bytes, now: float, limits: ReplyLimits) -> None:
    """As `SessionBackend.clear`."""
    row = transitions.visible(held_at(connection, place), None, now)
    take_away(connection, row, Leaving.REMOVED, now, limits)


def find_by_user(connection: sqlite3.Connection, owner: Owner, now: float) -> Wait | None:
    """As `SessionBackend.find_by_user`."""
    waits = waits_of(connection, owner, now, 2, text=True)
    row = transitions.latest_or_only(waits, latest_of(connection, owner, text=True), now)
    wait = None if row is None else row.wait()
    return wait if wait is not None and tenancy.sees(owner, wait.data) else None


# -- claims


def claim(
    connection: sqlite3.Connection, claiming: Claiming, places: Places, now: float, limits: ReplyLimits
) -> Claimed | None:
    """As `SessionBackend.claim`."""
    for place, scope in places:
        found = to_claim_at(connection, place)
        if found is None or not transitions.is_live(found[0], now):
            continue
        row, takes_part = found
        held = transitions.claim(row, row.key, claiming.lease_ms, now)
        wait = _of_owner(row.wait(scope), claiming.owner)
        if wait is None:
            return None
        if takes_part:
            return in_step(connection, now, limits, lambda shelves: _claim_part(shelves, claiming, place, scope))  # noqa: B023
        _hold(connection, row, claiming.token, held)
        deadline = held.lease_end if held.lengthens else row.end
        return Claimed(wait, deadline=None if deadline == NEVER_ENDS else deadline)
    return None


def _claim_part(shelves: Shelves, claiming: Claiming, place: bytes, scope: ReplyScope) -> Claimed | None:
    row = shelves.at(place, text=True)
    return None if row is None else replying.claim(shelves, row, claiming, scope).claimed(claiming.owner)


def complete(connection: sqlite3.Connection, key: str, token: str, now: float, limits: ReplyLimits) -> Settled | None:
    """As `SessionBackend.complete`."""
    found = to_complete(connection, key)
    if found is None or not transitions.is_held(found.row, token, now):
        return None
    if found.row.takes_part:
        return in_step(connection, now, limits, lambda shelves: replying.complete(shelves, shelves.completing(found)))
    delete(connection, found.row)
    return NOTHING_ELSE


def release(connection: sqlite3.Connection, key: str, token: str, now: float, limits: ReplyLimits) -> bool:
    """As `SessionBackend.release`."""
    row = _held(connection, key, token, now)
    if row is not None and row.takes_part:
        in_step(connection, now, limits, lambda shelves: replying.release(shelves, shelves.taken_in(row)))
    elif row is not None:
        connection.execute("UPDATE sessions SET token = ? WHERE id = ?", (FREE, row.id))
    return row is not None


def renew(connection: sqlite3.Connection, key: str, token: str, lease_ms: int, now: float, limits: ReplyLimits) -> bool:
    """As `SessionBackend.renew`."""
    row = _held(connection, key, token, now)
    if row is not None and row.takes_part:
        in_step(connection, now, limits, lambda shelves: shelves.lease(shelves.taken_in(row), token, lease_ms))
    elif row is not None:
        _hold(connection, row, token, transitions.renew(row, lease_ms, now))
    return row is not None


# -- expiry


def free_expired(connection: sqlite3.Connection, now: float, most: int, limits: ReplyLimits) -> float | None:
    """Free some of what has expired; return when the next one will have, or None."""
    expired = "SELECT id FROM sessions WHERE end < 9e999 AND end <= ? ORDER BY end LIMIT ?"
    parts = connection.execute(
        f"SELECT s.key FROM ({expired}) e JOIN turns USING (id) JOIN sessions s USING (id)",  # noqa: S608  # a constant
        (now, most),
    ).fetchall()
    for (key,) in parts:
        in_step(connection, now, limits, lambda shelves, key=key: shelves.freed(shelves.by_key(key)))  # type: ignore[misc]  # no default is inferred
    plain = f"DELETE FROM sessions WHERE id IN ({expired}) AND NOT EXISTS (SELECT 1 FROM turns WHERE id = sessions.id)"  # noqa: S608
    connection.execute(plain, (now, most))
    run_out = "SELECT place FROM replies WHERE kept IS NOT NULL AND kept <= ? ORDER BY kept LIMIT ?"
    for (place,) in connection.execute(f"SELECT DISTINCT place FROM ({run_out})", (now, most)).fetchall():  # noqa: S608
        in_step(connection, now, limits, lambda shelves, place=place: shelves.waiting(place))  # type: ignore[misc]  # no default is inferred
    for table, id, end in _FORGOTTEN:
        over = f"SELECT {id} FROM {table} WHERE {end} < 9e999 AND {end} <= ? LIMIT ?"  # noqa: S608  # as above
        connection.execute(f"DELETE FROM {table} WHERE {id} IN ({over})", (now, most))  # noqa: S608  # as above
    ends = connection.execute(
        """
        SELECT min(end) FROM sessions WHERE end < 9e999
        UNION ALL SELECT min(kept) FROM replies WHERE kept IS NOT NULL
        UNION ALL SELECT min(end) FROM deliveries WHERE end < 9e999
        """
    )
    return min((end for (end,) in ends if end is not None), default=None)


# -- shared


def in_step(connection: sqlite3.Connection, now: float, limits: ReplyLimits, do: Callable[[Shelves], T]) -> T:
    """Change sessions and inboxes in one step of the transaction, and write what changed."""
    shelves = Shelves(connection, now, limits)
    result = do(shelves)
    shelves.flush()
    return result


def take_away(connection: sqlite3.Connection, row: Row | None, leaving: Leaving, now: float, limits: ReplyLimits) -> bool:
    """Remove a session with all that leads to it; say whether there is one."""
    if row is not None and row.takes_part:
        return in_step(connection, now, limits, lambda shelves: shelves.remove(shelves.taken_in(row), leaving))
    return delete(connection, row)


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
