"""Rows of replies and of the ids of deliveries: reading and changing them."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from greentic_session._base.dates import EPOCH, date_of
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply, delivery_hash
from greentic_session.tenancy import Owner
from greentic_session.transitions import Kept, Received

from .rows import Row, part_of_row, scope_text

__all__ = [
    "Completing",
    "Known",
    "Letter",
    "accepted",
    "delete_letters",
    "delivery_name",
    "forget_delivery",
    "insert_letter",
    "keep_delivery",
    "known_delivery",
    "letters_at",
    "place_of_letter",
    "places_held_by",
    "renumber",
    "replies_of",
    "reply_from",
    "to_complete",
    "total_kept",
    "update_letter",
]

_NOWHERE: Final = ReplyScope("")
_SCOPES: Final = msgspec.json.Decoder(ReplyScope)
_LETTER: Final = "serial, id, place, size, accepted, keep_until, token, held_until, kept, delivery"
_TO_COMPLETE: Final = (
    "SELECT session, at_place, end, claim, lease_end, counted, "  # noqa: S608  # constants of ours
    f"{', '.join(f'r.{column}' for column in _LETTER.split(', '))} FROM ("
    "SELECT s.id AS session, s.place AS at_place, s.end, s.token AS claim, s.lease_end, "
    "iif(t.id IS NULL, NULL, (SELECT count(*) FROM replies h WHERE h.token = s.token)) AS counted "
    "FROM sessions s LEFT JOIN turns t ON t.id = s.id WHERE s.key = ? LIMIT 1"  # the limit: else each reply counts anew
    ") LEFT JOIN replies r ON r.place = iif(counted IS NULL, NULL, at_place)"
)
_REPLY: Final = "serial, id, body, scope, accepted_at, delivery_id, sender"
_AT_ONCE: Final = 500
"""Number of serials that one statement names."""


class Letter:
    """An unsettled reply as it is stored, without its body: `received` is for `transitions`.

    Attributes:
        serial: The order of acceptance.
        place: Where it lies.
        kept: When it runs out where nothing waits; None where something does.
        delivery: The name of its delivery; None where it has no id.
        received: What rules ask for; its reply has an id, and nothing else.
    """

    __slots__ = ("delivery", "kept", "place", "received", "serial")

    def __init__(self, columns: tuple[Any, ...]) -> None:
        serial, id, place, size, accepted, keep_until, token, held_until, kept, delivery = columns
        self.serial: int = serial
        self.place: bytes = place
        self.kept: float | None = kept
        self.delivery: bytes | None = delivery
        reply = Reply(id, "", _NOWHERE, EPOCH)
        self.received: Received = Received(reply, size, accepted, keep_until, token, held_until)


class Completing(NamedTuple):
    """What has to be known of a session whose claim is to be completed.

    Attributes:
        row: The session, without what only matters if it stays.
        letters: What lies at its place; of one that takes no part in replies, nothing.
        held: How many replies its last claim holds, there or elsewhere.
    """

    row: Row
    letters: list[Letter]
    held: int


class Known(msgspec.Struct, frozen=True, gc=False):
    """An id of a delivery that is remembered.

    Attributes:
        serial: Of its reply; None once that was settled or removed.
        end: Until when it is remembered then.
    """

    serial: int | None
    end: float


# -- replies


def letters_at(connection: sqlite3.Connection, place: bytes) -> list[Letter]:
    """Return what lies at a place, run out or not, oldest first."""
    found = connection.execute(f"SELECT {_LETTER} FROM replies WHERE place = ? ORDER BY serial", (place,))  # noqa: S608
    return list(map(Letter, found))


def to_complete(connection: sqlite3.Connection, key: str) -> Completing | None:
    """Return the session under a key, live or not, with what lies at its place."""
    found = connection.execute(_TO_COMPLETE, (key,)).fetchall()
    if not found:
        return None
    id, place, end, token, lease_end, held, *_ = found[0]
    row = part_of_row(id, key, place, end, token, lease_end)
    if held is None:
        return Completing(row, [], 0)
    row.takes_part = True
    letters = [Letter(columns[6:]) for columns in found if columns[6] is not None]
    letters.sort(key=lambda letter: letter.serial)
    return Completing(row, letters, held)


def places_held_by(connection: sqlite3.Connection, token: str) -> list[bytes]:
    """Return where replies lie that a claim holds, a place for each reply."""
    return [place for (place,) in connection.execute("SELECT place FROM replies WHERE token = ?", (token,))]


def place_of_letter(connection: sqlite3.Connection, serial: int) -> bytes | None:
    """Return where a reply lies; None if it is gone."""
    found = connection.execute("SELECT place FROM replies WHERE serial = ?", (serial,)).fetchone()
    return None if found is None else found[0]


def renumber(connection: sqlite3.Connection, moved: Sequence[tuple[Letter, int]]) -> None:
    """Give replies each other's serials."""
    for sign in (-1, 1):  # below zero nothing is in the way
        for letter, serial in moved:
            numbers = (sign * serial, letter.serial)
            connection.execute("UPDATE replies SET serial = ? WHERE serial = ?", numbers)
            connection.execute("UPDATE deliveries SET reply = ? WHERE reply = ? AND name = ?", (*numbers, letter.delivery))
            letter.serial = sign * serial


