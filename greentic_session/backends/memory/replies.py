"""Replies in memory: parking with all that it means for an inbox, deliveries, and what is ready."""

import time
from datetime import UTC, datetime
from typing import Final

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS, Timer
from greentic_session.backend import (
    NOTHING_ELSE,
    Backlog,
    Beginning,
    Claimed,
    Delivered,
    Delivering,
    Parking,
    PuttingOff,
    Readiness,
    Readying,
    SessionBackend,
    Settled,
    Staying,
    Taking,
)
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import DeliveryOutcome, Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import Kept, Leaving
from greentic_session.wait import Wait

from .entry import Entry
from .inbox import KnownDelivery
from .shelves import Shelves

__all__ = ["NO_WAITS", "Replies", "matched"]

NO_WAITS: Final[dict[ReplyScope, Entry]] = {}
"""The waits of an owner who has none."""
_CLAIMED: Final = DeliveryOutcome.CLAIMED
_date_of: Final = datetime.fromtimestamp
"""These two are looked up once: each time that takes as long as to make an object."""
_MAX_COUNTED: Final = 2000
"""Limit of the waits that are counted as ready: these take 1 to 3 ms."""


class Replies(Shelves, SessionBackend):
    """The operations on replies, and parking."""

    accepted: int  # that of `Shelves`: where there are two bases, type checkers want it said

    def __init__(self, timer: Timer) -> None:
        super().__init__(timer)
        self._epoch = time.time() - timer()

    def move_timer(self, passed_ms: int) -> None:
        """Move all moments as if so much time had passed: for tests."""
        with self._lock:
            timer, passed = self.timer, passed_ms / 1000
            moved: Timer = lambda: timer() + passed
            self.timer = moved
            self._epoch -= passed  # the calendar is the same

    def _park(self, parking: Parking, now: float) -> tuple[Entry, Settled]:
        owner, key, place = parking.owner, parking.key, parking.scope.normalized()
        wait = Wait(key, parking.data, parking.scope)
        shard, waits = self.shard(key), self.waits.get(owner)
        session, holder = shard.get(key), None if waits is None else waits.get(place)
        parked = transitions.park(parking, session, holder, now, () if waits is None else waits.values())

        # Decided; from here on only writes.
        leftovers: tuple[Reply, ...] = ()
        entry = parked.session
        if entry is not None and parking.token is not None:
            if entry.lying is not None or entry.elsewhere:
                self._settle(entry, now)
            if entry.turn is not None or entry.is_new:
                entry.turn, entry.is_new = None, False
        # What lived on for the replies that are settled now has ended with them.
        displaced = parked.displaced if transitions.is_live(parked.displaced, now) else None
        if displaced is not None:
            self._displace(displaced, now)
        else:
            if holder is not None and holder is not entry:
                self._freed(self._at(owner, place), now)
            if self.loose and owner in self.loose:
                self._inbox(owner, place, now)
        if entry is None:
            if session is not None:
                self._freed(shard.get(key), now)
            entry = shard[key] = Entry(wait, owner)
        else:
            if parked.moves:
                if entry.lying is not None:
                    left = self._leave(entry, Leaving.REMOVED if parking.token is None else Leaving.LEFT_OVER, now)
                    leftovers = left if parking.token is not None else ()
                self._unplace(entry)
            entry.wait = wait
        if parked.moves:
            self._place(entry, owner, place)
        if parking.token is not None:
            entry.token = None
        entry.put_off = 0.0
        entry.parked = now
        entry.resume = resume = transitions.resumes(parking, entry)
        self._live(entry, transitions.begin_lifetime(parking.ttl_ms, now, self.reply_limits, resume=resume), now)
        if displaced is None and not leftovers:
            return entry, NOTHING_ELSE
        return entry, Settled(None if displaced is None else displaced.wait.key, leftovers)

    async def deliver(self, delivering: Delivering) -> Delivered:
        owner, scope = delivering.owner, delivering.scopes[0]
        with self._lock:
            now = self.timer()
            if delivering.delivery_id is not None:
                known = self._delivered(owner, scope.conversation, delivering.delivery_id, now)
                if known is not None:
                    return self._deliver_thoroughly(delivering, known, now)
            entry = self.waits.get(owner, NO_WAITS).get(scope.normalized())
            if entry is not None and entry.lying is None and entry.end > now:
                accepted_at = _date_of(self._epoch + now, UTC)
                made = transitions.claim_at_once(delivering, entry, accepted_at, self.reply_limits, now)
                if made is not None:
                    # The usual case: nothing but this reply has a say.
                    reply, wait, deadline, lease_end = made.reply, entry.wait, made.deadline, made.lease_end
                    entry.lying = entry.turn = made
                    entry.token, entry.deadline, entry.rest_end = delivering.token, deadline, made.rest_end
                    entry.lease_end = entry.due = self.ready.fresh[entry] = lease_end
                    if self._wheel.next_due > now:
                        entry.end = made.end  # as `_set_end` does where it is no earlier, and nothing has ended
                    elif made.end != entry.end:
                        self._set_end(entry, made.end, now)
                    self.accepted += 1
                    if reply.delivery_id is not None:
                        self._remember(entry.inbox, reply)
                    if wait.scope != scope:
                        wait = matched(entry, scope)
                    date = None if deadline == NEVER_ENDS else self._epoch + deadline
                    claimed = Claimed(wait, made.key, 1, (reply,), date, False, entry.is_new)  # noqa: FBT003  # as fast as can be
                    return Delivered(_CLAIMED, reply, claimed)
            return self._deliver_thoroughly(delivering, None, now)

    def _deliver_thoroughly(self, delivering: Delivering, known: KnownDelivery | None, now: float) -> Delivered:
        """Deliver as the rules say, or say how a delivery that is `known` stands."""
        self.check_open()
        owner, scope, limits, received = delivering.owner, delivering.scopes[0], self.reply_limits, None
        if known is None:
            place = scope.normalized()
            entry = self._waiting(owner, place, now)
            if entry is None and len(delivering.scopes) > 1:
                without = delivering.scopes[1].normalized()  # its correlation
                entry = self._waiting(owner, without, now)
                if entry is not None:
                    scope, place = delivering.scopes[1], without
        elif known.inbox is None:
            return Delivered(DeliveryOutcome.DUPLICATE)
        else:
            place, received = known.inbox.scope, known.inbox.replies[known.reply_id]
            entry = self._waiting(owner, place, now)
        inbox = self._inbox(owner, place, now) if entry is None else entry.inbox
        replies = () if inbox is None else inbox.all()
        kept = self._kept(owner, now) if entry is None and delivering.keep_ms is not None else Kept()
        outcome = transitions.deliver(delivering, entry, replies, received, kept, limits, now)
        if outcome is DeliveryOutcome.UNMATCHED:
            return Delivered(outcome)
        if received is None:
            if entry is None and delivering.beginning is not None:
                entry = self._begin(owner, scope, delivering.beginning, now)
            received = transitions.receive(delivering, outcome, _date_of(self._epoch + now, UTC), now)
            self._accept(owner, place, received, entry, now)
        if outcome is not DeliveryOutcome.CLAIMED or entry is None:
            if entry is not None:
                self._refresh(entry, now)
            return Delivered(outcome, received.reply)
        wait = matched(entry, scope) if place == scope.normalized() else entry.wait
        claimed = self._start_turn(entry, wait, delivering.token, delivering.turn_key, delivering.lease_ms, now)
        return Delivered(outcome, received.reply, claimed)

    def _begin(self, owner: Owner, scope: ReplyScope, beginning: Beginning, now: float) -> Entry:
        key = beginning.key
        if self._freed(self.shard(key).get(key), now):
            raise tenancy.taken(key)
        entry, _ = self._park(beginning.parking(owner, scope), now)
        entry.is_new = True
        return entry

    def _start_turn(self, entry: Entry, wait: Wait, token: str, turn_key: str, lease_ms: int, now: float) -> Claimed:
        inbox = entry.inbox
        begun = transitions.begin(entry, () if inbox is None else inbox.all(), turn_key, now)
        turn, held = begun.turn, begun.held
        entry.turn, entry.elsewhere = turn, ()
        self._lease(entry, token, lease_ms, now)
        if held is not None:
            self._hold(entry, held)
        replies = () if held is None else (held.reply,)
        return self._claimed(entry, wait, turn.key, begun.attempt, replies, timed_out=held is None)

    async def claim_ready(self, readying: Readying) -> Readiness:
        with self._lock:
            self.check_open()
            now = self.timer()
            while True:
                first = self.ready.first(readying.ctx, now)
                if first is None:
                    return Readiness()
                due, entry = first
                if due > now:
                    return Readiness(next_ms=max(round((due - now) * 1000), 1))
                if self._freed(entry, now) is None:
                    continue
                if entry.owner is not None:  # pragma: no branch  # a wait has one
                    self.ready.serve(entry.owner, now)
                wait = entry.wait
                return Readiness(self._start_turn(entry, wait, readying.token, readying.turn_key, readying.lease_ms, now))

    async def readiness(self, ctx: TenantCtx | None) -> Backlog:
        with self._lock:
            self.check_open()
            now = self.timer()
            count, oldest = 0, now
            self.ready.end_leases(now, _MAX_COUNTED)
            for seen, (due, entry) in enumerate(self.ready.until(ctx, now)):
                if seen >= _MAX_COUNTED:
                    return Backlog(count, round((now - oldest) * 1000) if count else None, is_capped=True)
                if transitions.is_live(entry, now):
                    count += 1
                    oldest = min(oldest, due)
            return Backlog(count, round((now - oldest) * 1000) if count else None)

    async def take(self, taking: Taking) -> tuple[Reply, ...] | None:
        with self._lock:
            entry, now = self._held(taking.key, taking.token)
            if entry is None:
                return None
            inbox = entry.inbox
            taken = transitions.takeable(() if inbox is None else inbox.all(), taking.limit, now)
            entry.turn = transitions.take_turn(entry, taken, taking.turn_key)
            for received in taken:
                self._hold(entry, received)
            return tuple(received.reply for received in taken)

    async def stay(self, staying: Staying) -> bool:
        with self._lock:
            entry, now = self._held(staying.key, staying.token)
            if entry is None:
                return False
            if staying.data is not None:
                entry.wait = Wait(entry.wait.key, staying.data, entry.wait.scope)
            self._settle(entry, now)
            lifetime = transitions.stay(entry, now, self.reply_limits)
            entry.turn, entry.is_new, entry.token, entry.put_off = None, False, None, 0.0
            self._live(entry, lifetime, now)
            return True

    async def put_off(self, putting_off: PuttingOff) -> bool:
        with self._lock:
            entry, now = self._held(putting_off.key, putting_off.token)
            if entry is None:
                return False
            entry.turn = transitions.fail(entry.turn)
            self._give_back(entry, now)
            entry.token = None
            entry.put_off = transitions.end_after(putting_off.delay_ms, now)
            self._live(entry, transitions.lengthen(entry, entry.put_off), now)
            return True

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        with self._lock:
            inbox = self._inbox(owner, scope.normalized(), self.timer())
            return () if inbox is None else tuple(received.reply for received in inbox.all())

    async def retry(self, key: str) -> bool:
        with self._lock:
            now = self.timer()
            entry = self.shard(key).get(key)
            is_put_off = transitions.retry(entry, key, now)
            if entry is not None and is_put_off:
                entry.put_off = 0.0
                self._refresh(entry, now)
            return is_put_off

    async def drop(self, key: str) -> Reply | None:
        with self._lock:
            now = self.timer()
            entry = self.shard(key).get(key)
            inbox = None if entry is None else entry.inbox
            dropped = transitions.drop(entry, key, () if inbox is None else inbox.all(), now)
            if inbox is None or dropped is None:
                return None
            del inbox.replies[dropped.reply.id]
            self._note(inbox.owner, dropped, transitions.id_end(dropped, Leaving.REMOVED, now, self.reply_limits), now)
            self._refresh_place(inbox, None, now)
            return dropped.reply

    def _claimed(
        self,
        entry: Entry,
        wait: Wait,
        turn_key: str | None = None,
        attempt: int = 1,
        replies: tuple[Reply, ...] = (),
        *,
        timed_out: bool = False,
    ) -> Claimed:
        deadline = None if entry.deadline == NEVER_ENDS else self._epoch + entry.deadline
        return Claimed(wait, turn_key, attempt, replies, deadline, timed_out, entry.is_new)


def matched(entry: Entry, scope: ReplyScope) -> Wait:
    """Return a wait with the caller's own spelling of its scope.

    An empty part and one that is None name the same place.
    """
    return entry.wait if entry.wait.scope == scope else Wait(entry.wait.key, entry.wait.data, scope)
