"""Deliveries, and what is ready: operations within a transaction.

As in `replying`, each checks before it writes, and `transitions` decides.
"""

import sqlite3
from typing import Final

from greentic_session import tenancy, transitions
from greentic_session._base.dates import date_of
from greentic_session.backend import (
    Backlog,
    Beginning,
    Delivered,
    Delivering,
    Lying,
    Readiness,
    Readying,
    Rewriting,
)
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import DeliveryOutcome, Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import Kept, Leaving

from . import replying
from .inboxes import Letter, delivery_name, known_delivery, letters_at, place_of_letter, replies_of, total_kept
from .ranks import set_right
from .replying import Begun
from .rows import Row, first_due, held_at, place_of
from .shelves import Shelves

__all__ = ["claim_ready", "deliver", "inbox", "readiness", "rewrite", "soonest"]

_MAX_FREED: Final = 50
"""How often one search frees an expired wait, or sets ranks right, that is in its way."""
_MAX_COUNTED: Final = 10_000
"""Limit of the waits that are counted as ready: these take a few milliseconds."""


# -- deliveries


def deliver(shelves: Shelves, delivering: Delivering, begin_text: bytes) -> tuple[Delivered, Begun | None]:
    """As `SessionBackend.deliver`; the claim is told apart."""
    owner, now, limits = delivering.owner, shelves.now, shelves.limits
    scope, letter = delivering.scopes[0], None
    place = place_of(owner, scope.scope_hash())
    name = delivery_name(scope.conversation, delivering.delivery_id)
    if name is not None:
        known = known_delivery(shelves.connection, owner, name)
        if known is not None and known.serial is not None:
            # What has run out at its place is found out by looking there.
            lies_at = place_of_letter(shelves.connection, known.serial)
            if lies_at is not None:
                shelves.waiting(lies_at)
                known = known_delivery(shelves.connection, owner, name)
                if known is not None and known.serial is not None:
                    serial = known.serial
                    letter = next(one for one in shelves.inbox(lies_at) if one.serial == serial)
                    place = lies_at
        if letter is None and known is not None and known.end > now:
            return Delivered(DeliveryOutcome.DUPLICATE), None
    row = None
    if letter is None and len(delivering.scopes) > 1:
        plain = place_of(owner, delivering.scopes[-1].scope_hash())
        if shelves.waiting(place) is None and (row := shelves.waiting(plain)) is not None:
            scope, place = delivering.scopes[-1], plain  # without its correlation
    row = shelves.waiting(place, text=True)
    if row is not None and letter is None and not shelves.inbox(place):
        made = transitions.claim_at_once(delivering, row, date_of(now), limits, now)
        if made is not None:
            shelves.claim_at_once(row, owner, place, scope.normalized(), made)
            return Delivered(DeliveryOutcome.CLAIMED, made.reply), Begun(row, scope, made.key, 1, (made.reply,))
    kept = total_kept(shelves.connection, owner, now) if row is None and delivering.keep_ms is not None else Kept()
    received = None if letter is None else letter.received
    outcome = transitions.deliver(delivering, row, shelves.received(place), received, kept, limits, now)
    if outcome is DeliveryOutcome.UNMATCHED:
        return Delivered(outcome), None
    if letter is None:
        if row is None and delivering.beginning is not None:
            row = _begin(shelves, owner, scope, place, delivering.beginning, begin_text)
        letter = shelves.accept(
            owner, place, scope.normalized(), transitions.receive(delivering, outcome, date_of(now), now)
        )
        if row is None:
            shelves.prune(place)
        reply = letter.received.reply
    else:
        [reply] = replies_of(shelves.connection, [letter.serial])
    if outcome is not DeliveryOutcome.CLAIMED or row is None:
        if row is not None:
            shelves.refresh(row)
        return Delivered(outcome, reply), None
    told = scope if place == place_of(owner, scope.scope_hash()) else row.known_scope
    begun = _start_turn(shelves, row, told, delivering.token, delivering.turn_key, delivering.lease_ms, reply)
    return Delivered(outcome, reply), begun


def _begin(shelves: Shelves, owner: Owner, scope: ReplyScope, place: bytes, beginning: Beginning, text: bytes) -> Row:
    key = beginning.key
    if shelves.freed(shelves.by_key(key)) is not None:
        raise tenancy.taken(key)
    row, _ = replying.park(shelves, beginning.parking(owner, scope), place, text)
    row.is_new, row.text = True, text
    return row


def _start_turn(
    shelves: Shelves,
    row: Row,
    scope: ReplyScope | None,
    token: str,
    turn_key: str,
    lease_ms: int,
    known: Reply | None = None,
) -> Begun:
    """Begin an attempt of a claim; `known` is a reply that need not be read again."""
    letters: list[Letter] = [] if row.place is None else shelves.inbox(row.place)
    begun = transitions.begin(row, [letter.received for letter in letters], turn_key, shelves.now)
    row.turn = begun.turn
    held = next((letter for letter in letters if letter.received is begun.held), None)
    shelves.lease(row, token, lease_ms)
    replies: tuple[Reply, ...] = ()
    if held is not None:
        is_known = known is not None and known.id == held.received.reply.id
        replies = (known,) if known is not None and is_known else replies_of(shelves.connection, [held.serial])
        shelves.hold(row, held)
    return Begun(row, scope, begun.turn.key, begun.attempt, replies, timed_out=begun.held is None)


