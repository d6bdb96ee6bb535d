"""Sessions and inboxes of one step that take part in replies and deadlines, kept consistent.

It reads rows when they are asked for, lets `transitions` decide, and keeps sessions, inboxes, ids
of deliveries and the order in which tenants take turns in agreement. Sessions are changed in
memory, and written by `flush`, each once; all else is written at once.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from greentic_session import transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply
from greentic_session.tenancy import Identity, Owner
from greentic_session.transitions import AtOnce, Leaving, Lifetime, Received

from .inboxes import (
    Completing,
    Letter,
    delete_letters,
    delivery_name,
    forget_delivery,
    insert_letter,
    keep_delivery,
    letters_at,
    place_of_letter,
    places_held_by,
    replies_of,
    update_letter,
)
from .ranks import Tenant, bring_forward, serve
from .rows import Row, by_key, held_at, insert, scope_text, to_deliver_at
from .schema import FREE

__all__ = ["Shelves"]

_GONE: Final = float("-inf")
"""The end of a session that was removed: before every moment."""


class Shelves:
    """Sessions and inboxes that one step reads and changes.

    Args:
        connection: Within a transaction that writes.
        now: The moment.
        limits: The options of the store.
    """

    def __init__(self, connection: sqlite3.Connection, now: float, limits: ReplyLimits) -> None:
        self.connection = connection
        self.now = now
        self.limits = limits
        self._rows: dict[int, Row] = {}
        self._inboxes: dict[bytes, list[Letter]] = {}
        self._traced: set[str] = set()
        self._changed: dict[int, Row] = {}
        self._served: set[Tenant] = set()

    # -- sessions

    def known(self, row: Row | None) -> Row | None:
        """Return the row that this step knows for one that was read; None if it is gone."""
        if row is None:
            return None
        known = self._rows.setdefault(row.id, row)
        if known.text is None:
            known.text = row.text
        return None if known.end == _GONE else known

    def taken_in(self, row: Row) -> Row:
        """Take in a session that was read before this step, in the same transaction."""
        return self._rows.setdefault(row.id, row)

    def completing(self, found: Completing) -> Row:
        """Take in a session and what lies at its place, which were read as `taken_in` says."""
        row, letters, held = found
        if row.place is not None:
            self._inboxes[row.place] = letters
        if row.token is not None and held == sum(letter.received.token == row.token for letter in letters):
            self._traced.add(row.token)  # nothing elsewhere
        return self.taken_in(row)

    def by_key(self, key: str) -> Row | None:
        """Return the session under a key, live or not."""
        for row in self._rows.values():
            if row.key == key and row.end != _GONE:
                return row
        return self.known(by_key(self.connection, key))

    def at(self, place: bytes, *, text: bool = False) -> Row | None:
        """Return what waits at a place, live or not."""
        if text:
            read, lies = to_deliver_at(self.connection, place)
            if read is not None and not lies:
                self._inboxes.setdefault(place, [])
            found = self.known(read)
        else:
            for row in self._rows.values():
                if row.place == place:
                    return row
            found = self.known(held_at(self.connection, place))
        return found if found is not None and found.place == place else None

    def held(self, key: str, token: str) -> Row | None:
        """Return the session of a live claim."""
        row = self.by_key(key)
        return row if transitions.is_held(row, token, self.now) else None

    def freed(self, row: Row | None) -> Row | None:
        """Return a session that is live; one that has expired is gone afterwards."""
        if row is None or transitions.is_live(row, self.now):
            return row
        self.remove(row, Leaving.EXPIRED)
        return None

    def waiting(self, place: bytes, *, text: bool = False) -> Row | None:
        """Return what waits at a place; what had run out there is gone afterwards."""
        row = self.freed(self.at(place, text=text))
        if row is None:
            self.prune(place)
        return row

    def add(self, key: str, identity: Identity, text: bytes) -> Row:
        """Add a session that is no wait yet."""
        insert(self.connection, key, identity, text, NEVER_ENDS)
        row = by_key(self.connection, key)
        assert row is not None
        self._rows[row.id] = row
        return row

    def write_text(self, row: Row, text: bytes) -> None:
        """Give a session another text."""
        row.text = text
        self.connection.execute("UPDATE sessions SET text = ? WHERE id = ?", (text, row.id))

    def change(self, row: Row) -> None:
        """Mark a session for `flush`, which writes it."""
        self._changed[row.id] = row

    def place(self, row: Row, place: bytes, scope: ReplyScope) -> None:
        """Make a session the wait of a place; what lies there is its inbox now.

        What had run out there is gone by then.
        """
        scope_json = scope_text(scope, self.now)
        if row.place != place:
            self.connection.execute("UPDATE sessions SET place = ? WHERE id = ?", (place, row.id))
        if row.stored_scope != scope_json:
            self.connection.execute("UPDATE sessions SET scope = ? WHERE id = ?", (scope_json, row.id))
        row.place, row.stored_scope = place, scope_json
        self.settle_in(row, place)

    def settle_in(self, row: Row, place: bytes) -> None:
        """Join a wait with the inbox of its place."""
        for letter in self.inbox(place):
            update_letter(self.connection, letter, letter.received, None)
        self.change(row)

    def unplace(self, row: Row) -> None:
        """Make it no wait any more; it stays readable. Its inbox is somebody else's care."""
        if row.place is None:
            return
        row.place = row.stored_scope = None
        self.connection.execute("UPDATE sessions SET place = NULL, scope = NULL WHERE id = ?", (row.id,))
        row.due = NEVER_ENDS
        self.change(row)

    def displace(self, row: Row) -> None:
        """Make it no wait any more, for another takes its place and its inbox."""
        self.unplace(row)
        self.live(row, transitions.take_deadline(row))

    def remove(self, row: Row | None, leaving: Leaving) -> bool:
        """Remove a session with all that leads to it; say whether there was one."""
        if row is None:
            return False
        left_at = min(row.end, self.now)
        row.end = _GONE
        self._changed.pop(row.id, None)
        self.connection.execute("DELETE FROM sessions WHERE id = ?", (row.id,))
        if row.takes_part:
            self.connection.execute("DELETE FROM turns WHERE id = ?", (row.id,))
        place, row.place = row.place, None
        if place is not None:
            self._leave(place, row.token, leaving, left_at)
        self.give_back(row)
        return True

    # -- lifetimes and readiness

    def live(self, row: Row, lifetime: Lifetime) -> None:
        """Give a session a lifetime, which its inbox may prolong; see to when it is ready."""
        row.deadline, row.rest_end = lifetime.deadline, lifetime.rest_end
        self.refresh(row)

    def refresh(self, row: Row) -> None:
        """Compute anew when a session ends and when it is ready, after a change."""
        if row.end == _GONE:
            return
        inbox = () if row.place is None else self.received(row.place)
        end = transitions.storage_end(row, inbox, self.limits)
        if end <= self.now:
            self.remove(row, Leaving.EXPIRED)
            return
        row.end = end
        self._see_due(row, inbox)

    def restore(self, row: Row) -> None:
        """Compute when a session that was copied is ready; its end is copied, too."""
        self._see_due(row, () if row.place is None else self.received(row.place))

    def _see_due(self, row: Row, inbox: Sequence[Received]) -> None:
        row.due = transitions.due_at(row, inbox, self.now, row.due) if row.waits else NEVER_ENDS
        self.change(row)

    def lease(self, row: Row, token: str, lease_ms: int) -> None:
        """Begin or renew the lease of a claim, also on the replies that it holds."""
        if row.token != token:
            self._traced.add(token)  # a new claim, which holds nothing yet
        row.token, row.lease_end = token, transitions.end_after(lease_ms, self.now)
        for letter in self._held_letters(row):
            self._store(letter, transitions.hold(letter.received, token, row.lease_end))
            self.refresh_place(letter.place, row)
        self.live(row, transitions.lengthen(row, row.lease_end))

    def claim_at_once(self, row: Row, owner: Owner, place: bytes, at: ReplyScope, made: AtOnce) -> None:
        """Store the usual delivery: the reply is put in as one that is held."""
        self.accept(owner, place, at, made.received)
        row.turn, row.token, row.lease_end = made, made.delivering.token, made.lease_end
        row.deadline, row.rest_end, row.end = made.deadline, made.rest_end, made.end
        row.due = row.lease_end
        self.change(row)

    def serve(self, owner: Identity) -> None:
        """Put a tenant behind the others: it had its turn."""
        self._served.add(owner[:2])

    # -- inboxes

    def inbox(self, place: bytes) -> list[Letter]:
        """Return what lies at a place, oldest first."""
        found = self._inboxes.get(place)
        if found is None:
            found = self._inboxes[place] = letters_at(self.connection, place)
        return found

    def received(self, place: bytes) -> tuple[Received, ...]:
        """Return the same for `transitions`."""
        return tuple([letter.received for letter in self.inbox(place)])

    def accept(self, owner: Owner, place: bytes, at: ReplyScope, received: Received) -> Letter:
        """Put a reply at the end of an inbox."""
        name = delivery_name(received.reply.scope.conversation, received.reply.delivery_id)
        inbox = self.inbox(place)
        letter = insert_letter(self.connection, owner, place, at, received, name)
        inbox.append(letter)
        return letter

    def letter_of(self, place: bytes, reply_id: str) -> Letter | None:
        """Return a reply of a place."""
        return next((letter for letter in self.inbox(place) if letter.received.reply.id == reply_id), None)

    def prune(self, place: bytes) -> None:
        """Prune the replies of a place where nothing waits, and note when the others run out."""
        gone = []
        for letter in self.inbox(place):
            end = transitions.kept_until(letter.received, self.limits)
            if end <= self.now:
                gone.append(letter)
            else:
                update_letter(self.connection, letter, transitions.lapse(letter.received, self.now, self.limits), end)
        self._take_out(gone, None)

    def refresh_place(self, place: bytes, but: Row | None) -> None:
        """Prune an inbox that changed, and refresh its wait, if that is another than `but`."""
        wait = self.at(place)
        if wait is None:
            self.prune(place)
        elif wait is not but:
            self.refresh(wait)

    def hold(self, row: Row, letter: Letter) -> None:
        """Mark a reply of the place as held by the claim on the session."""
        if row.token is not None:  # pragma: no branch  # it is claimed
            self._store(letter, transitions.hold(letter.received, row.token, row.lease_end))

    def settle(self, row: Row) -> None:
        """Take out what a claim holds, for its verdict has come."""
        for letter in self._held_letters(row):
            self._take_out([letter], Leaving.SETTLED)
            self.refresh_place(letter.place, row)

    def give_back(self, row: Row) -> None:
        """Give back the replies that a claim holds: it ends without a verdict."""
        for letter in self._held_letters(row):
            waits = transitions.is_live(self.at(letter.place), self.now)
            self._store(letter, transitions.give_back(letter.received, self.now, self.limits, waits=waits))
            self.refresh_place(letter.place, row)

    def leave(self, row: Row, leaving: Leaving) -> tuple[Reply, ...]:
        """Take out what lies at a place that its wait leaves now; return what that was."""
        place = row.place
        if place is None:
            return ()
        self.unplace(row)
        return self._leave(place, row.token, leaving, self.now)

    def take_out(self, letter: Letter, leaving: Leaving) -> None:
        """Let a reply leave its inbox; the caller sees to its place."""
        self._take_out([letter], leaving)

    def forget(self, serials: Sequence[int]) -> None:
        """Take replies out, with the ids of their deliveries."""
        places = {place for serial in serials if (place := place_of_letter(self.connection, serial)) is not None}
        doomed = set(serials)
        for place in sorted(places):
            self._take_out([letter for letter in self.inbox(place) if letter.serial in doomed], None)
            self.refresh_place(place, None)

    def _leave(self, place: bytes, token: str | None, leaving: Leaving, left_at: float) -> tuple[Reply, ...]:
        if not self.inbox(place):
            return ()
        left = transitions.leave(self.received(place), token, leaving, left_at, self.now, self.limits)
        staying = {received.reply.id: received for received in left.staying}
        gone = [letter for letter in self.inbox(place) if letter.received.reply.id not in staying]
        told = replies_of(self.connection, [letter.serial for letter in gone]) if leaving is Leaving.LEFT_OVER else ()
        self._take_out(gone, leaving)
        for letter in self.inbox(place):
            self._store(letter, staying[letter.received.reply.id])
        self.prune(place)
        return told

    def _held_letters(self, row: Row) -> list[Letter]:
        """Return what the claim on a session holds."""
        token = row.token
        if token is None or not row.takes_part:
            return []
        if token not in self._traced:
            self._traced.add(token)
            for place in places_held_by(self.connection, token):
                self.inbox(place)
        held = [letter for inbox in self._inboxes.values() for letter in inbox if letter.received.token == token]
        return sorted(held, key=lambda letter: letter.serial)

    def _store(self, letter: Letter, received: Received) -> None:
        if received != letter.received:
            update_letter(self.connection, letter, received, letter.kept)

    def _take_out(self, letters: list[Letter], leaving: Leaving | None) -> None:
        """Remove replies from the store; None: they ran out, and their deliveries are forgotten."""
        if not letters:
            return
        for letter in letters:
            self._inboxes[letter.place].remove(letter)
            if letter.delivery is not None:
                end = None if leaving is None else transitions.id_end(letter.received, leaving, self.now, self.limits)
                if end is None or end <= self.now:
                    forget_delivery(self.connection, letter)
                else:
                    keep_delivery(self.connection, letter, end)
        delete_letters(self.connection, letters)

    # -- the end of the step

    def flush(self) -> None:
        """Write the sessions that changed, and whose turn it is."""
        for row in self._changed.values():
            self._write(row)
        for tenant in self._served:
            serve(self.connection, tenant, self.now)
        self._changed.clear()
        self._served.clear()

    def _write(self, row: Row) -> None:
        self.connection.execute(
            "UPDATE sessions SET end = ?, token = ?, lease_end = ? WHERE id = ?",
            (row.end, row.token or FREE, row.lease_end, row.id),
        )
        if not row.takes_part:
            has_inbox = row.place is not None and bool(self.inbox(row.place))
            row.takes_part = has_inbox or row.resume or row.is_new or row.turn is not None or row.put_off != 0.0
            if not row.takes_part:
                return
        env, tenant, team, _ = row.identity
        turn = row.turn
        self.connection.execute(
            "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(row.id, env, tenant, team or "", row.deadline, row.rest_end, row.resume, row.put_off, row.is_new),
                *((None, 0, None) if turn is None else (turn.about, turn.failed, turn.key)),
                row.due,
            ),
        )
        if row.due < row.announced:
            bring_forward(self.connection, (env, tenant), row.due, self.now)
        row.announced = row.due