def replies_of(connection: sqlite3.Connection, serials: Sequence[int]) -> tuple[Reply, ...]:
    """Return replies in the order of their acceptance, with their bodies."""
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(serials), _AT_ONCE):
        some = serials[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        found += connection.execute(f"SELECT {_REPLY} FROM replies WHERE serial IN ({marks})", some)  # noqa: S608
    return tuple([reply_from(columns[1:]) for columns in sorted(found, key=lambda columns: columns[0])])


def reply_from(columns: tuple[Any, ...]) -> Reply:
    """Return a reply from the columns id, body, scope, accepted_at, delivery_id and sender."""
    id, body, scope, accepted_at, delivery_id, sender = columns
    moment = date_of(accepted_at)
    return Reply(id, body.decode(), _SCOPES.decode(scope), moment, delivery_id, sender)


def insert_letter(
    connection: sqlite3.Connection,
    owner: Owner,
    place: bytes,
    at: ReplyScope,
    received: Received,
    delivery: bytes | None,
) -> Letter:
    """Put a reply at the end of the inbox of a place.

    Args:
        connection: Where to.
        owner: Whose wait it answers.
        place: The name of the place.
        at: Its scope.
        received: The reply.
        delivery: The name of its delivery, which is new; None without an id.
    """
    env, tenant, team, user = owner
    reply = received.reply
    columns = (reply.id, place, env, tenant, team or "", user, scope_text(at), scope_text(reply.scope), delivery)
    told = (reply.accepted_at - EPOCH).total_seconds()
    serial = connection.execute(
        """
        INSERT INTO replies (
            id, place, env, tenant, team, user, at, scope, delivery, delivery_id, sender,
            size, accepted, accepted_at, keep_until, token, held_until, kept, body
        )
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)
        """,
        (
            *columns,
            reply.delivery_id,
            reply.sender,
            received.size,
            received.accepted,
            told,
            received.keep_until,
            received.token,
            received.held_until,
            reply.text.encode(),
        ),
    ).lastrowid
    assert serial is not None
    if delivery is not None:
        connection.execute(
            "INSERT OR REPLACE INTO deliveries (name, env, tenant, team, user, reply, end) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (delivery, env, tenant, team or "", user, serial, NEVER_ENDS),
        )
    letter = Letter((serial, reply.id, place, received.size, 0.0, 0.0, None, 0.0, None, delivery))
    letter.received = received
    return letter


def update_letter(connection: sqlite3.Connection, letter: Letter, received: Received, kept: float | None) -> None:
    """Store what became of a reply, if anything did."""
    if received is letter.received and kept == letter.kept:
        return
    letter.received, letter.kept = received, kept
    connection.execute(
        "UPDATE replies SET keep_until = ?, token = ?, held_until = ?, kept = ? WHERE serial = ?",
        (received.keep_until, received.token, received.held_until, kept, letter.serial),
    )


def delete_letters(connection: sqlite3.Connection, letters: Iterable[Letter]) -> None:
    """Take replies out of the store; the ids of their deliveries are somebody else's care."""
    connection.executemany("DELETE FROM replies WHERE serial = ?", [(letter.serial,) for letter in letters])


def total_kept(connection: sqlite3.Connection, owner: Owner, now: float) -> Kept:
    """Count the replies of an owner at places where nothing waits."""
    env, tenant, team, user = owner
    statement = """
        SELECT count(*), total(size) FROM replies
        WHERE user = ? AND tenant = ? AND env = ? AND team = ? AND kept IS NOT NULL AND kept > ?
    """
    count, size = connection.execute(statement, (user, tenant, env, team or "", now)).fetchone()
    return Kept(count, int(size))


def accepted(connection: sqlite3.Connection) -> int:
    """Return how many replies were accepted, or copied here."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'replies'").fetchone()
    return 0 if found is None else int(found[0])


# -- ids of deliveries


def delivery_name(conversation: str, delivery_id: str | None) -> bytes | None:
    """Return what a delivery is called, with its owner; None without an id."""
    if delivery_id is None:
        return None
    return delivery_hash(conversation, delivery_id)


def known_delivery(connection: sqlite3.Connection, owner: Owner, name: bytes) -> Known | None:
    """Return what is known of a delivery, forgotten by now or not."""
    env, tenant, team, user = owner
    statement = "SELECT reply, end FROM deliveries WHERE name = ? AND user = ? AND tenant = ? AND env = ? AND team = ?"
    found = connection.execute(statement, (name, user, tenant, env, team or "")).fetchone()
    return None if found is None else Known(*found)


def keep_delivery(connection: sqlite3.Connection, letter: Letter, end: float) -> None:
    """Remember the delivery of a reply that leaves the store, until `end`."""
    connection.execute(
        "UPDATE deliveries SET reply = NULL, end = ? WHERE name = ? AND reply = ?", (end, letter.delivery, letter.serial)
    )


def forget_delivery(connection: sqlite3.Connection, letter: Letter) -> None:
    """Forget the delivery of a reply that leaves the store."""
    connection.execute("DELETE FROM deliveries WHERE name = ? AND reply = ?", (letter.delivery, letter.serial))
