"""Operations on replies and deadlines within a transaction, and the others on what takes part.

Each checks before it writes. What they are about is read through `Shelves`; `transitions` decides.
"""

from typing import NamedTuple

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.backend import (
    Claimed,
    Claiming,
    Parking,
    PuttingOff,
    Settled,
    Staying,
    Taking,
)
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import Leaving

from .inboxes import Letter, replies_of
from .rows import Row, waits_of
from .shelves import Shelves

__all__ = ["Begun", "claim", "complete", "drop", "park", "put_off", "release", "retry", "stay", "take", "touch"]


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
    """Claim a wait that is free: a plain claim."""
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
    lies = row.place is not None and shelves.inbox(row.place)
    leftovers = shelves.leave(row, Leaving.LEFT_OVER) if lies else ()
    shelves.remove(row, Leaving.REMOVED)
    return Settled(leftovers=leftovers)


def release(shelves: Shelves, row: Row) -> None:
    """End a live claim."""
    shelves.give_back(row)
    row.token = None
    shelves.refresh(row)


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


# -- by hand


def retry(shelves: Shelves, key: str) -> bool:
    """As `SessionBackend.retry`."""
    row = shelves.by_key(key)
    is_put_off = transitions.retry(row, key, shelves.now)
    if row is not None and is_put_off:
        row.put_off = 0.0
        shelves.refresh(row)
    return is_put_off


def drop(shelves: Shelves, key: str) -> Reply | None:
    """As `SessionBackend.drop`."""
    row = shelves.by_key(key)
    place = None if row is None else row.place
    dropped = transitions.drop(row, key, () if place is None else shelves.received(place), shelves.now)
    letter = None if dropped is None or place is None else shelves.letter_of(place, dropped.reply.id)
    if letter is None:
        return None
    [reply] = replies_of(shelves.connection, [letter.serial])
    shelves.take_out(letter, Leaving.REMOVED)
    shelves.refresh_place(letter.place, None)
    return reply
