"""Operations on replies and deadlines within a transaction, and the others on what takes part.

Each checks before it writes. What they are about is read through `Shelves`; `transitions` decides.
"""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.backend import (
    Backlog,
    Beginning,
    Claimed,
    Claiming,
    Delivered,
    Delivering,
    Lying,
    Parking,
    PuttingOff,
    Readiness,
    Readying,
    Rewriting,
    Settled,
    Staying,
    Taking,
)
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import DeliveryOutcome, Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import Kept, Leaving, Received

from .inboxes import Letter, delivery_name, known_delivery, letters_at, place_of_letter, replies_of, total_kept
from .rows import Row, first_due, held_at, place_of, waits_of
from .shelves import Shelves

__all__ = [
    "Begun",
    "claim",
    "claim_ready",
    "complete",
    "deliver",
    "inbox",
    "park",
    "put_off",
    "readiness",
    "release",
    "rewrite",
    "soonest",
    "stay",
    "take",
    "touch",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_FREED: Final = 50
"""How many waits that have expired one search for what is ready frees."""
_MAX_COUNTED: Final = 10_000
"""How many waits are counted as ready at most: it takes a few milliseconds."""


class Begun(NamedTuple):
    """A claim that was made, and what is to be told of it; its text is read behind the transaction.

    Attributes:
        row: The session.
        scope: Where it was found.
        turn_key: As in `Claimed`.
        attempt: The same.
        replies: The same.
        timed_out: The same.
    """

    row: Row
    scope: ReplyScope | None
    turn_key: str | None = None
    attempt: int = 1
    replies: tuple[Reply, ...] = ()
    timed_out: bool = False

    def claimed(self, owner: Owner | None = None) -> Claimed | None:
        """Return it as a backend answers it; None if its text is another owner's.

        Args:
            owner: Whose it must be; by default whose the columns say.

        Raises:
            CorruptSessionError: The text is no session.
        """
        row = self.row
        wait = row.wait(self.scope)
        if tenancy.owner_of(wait.data) != (row.owner if owner is None else owner):
            return None
        deadline = None if row.deadline == NEVER_ENDS else row.deadline
        return Claimed(wait, self.turn_key, self.attempt, self.replies, deadline, self.timed_out, row.is_new)


# -- what the plain operations do, where replies or deadlines have a say


def park(shelves: Shelves, parking: Parking, place: bytes, text: bytes) -> tuple[Row, Settled]:
    """As `SessionBackend.park`."""
    now = shelves.now
    row, holder = shelves.by_key(parking.key), shelves.at(place)
    most = parking.max_waits
    waits = () if most is None else list(waits_of(shelves.connection, parking.owner, now, most))
    parked = transitions.park(parking, row, holder, now, waits)

    # Decided; from here on only writes.
    leftovers: tuple[Reply, ...] = ()
    session = parked.session
    if session is not None and parking.token is not None:
        shelves.settle(session)
        session.turn, session.is_new = None, False
    # What lived on for the replies that are settled now has ended with them.
    displaced = parked.displaced if transitions.is_live(parked.displaced, now) else None
    if displaced is not None:
        shelves.displace(displaced)
    else:
        shelves.waiting(place)
    if session is None:
        shelves.freed(shelves.by_key(parking.key))
        session = shelves.add(parking.key, parking.owner, text)
    else:
        if parked.moves and session.place is not None:
            left = shelves.leave(session, Leaving.REMOVED if parking.token is None else Leaving.LEFT_OVER)
            leftovers = left if parking.token is not None else ()
        shelves.write_text(session, text)
    shelves.place(session, place, parking.scope)
    if parking.token is not None:
        session.token = None
    session.put_off = 0.0
    session.resume = transitions.resumes(parking, session)
    shelves.live(session, transitions.begin_lifetime(parking.ttl_ms, now, shelves.limits, resume=session.resume))
    return session, Settled(None if displaced is None else displaced.key, leftovers)


def touch(shelves: Shelves, row: Row, ttl_ms: int | None) -> None:
    """Give a session, which is live, a lifetime."""
    row.put_off = 0.0
    shelves.live(row, transitions.touch(row, ttl_ms, shelves.now, shelves.limits))


def claim(shelves: Shelves, row: Row, claiming: Claiming, scope: ReplyScope) -> Begun:
    """Let a plain claim hold a wait that is free."""
    joined = None if row.place is None else transitions.join(row, shelves.received(row.place), shelves.now)
    if joined is not None:
        row.turn = joined
    shelves.lease(row, claiming.token, claiming.lease_ms)
    if joined is None:
        return Begun(row, scope)
    return Begun(row, scope, joined.key, joined.failed + 1, timed_out=transitions.is_heard(row))


def complete(shelves: Shelves, row: Row) -> Settled:
    """Remove the session of a live claim."""
    shelves.settle(row)
    leftovers = shelves.leave(row, Leaving.LEFT_OVER)
    shelves.remove(row, Leaving.REMOVED)
    return Settled(leftovers=leftovers)


def release(shelves: Shelves, row: Row) -> None:
    """End a live claim."""
    shelves.give_back(row)
    row.token = None
    shelves.refresh(row)


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
    kept = total_kept(shelves.connection, owner, now) if row is None and delivering.keep_ms is not None else Kept()
    received = None if letter is None else letter.received
    outcome = transitions.deliver(delivering, row, shelves.received(place), received, kept, limits, now)
    if outcome is DeliveryOutcome.UNMATCHED:
        return Delivered(outcome), None
    if letter is None:
        if row is None and delivering.beginning is not None:
            row = _begin(shelves, owner, scope, place, delivering.beginning, begin_text)
        letter = shelves.accept(owner, place, scope.normalized(), _received(delivering, outcome, now))
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
    begun = _start_turn(shelves, row, told, delivering.token, delivering.turn_key, delivering.lease_ms)
    return Delivered(outcome, reply), begun


def _begin(shelves: Shelves, owner: Owner, scope: ReplyScope, place: bytes, beginning: Beginning, text: bytes) -> Row:
    key = beginning.key
    if shelves.freed(shelves.by_key(key)) is not None:
        raise tenancy.taken(key)
    row, _ = park(
        shelves,
        Parking(
            owner,
            scope,
            key,
            beginning.data,
            beginning.ttl_ms,
            max_waits=beginning.max_waits,
            resume=beginning.resume,
        ),
        place,
        text,
    )
    row.is_new, row.text = True, text
    return row


def _received(delivering: Delivering, outcome: DeliveryOutcome, now: float) -> Received:
    reply = Reply(
        delivering.reply_id,
        delivering.text,
        delivering.scopes[0],
        _EPOCH + timedelta(seconds=now),
        delivering.delivery_id,
        delivering.sender,
    )
    keep_ms = delivering.keep_ms if outcome is DeliveryOutcome.KEPT else None
    return Received(reply, delivering.size, now, 0.0 if keep_ms is None else transitions.end_after(keep_ms, now))


def _start_turn(shelves: Shelves, row: Row, scope: ReplyScope | None, token: str, turn_key: str, lease_ms: int) -> Begun:
    letters: list[Letter] = [] if row.place is None else shelves.inbox(row.place)
    begun = transitions.begin(row, [letter.received for letter in letters], turn_key, shelves.now)
    row.turn = begun.turn
    held = [letter for letter in letters if letter.received is begun.held]
    shelves.lease(row, token, lease_ms)
    for letter in held:
        shelves.hold(row, letter)
    return Begun(
        row,
        scope,
        begun.turn.key,
        begun.attempt,
        replies_of(shelves.connection, [letter.serial for letter in held]),
        timed_out=begun.held is None,
    )


# -- what is ready


def soonest(connection: sqlite3.Connection, ctx: TenantCtx | None) -> float | None:
    """Return since when something is ready, or when it will be: one look at an index."""
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

    None: what it met had expired, and it is to be asked again.
    """
    ctx, now = readying.ctx, shelves.now
    for _ in range(_MAX_FREED):
        shelves.flush()  # what was freed is in nobody's way any more
        if ctx is None:
            first = shelves.connection.execute("SELECT env, tenant FROM tenants ORDER BY rank, id LIMIT 1").fetchone()
            row = None if first is None else first_due(shelves.connection, first[0], first[1], None)
        else:
            row = first_due(shelves.connection, ctx.env, ctx.tenant_id, ctx.effective_team)
        row = shelves.known(row)
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
    values: list[float | str]
    if ctx is None:
        of, values = "tenants x CROSS JOIN turns t ON t.tenant = x.tenant AND t.env = x.env WHERE x.rank <= ?", [now]
    else:
        where, names = _of(ctx)
        of, values = f"turns t WHERE {where}", [*names]
    seen = f"SELECT t.id, t.due FROM {of} AND t.due < 9e999 AND t.due <= ? LIMIT ?"  # noqa: S608  # constants
    seen_rows = connection.execute(
        f"SELECT count(*), count(s.id), min(f.due) FROM ({seen}) f "  # noqa: S608  # as above
        "LEFT JOIN sessions s ON s.id = f.id AND s.end > ?",
        (*values, now, _MAX_COUNTED + 1, now),
    )
    looked, count, oldest = seen_rows.fetchone()
    return Backlog(count, round((now - oldest) * 1000) if count else None, is_capped=looked > _MAX_COUNTED)


# -- claims that hold replies


def take(shelves: Shelves, taking: Taking) -> tuple[Reply, ...] | None:
    """As `SessionBackend.take`."""
    row = shelves.held(taking.key, taking.token)
    if row is None:
        return None
    letters: list[Letter] = [] if row.place is None else shelves.inbox(row.place)
    taken = transitions.takeable([letter.received for letter in letters], taking.limit, shelves.now)
    held = [letter for letter in letters if any(letter.received is received for received in taken)]
    row.turn = transitions.take_turn(row, taken, taking.turn_key)
    for letter in held:
        shelves.hold(row, letter)
    if held:
        shelves.change(row)
    return replies_of(shelves.connection, [letter.serial for letter in held])


def stay(shelves: Shelves, staying: Staying, text: bytes | None) -> bool:
    """As `SessionBackend.stay`."""
    row = shelves.held(staying.key, staying.token)
    if row is None:
        return False
    if text is not None:
        shelves.write_text(row, text)
    shelves.settle(row)
    lifetime = transitions.stay(row, shelves.now, shelves.limits)
    row.turn, row.is_new, row.token, row.put_off = None, False, None, 0.0
    shelves.live(row, lifetime)
    return True


def put_off(shelves: Shelves, putting_off: PuttingOff) -> bool:
    """As `SessionBackend.put_off`."""
    row = shelves.held(putting_off.key, putting_off.token)
    if row is None:
        return False
    row.turn = transitions.fail(row.turn)
    shelves.give_back(row)
    row.token = None
    row.put_off = transitions.end_after(putting_off.delay_ms, shelves.now)
    shelves.live(row, transitions.lengthen(row, row.put_off))
    return True


# -- what lies there


def inbox(connection: sqlite3.Connection, place: bytes, limits: ReplyLimits, now: float) -> tuple[Reply, ...]:
    """As `SessionBackend.inbox`; what has run out is left where it is."""
    letters = letters_at(connection, place)
    if not letters:
        return ()
    return replies_of(connection, _unsettled(held_at(connection, place, text=False), letters, limits, now))


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
