"""Tables of the store in memory, kept consistent: sessions, waits, inboxes, ids, readiness.

Everything here is called with the lock held, and leaves all indices in agreement. What it does to
them, `transitions` has decided.
"""

from collections.abc import Iterator
from typing import Final

from greentic_session import tenancy, transitions
from greentic_session._expiry.expiring import NEVER_ENDS, Expiring, Timer
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.transitions import AtOnce, Kept, Leaving, Lifetime, Received
from greentic_session.wait import Wait

from .entry import GONE, Entry
from .inbox import Inbox, KnownDelivery
from .ready import ReadyIndex

__all__ = ["Shelves"]

_SHARDS: Final = 256
"""Number of dicts that sessions are spread over: a walk copies one of them at a time."""


class Shelves(Expiring[Entry | Inbox | KnownDelivery]):
    """Sessions in dicts, and what leads to them.

    `waits` and `latest` lead to the same entries as the shards; whoever drops one drops all. An
    inbox is that of the wait at its place (`Entry.inbox`); the `loose` ones are those at whose
    place nothing waits, and they are `kept`.
    """

    reply_limits: ReplyLimits = ReplyLimits()
    accepted: int = 0
    """Number of replies that were accepted."""

    def __init__(self, timer: Timer) -> None:
        super().__init__(timer)
        self.shards: tuple[dict[str, Entry], ...] = tuple({} for _ in range(_SHARDS))
        self.waits: dict[Owner, dict[ReplyScope, Entry]] = {}
        self.latest: dict[Owner, Entry] = {}
        self.loose: dict[Owner, dict[ReplyScope, Inbox]] = {}
        self.kept: dict[Owner, set[Inbox]] = {}
        self.deliveries: dict[Owner, dict[tuple[str, str], KnownDelivery]] = {}
        self.ready: ReadyIndex = ReadyIndex()

    def shard(self, key: str) -> dict[str, Entry]:
        """Return the part of the sessions that `key` is in, if it is there."""
        return self.shards[hash(key) % _SHARDS]

    def _empty(self) -> None:
        for shard in self.shards:
            shard.clear()
        for index in (self.waits, self.latest, self.loose, self.kept, self.deliveries, self.ready):
            index.clear()
        self._stop_expiring()

    # -- sessions

    def _at(self, owner: Owner, place: ReplyScope) -> Entry | None:
        waits = self.waits.get(owner)
        return None if waits is None else waits.get(place)

    def _freed(self, entry: Entry | None, now: float) -> Entry | None:
        """For writers.

        What has expired is gone afterwards, so that its key or its place is free.
        """
        if entry is None or transitions.is_live(entry, now):
            return entry
        self._remove(entry, Leaving.EXPIRED, now)
        return None

    def _visible(self, key: str, ctx: TenantCtx | None, now: float) -> Entry | None:
        return transitions.visible(self.shard(key).get(key), ctx, now)

    def _waiting(self, owner: Owner, place: ReplyScope, now: float) -> Entry | None:
        return transitions.visible(self._at(owner, place), None, now)

    def administers(self, ctx: TenantCtx, user: str | None, entry: Entry, now: float) -> bool:
        """Say whether an entry that was listed is still there, and `ctx` reaches it."""
        wait = entry.wait
        # Entries are looked at some time after they were listed: it may be gone, and its key used
        # again.
        current = transitions.is_live(entry, now) and self.shard(wait.key).get(wait.key) is entry
        return current and tenancy.administers(ctx, user, wait.data)

    def _held(self, key: str, token: str) -> tuple[Entry | None, float]:
        """Return the session that a live claim holds, None if it is over; and the moment."""
        now = self.timer()
        entry = self.shard(key).get(key)
        return (entry if transitions.is_held(entry, token, now) else None), now

    def _add(self, wait: Wait, owner: Owner | None) -> Entry:
        entry = self.shard(wait.key)[wait.key] = Entry(wait, owner)
        return entry

    def _place(self, entry: Entry, owner: Owner, place: ReplyScope) -> None:
        """Make a session the wait of a place; what lies there is its inbox now.

        What had run out there is freed before.
        """
        self.waits.setdefault(owner, {})[place] = entry
        if self.loose and (inbox := self._unloose(owner, place)) is not None:
            entry.lying = inbox
            self._unkeep(inbox)
            if inbox.bucket is not None:
                inbox.bucket.discard(inbox)
                inbox.bucket = None
            inbox.end = NEVER_ENDS

    def _unplace(self, entry: Entry) -> None:
        """Make it no wait any more; it stays readable. Its inbox is somebody else's care."""
        wait = entry.wait
        if wait.scope is not None:
            entry.wait = Wait(wait.key, wait.data)
            self._unindex(entry, wait.scope)

    def _unindex(self, entry: Entry, scope: ReplyScope) -> None:
        """Remove a wait from its place, so that no scope leads to it."""
        owner = entry.owner
        if owner is None:
            return
        entry.lying = None
        if entry.due != NEVER_ENDS:
            entry.due = NEVER_ENDS
            self.ready.discard(entry, owner)
        waits = self.waits[owner]
        del waits[scope.normalized()]
        if not waits:
            del self.waits[owner]

    def _displace(self, entry: Entry, now: float) -> None:
        """Make it no wait any more, for another takes its place and its inbox."""
        inbox = entry.inbox
        self._unplace(entry)
        if inbox is not None:
            self._loosen(inbox)
            if entry.token is not None and inbox not in entry.elsewhere:
                entry.elsewhere = (*entry.elsewhere, inbox)
        self._live(entry, transitions.take_deadline(entry), now)

    def _drop(self, entry: Entry | Inbox | KnownDelivery | None) -> bool:
        """Free what has expired."""
        now = self.timer()
        if isinstance(entry, Entry):
            return self._remove(entry, Leaving.EXPIRED, now)
        if isinstance(entry, Inbox):
            self._prune(entry, now)
        elif entry is not None:
            self._forget(entry)
        return entry is not None

    def _remove(self, entry: Entry | None, leaving: Leaving, now: float) -> bool:
        """Remove a session with all that leads to it; say whether there was one."""
        if entry is None:
            return False
        end, entry.end = entry.end, GONE
        if entry.bucket is not None:  # first: to free its inbox may sweep
            entry.bucket.discard(entry)
            entry.bucket = None
        del self.shard(entry.wait.key)[entry.wait.key]
        if entry.lying is not None:
            self._leave(entry, leaving, now, min(end, now))
        if entry.wait.scope is not None:  # it may stay in there, for no reader follows what has ended
            self._unindex(entry, entry.wait.scope)
        if entry.elsewhere:
            self._give_back(entry, now)
        if entry.pointer is not None:
            del self.latest[entry.pointer]
        return True

    # -- lifetimes and readiness

    def _live(self, entry: Entry, lifetime: Lifetime, now: float) -> None:
        """Give a session a lifetime, which its inbox may prolong; see to when it is ready."""
        entry.deadline, entry.rest_end = lifetime.deadline, lifetime.rest_end
        self._refresh(entry, now)

    def _refresh(self, entry: Entry, now: float) -> None:
        """Compute anew when a session ends and when it is ready, after a change."""
        if entry.lying is None and not entry.resume:
            end, due = entry.rest_end, NEVER_ENDS
        else:
            inbox = entry.inbox
            replies = () if inbox is None else inbox.all()
            end = transitions.storage_end(entry, replies, self.reply_limits)
            due = transitions.due_at(entry, replies, now, entry.due) if entry.wait.scope is not None else NEVER_ENDS
        if end <= now:
            self._remove(entry, Leaving.EXPIRED, now)
            return
        if due != entry.due and entry.owner is not None:
            entry.due = due
            if due == NEVER_ENDS:
                self.ready.discard(entry, entry.owner)
            elif entry.token is not None and due == entry.lease_end:
                self.ready.lend(entry, entry.owner, due)
            else:
                self.ready.put(entry, entry.owner, due)
        if end != entry.end:
            self._set_end(entry, end, now)

    def _lease(self, entry: Entry, token: str, lease_ms: int, now: float) -> None:
        """Begin the lease of a claim, or renew it."""
        entry.token, entry.lease_end = token, transitions.end_after(lease_ms, now)
        self._live(entry, transitions.lengthen(entry, entry.lease_end), now)

    # -- inboxes

    def _inbox(self, owner: Owner, place: ReplyScope, now: float) -> Inbox | None:
        """Return the inbox of a place without what has run out there; None where nothing lies."""
        wait = self._freed(self._at(owner, place), now)
        inbox = self._loose_at(owner, place) if wait is None else wait.inbox
        return None if inbox is None else self._prune(inbox, now)

    def _loose_at(self, owner: Owner, place: ReplyScope) -> Inbox | None:
        inboxes = self.loose.get(owner)
        return None if inboxes is None else inboxes.get(place)

    def _inboxes_of(self, owner: Owner) -> list[Inbox]:
        """Return all inboxes of an owner: they never become another's."""
        placed = [entry.inbox for entry in self.waits.get(owner, {}).values()]
        return [*self.loose.get(owner, {}).values(), *[inbox for inbox in placed if inbox is not None]]

    def _loosen(self, inbox: Inbox) -> None:
        """Note an inbox at whose place nothing waits any more."""
        self.loose.setdefault(inbox.owner, {})[inbox.scope] = inbox

    def _unloose(self, owner: Owner, place: ReplyScope) -> Inbox | None:
        """Return a loose inbox, which is no more: it goes, or a wait comes to its place."""
        inboxes = self.loose.get(owner)
        inbox = None if inboxes is None else inboxes.pop(place, None)
        if inboxes is not None and not inboxes:
            del self.loose[owner]
        return inbox

    def _accept(self, owner: Owner, place: ReplyScope, received: Received, wait: Entry | None, now: float) -> None:
        """Put a reply at the end of an inbox."""
        inbox = self._loose_at(owner, place) if wait is None else wait.inbox
        if inbox is None:
            inbox = Inbox(owner, place, {})
        inbox.replies[received.reply.id] = received
        self.accepted += 1
        self._remember(inbox, received.reply)
        if wait is not None:
            wait.lying = inbox  # its caller refreshes it
        else:
            self._prune(inbox, now)

    def _prune(self, inbox: Inbox, now: float) -> Inbox | None:
        """Free what has run out in an inbox, and the inbox once it is empty."""
        if inbox.bucket is not None:
            inbox.bucket.discard(inbox)
            inbox.bucket = None
        waits = self._at(inbox.owner, inbox.scope) is not None
        if not waits:
            for received in inbox.all():
                if transitions.kept_until(received, self.reply_limits) <= now:
                    del inbox.replies[received.reply.id]
                    self._note(inbox.owner, received, None, now)
                else:
                    inbox.replies[received.reply.id] = transitions.lapse(received, now, self.reply_limits)
        if inbox.replies and not waits:
            end = max(transitions.kept_until(received, self.reply_limits) for received in inbox.replies.values())
            self._loosen(inbox)
            self.kept.setdefault(inbox.owner, set()).add(inbox)
            self._set_end(inbox, end, now)
        elif not inbox.replies:
            self._unkeep(inbox)
            if self._loose_at(inbox.owner, inbox.scope) is inbox:
                self._unloose(inbox.owner, inbox.scope)
            wait = self._at(inbox.owner, inbox.scope)
            if wait is not None:
                wait.lying = None
            return None
        return inbox

    def _refresh_place(self, inbox: Inbox, but: Entry | None, now: float) -> None:
        """Prune an inbox that changed, and refresh its wait, if that is another than `but`."""
        wait = self._at(inbox.owner, inbox.scope)
        self._prune(inbox, now)
        if wait is not None and wait is not but:
            self._refresh(wait, now)

    def _hold(self, entry: Entry, received: Received) -> None:
        """Mark a reply of the place as held by the claim on the session."""
        inbox = entry.inbox
        if inbox is not None and entry.token is not None:  # pragma: no branch  # it lies there
            inbox.replies[received.reply.id] = transitions.hold(received, entry.token, entry.lease_end)

    def _settle(self, entry: Entry, now: float) -> None:
        """Remove the replies that a claim holds: a verdict has settled them."""
        inbox = entry.lying
        if isinstance(inbox, AtOnce):  # the usual case: the claim holds all that lies there
            entry.lying = None
            return
        if inbox is not None and len(inbox.replies) == 1 and not entry.elsewhere:  # nearly as usual
            [received] = inbox.replies.values()
            if received.token == entry.token and received.reply.delivery_id is None:
                entry.lying = None
                return
        for inbox, received in entry.let_go():
            del inbox.replies[received.reply.id]
            if received.reply.delivery_id is not None:
                end = transitions.id_end(received, Leaving.SETTLED, now, self.reply_limits)
                self._note(inbox.owner, received, end, now)
            if inbox is not entry.inbox:
                self._refresh_place(inbox, entry, now)
            elif not inbox.replies:
                entry.lying = None

    def _give_back(self, entry: Entry, now: float) -> None:
        """Give back the replies that a claim holds: it ends without a verdict."""
        for inbox, received in entry.let_go():
            waits = self._waiting(inbox.owner, inbox.scope, now) is not None
            inbox.replies[received.reply.id] = transitions.give_back(received, now, self.reply_limits, waits=waits)
            self._refresh_place(inbox, entry, now)

    def _leave(self, entry: Entry, leaving: Leaving, now: float, left_at: float | None = None) -> tuple[Reply, ...]:
        """Take out what lies at a place that its wait leaves; return what that was."""
        inbox = entry.inbox
        if inbox is None:
            return ()
        left = transitions.leave(
            inbox.all(), entry.token, leaving, now if left_at is None else left_at, now, self.reply_limits
        )
        for received in left.gone:
            self._note(inbox.owner, received, transitions.id_end(received, leaving, now, self.reply_limits), now)
        inbox.replies = {received.reply.id: received for received in left.staying}
        self._unplace(entry)
        self._prune(inbox, now)
        return tuple(received.reply for received in left.gone)

    def _kept(self, owner: Owner, now: float) -> Kept:
        """Count the replies of an owner at places where nothing waits."""
        kept = [received for inbox in self.kept.get(owner, ()) for received in inbox.replies.values()]
        live = [received for received in kept if transitions.kept_until(received, self.reply_limits) > now]
        return Kept(len(live), sum(received.size for received in live))

    def _unkeep(self, inbox: Inbox) -> None:
        inboxes = self.kept.get(inbox.owner)
        if inboxes is not None:
            inboxes.discard(inbox)
            if not inboxes:
                del self.kept[inbox.owner]

    # -- ids of deliveries

    def _remember(self, inbox: Inbox | None, reply: Reply) -> None:
        """Remember the delivery of a reply that lies in an inbox, if it was named."""
        if inbox is not None and reply.delivery_id is not None:
            name = (reply.scope.conversation, reply.delivery_id)
            self.deliveries.setdefault(inbox.owner, {})[name] = KnownDelivery(inbox.owner, name, inbox, reply.id)

    def _delivered(self, owner: Owner, conversation: str, delivery_id: str | None, now: float) -> KnownDelivery | None:
        """Return a delivery that is remembered."""
        if delivery_id is None:
            return None
        known = self.deliveries.get(owner, {}).get((conversation, delivery_id))
        if known is not None and known.inbox is not None:
            self._inbox(owner, known.inbox.scope, now)  # frees it, if it has run out
        if known is not None and known.end <= now:
            self._forget(known)  # here, not only when it is swept: another takes its name
            return None
        return known

    def _note(self, owner: Owner, received: Received, end: float | None, now: float) -> None:
        """Remember the delivery of a reply that leaves the store until `end`; None: forget it."""
        if received.reply.delivery_id is None:
            return
        name = (received.reply.scope.conversation, received.reply.delivery_id)
        known = self.deliveries.get(owner, {}).get(name)
        if known is None or known.reply_id != received.reply.id:
            return
        known.inbox = None
        if end is None or end <= now:
            self._forget(known)
        else:
            self._set_end(known, end, now)

    def _forget(self, known: KnownDelivery) -> None:
        """Forget a delivery."""
        known.end = GONE
        if known.bucket is not None:
            known.bucket.discard(known)
            known.bucket = None
        names = self.deliveries.get(known.owner)
        if names is not None and names.get(known.name) is known:
            del names[known.name]
            if not names:
                del self.deliveries[known.owner]

    def _forgetting(self, owner: Owner) -> Iterator[None]:
        """Forget all replies and deliveries of an owner, one after the other."""
        for inbox in self._inboxes_of(owner):
            for received in inbox.all():
                del inbox.replies[received.reply.id]
                self._note(owner, received, None, GONE)
            self._refresh_place(inbox, None, self.timer())
            yield
        for known in list(self.deliveries.get(owner, {}).values()):
            self._forget(known)
            yield