# -- what is ready


def soonest(connection: sqlite3.Connection, ctx: TenantCtx | None) -> float | None:
    """Return since when something is ready, or when it will be: one look at an index.

    For all tenants it may be too early, which `claim_ready` sets right: see `ranks`.
    """
    if ctx is None:
        found = connection.execute("SELECT rank FROM tenants ORDER BY rank LIMIT 1").fetchone()
    else:
        where, values = _of(ctx)
        statement = f"SELECT due FROM turns t WHERE {where} AND due < 9e999 ORDER BY due LIMIT 1"  # noqa: S608  # a constant
        found = connection.execute(statement, values).fetchone()
    return None if found is None else found[0]


def _of(ctx: TenantCtx) -> tuple[str, list[str]]:
    """Return the condition that turns are those that a context administers, and its values."""
    if ctx.effective_team is None:
        return "t.tenant = ? AND t.env = ?", [ctx.tenant_id, ctx.env]
    return "t.tenant = ? AND t.env = ? AND t.team = ?", [ctx.tenant_id, ctx.env, ctx.effective_team]


def claim_ready(shelves: Shelves, readying: Readying) -> tuple[Readiness, Begun | None] | None:
    """As `SessionBackend.claim_ready`; the claim is told apart.

    None: what it met had expired, or was not due any more, and it is to be asked again.
    """
    ctx, now = readying.ctx, shelves.now
    for _ in range(_MAX_FREED):
        shelves.flush()  # what was freed is in nobody's way any more
        if ctx is None and set_right(shelves.connection):
            continue
        row = shelves.known(first_due(shelves.connection, ctx))
        if row is None:
            return Readiness(), None
        if row.due > now:
            return Readiness(next_ms=max(round((row.due - now) * 1000), 1)), None
        if shelves.freed(row) is not None:
            shelves.serve(row.identity)
            scope = row.known_scope
            begun = _start_turn(shelves, row, scope, readying.token, readying.turn_key, readying.lease_ms)
            return Readiness(), begun
    return None


def readiness(connection: sqlite3.Connection, ctx: TenantCtx | None, now: float) -> Backlog:
    """As `SessionBackend.readiness`: within 5 ms it counts some thousands."""
    of, values = (
        "tenants x CROSS JOIN turns t ON t.tenant = x.tenant AND t.env = x.env WHERE x.rank <= ?",
        list[object]((now,)),
    )
    if ctx is not None:
        where, names = _of(ctx)
        of, values = f"turns t WHERE {where}", list[object](names)
    seen = f"SELECT t.id, t.due FROM {of} AND t.due < 9e999 AND t.due <= ? LIMIT ?"  # noqa: S608  # constants
    seen_rows = connection.execute(
        f"SELECT count(*), count(s.id), min(f.due) FROM ({seen}) f "  # noqa: S608  # as above
        "LEFT JOIN sessions s ON s.id = f.id AND s.end > ?",
        (*values, now, _MAX_COUNTED + 1, now),
    )
    looked, count, oldest = seen_rows.fetchone()
    return Backlog(count, round((now - oldest) * 1000) if count else None, is_capped=looked > _MAX_COUNTED)


# -- what lies there


def inbox(connection: sqlite3.Connection, place: bytes, limits: ReplyLimits, now: float) -> tuple[Reply, ...]:
    """As `SessionBackend.inbox`; what has run out is left where it is."""
    letters = letters_at(connection, place)
    if not letters:
        return ()
    return replies_of(connection, _unsettled(held_at(connection, place), letters, limits, now))


def _unsettled(wait: Row | None, letters: list[Letter], limits: ReplyLimits, now: float) -> list[int]:
    """Return the serials of what has not run out at a place."""
    if wait is not None and transitions.is_live(wait, now):
        return [letter.serial for letter in letters]
    lying = tuple([letter.received for letter in letters])
    if wait is not None:
        lying = transitions.leave(lying, wait.token, Leaving.EXPIRED, wait.end, now, limits).staying
    there = {received.reply.id for received in lying if transitions.kept_until(received, limits) > now}
    return [letter.serial for letter in letters if letter.received.reply.id in there]


def rewrite(shelves: Shelves, rewriting: Rewriting) -> bool:
    """As `SessionBackend.rewrite`."""
    lying: Lying = rewriting.lying
    place = place_of(lying.owner, lying.scope.scope_hash())
    shelves.waiting(place)
    letter = shelves.letter_of(place, lying.reply.id)
    if letter is None:
        return False
    changed = shelves.connection.execute(
        "UPDATE replies SET body = ? WHERE serial = ? AND body = ?",
        (rewriting.text.encode(), letter.serial, lying.reply.text.encode()),
    )
    return changed.rowcount == 1
