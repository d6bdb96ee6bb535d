"""Replies and ids of deliveries of a copy: out of a SQLite store, and into one.

What was copied is remembered in ``copied_replies``, for 30 days: what became of it here since is
its runners', and it is not copied again.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from greentic_session import transitions
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope
from greentic_session.tenancy import Owner
from greentic_session.transitions import Leaving, Received

from .copying import NEAR_S, is_as_left
from .inboxes import delivery_name, known_delivery, renumber, update_letter
from .rows import Row, by_key, place_of
from .shelves import Shelves
from .walking import END

__all__ = [
    "Letter",
    "Settled",
    "copied_replies",
    "inboxes_behind",
    "lacking",
    "places_held",
    "remember_settled",
    "settle_copies",
    "settled_behind",
    "store_inbox",
]

_MONTH_S: Final = 30 * 86_400.0
_STEP_ROWS: Final = 250
"""Number of rows that a step looks at."""
_COLUMNS: Final = (
    "r.id, r.scope, r.delivery_id, r.sender, r.size, r.accepted, r.accepted_at, "
    "r.keep_until, r.token, r.held_until, r.kept, r.body"
)


class Letter(NamedTuple):
    """A row of ``replies``."""

    id: str
    scope: bytes
    delivery_id: str | None
    sender: str | None
    size: int
    accepted: float
    accepted_at: float
    keep_until: float
    token: str | None
    held_until: float
    kept: float | None
    body: bytes


class Settled(NamedTuple):
    """A row of ``deliveries`` whose reply was settled or removed."""

    owner: Owner
    name: bytes
    end: float


# -- out of a store


def inboxes_behind(
    connection: sqlite3.Connection, after: int, now: float
) -> tuple[list[tuple[Owner, bytes, list[Letter]]], int]:
    """Return some inboxes, each with its owner and its scope, and where to go on."""
    (first,) = connection.execute("SELECT min(serial) FROM replies WHERE serial > ?", (after,)).fetchone()
    if first is None:
        return [], END
    last = first + _STEP_ROWS - 1
    places = connection.execute(
        """
        SELECT place, env, tenant, team, user, at FROM replies r WHERE serial BETWEEN ? AND ?
        AND NOT EXISTS (SELECT 1 FROM replies o WHERE o.place = r.place AND o.serial < r.serial) ORDER BY serial
        """,
        (first, last),
    ).fetchall()
    found = []
    for place, env, tenant, team, user, at in places:
        lying = connection.execute(
            f"SELECT {_COLUMNS} FROM replies r WHERE r.place = ? ORDER BY r.serial",  # noqa: S608  # constants of ours
            (place,),
        )
        letters = [letter for letter in map(Letter._make, lying) if letter.kept is None or letter.kept > now]
        found.append(((env, tenant, team or None, user), at, letters))
    return found, last


def settled_behind(connection: sqlite3.Connection, after: int, now: float) -> tuple[list[Settled], int]:
    """Return some remembered ids of deliveries that were settled or removed, and where to go on."""
    rows = connection.execute(
        "SELECT id, env, tenant, team, user, name, end, reply FROM deliveries WHERE id > ? ORDER BY id LIMIT ?",
        (after, _STEP_ROWS),
    ).fetchall()
    found = [
        Settled((env, tenant, team or None, user), name, end)
        for _, env, tenant, team, user, name, end, reply in rows
        if reply is None and end > now
    ]
    return found, rows[-1][0] if rows else END


def lacking(connection: sqlite3.Connection, copies: Sequence[tuple[str, Owner, bytes]]) -> dict[str, bool]:
    """Return those of some replies that do not lie here, by their ids.

    Of each whether its delivery is forgotten, too.

    Args:
        connection: Where they came from.
        copies: Their ids, owners, and the names of their deliveries, empty without one.
    """
    ids = [id for id, _, _ in copies]
    marks = ",".join("?" * len(ids))
    there = {id for (id,) in connection.execute(f"SELECT id FROM replies WHERE id IN ({marks})", ids)}  # noqa: S608
    gone = dict[str, bool]()
    for id, owner, name in copies:
        if id not in there:
            known = known_delivery(connection, owner, name) if name else None
            gone[id] = bool(name) and (known is None or known.serial is not None)
    return gone


# -- into a store


def store_inbox(
    connection: sqlite3.Connection,
    source: str,
    owner: Owner,
    at: ReplyScope,
    letters: Sequence[Received],
    now: float,
) -> int:
    """Put what is new of an inbox behind what lies at its place; return how many replies that is.

    What was copied before, and nobody here has touched, is held and kept as it is there; among
    themselves they have the order that they have there.

    Args:
        connection: Where to.
        source: What copies are marked with.
        owner: Whose inbox it is.
        at: The scope of the place.
        letters: The replies, oldest first.
        now: The moment.
    """
    limits = ReplyLimits()
    shelves = Shelves(connection, now, limits)
    place = place_of(owner, at.scope_hash())
    wait = shelves.waiting(place)
    is_copy = wait is not None and _is_copy(connection, wait, source, now)
    count, is_changed = 0, False
    for received in letters:
        if wait is None and transitions.kept_until(received, limits) <= now:
            continue  # a wait has it there, which another pass brings
        reply = received.reply
        copied = connection.execute("SELECT source, token FROM copied_replies WHERE id = ?", (reply.id,)).fetchone()
        if copied is not None:
            if wait is None or is_copy:
                is_changed |= _follow(shelves, place, received, source, copied)
            continue
        name = delivery_name(reply.scope.conversation, reply.delivery_id)
        known = None if name is None else known_delivery(connection, owner, name)
        if known is not None and (known.serial is not None or known.end > now):
            continue
        shelves.accept(owner, place, at, received)
        values = (reply.id, source, received.token or "", now + _MONTH_S)
        connection.execute("INSERT INTO copied_replies VALUES (?, ?, ?, ?)", values)
        count += 1
    if count:
        _put_in_order(shelves, place, [received.reply.id for received in letters])
    if count or is_changed:
        _see_to(shelves, place, wait, is_copy=is_copy)
    shelves.flush()
    return count


def _put_in_order(shelves: Shelves, place: bytes, ids: Sequence[str]) -> None:
    """Let replies of an inbox lie in an order.

    What comes late, for its wait or an older reply of its delivery was in the way, has its place.
    """
    rank = {id: number for number, id in enumerate(ids)}
    mine = [letter for letter in shelves.inbox(place) if letter.received.reply.id in rank]
    serials = [letter.serial for letter in mine]
    mine.sort(key=lambda letter: rank[letter.received.reply.id])
    moved = [(letter, serial) for letter, serial in zip(mine, serials, strict=True) if letter.serial != serial]
    renumber(shelves.connection, moved)
    shelves.inbox(place).sort(key=lambda letter: letter.serial)


def _is_copy(connection: sqlite3.Connection, wait: Row, source: str, now: float) -> bool:
    """Say whether a wait is as the copy left it; nothing of it was changed in this step."""
    row = by_key(connection, wait.key, text=True)
    return row is not None and is_as_left(connection, row, source, now)


def _see_to(shelves: Shelves, place: bytes, wait: Row | None, *, is_copy: bool) -> None:
    """See to a place whose inbox has changed."""
    if wait is None:
        shelves.prune(place)
    elif is_copy:  # what its replies prolong has been prolonged where it comes from
        shelves.restore(wait)
    else:
        shelves.refresh(wait)


def _follow(shelves: Shelves, place: bytes, received: Received, source: str, copied: tuple[str, str]) -> bool:
    """Let a reply that was copied be held as it is where it comes from; say whether that is new."""
    letter = shelves.letter_of(place, received.reply.id)
    if letter is None or copied[0] != source or letter.received.token not in (None, copied[1]):
        return False
    mine = letter.received
    is_held_alike = mine.token == received.token and abs(mine.held_until - received.held_until) <= NEAR_S
    if is_held_alike and abs(mine.keep_until - received.keep_until) <= NEAR_S:
        return False
    there = replace(mine, token=received.token, held_until=received.held_until, keep_until=received.keep_until)
    update_letter(shelves.connection, letter, there, letter.kept)
    shelves.connection.execute("UPDATE copied_replies SET token = ? WHERE id = ?", (received.token or "", mine.reply.id))
    return True


def remember_settled(connection: sqlite3.Connection, settled: Sequence[Settled], now: float) -> None:
    """Remember ids of deliveries that are not known here."""
    for owner, name, end in settled:
        env, tenant, team, user = owner
        known = known_delivery(connection, owner, name)
        if end > now and (known is None or (known.serial is None and known.end < end)):
            connection.execute(
                "INSERT OR REPLACE INTO deliveries (name, env, tenant, team, user, end) VALUES (?, ?, ?, ?, ?, ?)",
                (name, env, tenant, team or "", user, end),
            )


def copied_replies(
    connection: sqlite3.Connection, source: str, after: str, most: int
) -> list[tuple[str, Owner, bytes, bytes | None]]:
    """Return some replies that were copied from a source and lie here, by id, behind one.

    Of each its id, its owner, the scope of its place, and the name of its delivery.
    """
    found = connection.execute(
        """
        SELECT c.id, r.env, r.tenant, r.team, r.user, r.at, r.delivery FROM copied_replies c JOIN replies r ON r.id = c.id
        WHERE c.id > ? AND c.source = ? ORDER BY c.id LIMIT ?
        """,
        (after, source, most),
    )
    return [(id, (env, tenant, team or None, user), at, name) for id, env, tenant, team, user, at, name in found]


def places_held(connection: sqlite3.Connection, token: str) -> tuple[bytes, ...]:
    """Return the scopes of the places where a claim holds replies."""
    found = connection.execute("SELECT DISTINCT at FROM replies WHERE token = ?", (token,))
    return tuple([at for (at,) in found])


def settle_copies(connection: sqlite3.Connection, source: str, gone: Mapping[str, bool], now: float) -> None:
    """Settle those of some replies that nobody here holds: that has happened where they come from.

    Args:
        connection: Where they were copied to.
        source: What copies are marked with.
        gone: Their ids; of each whether its delivery is forgotten there.
        now: The moment.
    """
    shelves = Shelves(connection, now, ReplyLimits())
    for id, is_forgotten in gone.items():
        found = connection.execute(
            "SELECT r.place, c.token FROM replies r JOIN copied_replies c ON c.id = r.id WHERE r.id = ?", (id,)
        ).fetchone()
        if found is None:
            continue
        place, token = found
        wait = shelves.waiting(place)
        is_copy = wait is not None and _is_copy(connection, wait, source, now)
        letter = shelves.letter_of(place, id)  # what had run out is gone now
        if letter is not None and (token == letter.received.token or not transitions.is_held_now(letter.received, now)):
            shelves.take_out(letter, Leaving.LEFT_OVER if is_forgotten else Leaving.SETTLED)
            _see_to(shelves, place, wait, is_copy=is_copy)
    shelves.flush()
