"""Model of replies and deadlines, as plain as it can be.

All unsettled replies are in one list, and whatever an operation needs is found by looking at all of
them. Time passes in halves of a unit, and what ends is seen to at each of them.
"""

from dataclasses import dataclass

from greentic_session.claim import Claim
from greentic_session.expiry import Ttl
from greentic_session.models import ReplyScope, SessionData, TenantCtx

from .model import Held, Model, Owner, Session, Turn, place, whose

__all__ = ["GRACE", "MAX_REPLIES", "TIMEOUT_GRACE", "WINDOW", "Letter", "Remembered", "ReplyModel"]

GRACE = 4.0
"""Units of time that an unsettled reply is kept."""
TIMEOUT_GRACE = 6.0
"""Units of time that an unheard wait outlives its deadline."""
WINDOW = 5.0
"""Units of time that the id of a delivery is remembered."""
MAX_REPLIES = 3
"""Limit of the replies of an inbox."""


@dataclass
class Letter:
    """An unsettled reply."""

    id: str
    body: str
    owner: Owner
    scope: str
    conversation: str
    delivery_id: str | None
    accepted: float
    keep: float = 0.0
    held: Held | None = None


@dataclass
class Remembered:
    """A delivery that is remembered: with its letter while that is unsettled, else until an end."""

    letter: Letter | None
    ends: float = float("inf")


class ReplyModel(Model):
    """A store with replies, as the contract describes it."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[Letter] = []
        self.deliveries: dict[tuple[Owner, str, str], Remembered] = {}
        self.keys: set[str] = set()

    # -- what there is

    def lying(self, owner: Owner, scope: str | None) -> list[Letter]:
        """Return the inbox of a place."""
        return [letter for letter in self.letters if (letter.owner, letter.scope) == (owner, scope)]

    def waits_at(self, owner: Owner, scope: str) -> Session | None:
        """Return the wait of a place."""
        found = [s for s in self.sessions.values() if s.scope == scope and s.whose() == owner and self.is_there(s)]
        return found[0] if found else None

    def is_there(self, session: Session) -> bool:
        return self.end_of(session) > self.now

    def end_of(self, session: Session) -> float:
        """Return when a session ends."""
        end = session.ends
        lying = [] if session.scope is None else self.lying(session.whose(), session.scope)
        if lying:
            end = max(end, max(letter.accepted for letter in lying) + GRACE)
        if session.put_off and (lying or session.resume):
            end = max(end, session.put_off + GRACE)
        return end

    def lifetime_end(self, session: Session) -> float:
        return session.deadline if self.now < session.deadline < float("inf") else self.end_of(session)

    def is_live(self, held: Held | None) -> bool:
        """Say whether the claim that holds something has not ended."""
        return held is not None and held.ends > self.now

    def unheld(self, session: Session) -> list[Letter]:
        """Return what lies at the place of a session and no live claim holds."""
        return (
            []
            if session.scope is None
            else [letter for letter in self.lying(session.whose(), session.scope) if not self.is_live(letter.held)]
        )

    def is_free(self, session: Session) -> bool:
        """Say whether a delivery may claim a wait."""
        busy = any(self.is_live(letter.held) for letter in self.lying(session.whose(), session.scope))
        return self.held(session.key) is None and session.put_off <= self.now and not busy

    def is_ready(self, session: Session) -> bool:
        """Say whether a wait is ready."""
        return session.scope is not None and self.is_free(session) and self.subject(session) is not None

    def subject(self, session: Session) -> object:
        """Return what a session would be worked on for."""
        if unheld := self.unheld(session):
            return unheld[0].id
        if session.scope is not None and session.resume and session.deadline <= self.now:
            return ("deadline", session.deadline)
        return None

    def known(self, owner: Owner, conversation: str, delivery_id: str | None) -> Remembered | None:
        """Return a delivery that is remembered."""
        if delivery_id is None:
            return None
        found = self.deliveries.get((owner, conversation, delivery_id))
        return found if found is not None and found.ends > self.now else None

    # -- lifetimes

    def set_lifetime(self, session: Session, ttl: Ttl) -> None:
        session.put_off = 0.0
        session.ends = self.ends(ttl)
        session.deadline = float("inf")
        if session.scope is not None:
            session.deadline = session.ends
            if session.resume:
                session.ends += TIMEOUT_GRACE

    def lengthen(self, session: Session, until: float) -> None:
        session.ends = max(session.ends, until)
        if not session.resume:
            session.deadline = max(session.deadline, until)

    def expire(self) -> None:
        """End in the model what ends now."""
        for session in [s for s in self.sessions.values() if not self.is_there(s)]:
            if session.scope is not None:
                for letter in self.lying(session.whose(), session.scope):
                    if letter.held is session.held:
                        letter.held = None
                    if not self.is_live(letter.held) and letter.keep <= self.now:
                        self.drop(letter, letter.accepted + WINDOW)
            super().forget(session)
        for letter in list(self.letters):
            waits = self.waits_at(letter.owner, letter.scope) is not None
            if letter.held is not None and not self.is_live(letter.held):
                letter.keep = letter.keep if waits else max(letter.keep, letter.held.ends + GRACE)
                letter.held = None
            if not waits and letter.held is None and letter.keep <= self.now:
                self.drop(letter, None)

    # -- what happens to replies

    def accept(self, letter: Letter) -> None:
        """Put a letter at the end of its inbox."""
        self.letters.append(letter)
        if letter.delivery_id is not None:
            self.deliveries[letter.owner, letter.conversation, letter.delivery_id] = Remembered(letter)

    def drop(self, letter: Letter, remembered_until: float | None) -> None:
        """Take a letter out."""
        self.letters.remove(letter)
        if letter.delivery_id is None:
            return
        name = (letter.owner, letter.conversation, letter.delivery_id)
        if remembered_until is None:
            del self.deliveries[name]
        else:
            self.deliveries[name] = Remembered(None, remembered_until)

    def settle(self, held: Held) -> None:
        """Take out what a claim holds."""
        for letter in [letter for letter in self.letters if letter.held is held]:
            self.drop(letter, self.now + WINDOW)

    def give_back(self, held: Held) -> None:
        """Give back the replies that a claim holds."""
        for letter in self.letters:
            if letter.held is held:
                letter.held = None
                if self.waits_at(letter.owner, letter.scope) is None:
                    letter.keep = max(letter.keep, self.now + GRACE)

    def leave(self, session: Session, *, verdict: bool) -> list[str]:
        """Remove a wait from its place; return the replies that were left over."""
        left = []
        for letter in self.lying(session.whose(), session.scope):
            if letter.held is not session.held and self.is_live(letter.held):
                continue
            left.append(letter.body)
            self.drop(letter, None if verdict else self.now + WINDOW)
        session.scope = None
        return left if verdict else []

    def forget(self, session: Session) -> None:
        if session.scope is not None:
            self.leave(session, verdict=False)
        if session.held is not None:
            self.give_back(session.held)
        super().forget(session)

    def park(
        self,
        owner: TenantCtx,
        scope: ReplyScope,
        key: str,
        stored: SessionData,
        ttl: Ttl,
        *,
        resume: bool = False,
    ) -> str | None:
        session = self.live(key)
        for other in self.waiting(owner, stored.tenant_ctx.user_id or ""):
            if other.scope == place(scope) and other.key != key:
                other.ends, other.deadline = self.end_of(other), float("inf")
        if session is not None and session.scope not in (None, place(scope)):
            self.leave(session, verdict=False)
        if session is not None:
            session.resume = resume
        displaced = super().park(owner, scope, key, stored, ttl)
        if session is None:
            self.sessions[key].resume = resume
            self.set_lifetime(self.sessions[key], ttl)
        return displaced

    # -- turns

    def began(self, session: Session, claim: Claim) -> None:
        """A plain claim joins an open turn; else it has a key of its own."""
        turn, about = session.turn, self.subject(session)
        if turn is not None and about is not None and turn.about == about:
            if session.held is not None:
                turn.failed += 1
            assert (claim.attempt, claim.idempotency_key) == (turn.failed + 1, turn.key)
            assert claim.timed_out is (not isinstance(about, str))
            return
        assert (claim.attempt, claim.timed_out) == (1, False)
        assert claim.idempotency_key not in self.keys
        self.keys.add(claim.idempotency_key)

    def begins(self, session: Session, claim: Claim, lease: float) -> None:
        """Check a claim that was made for a reply or a deadline, and hold what it holds."""
        about, unheld = self.subject(session), self.unheld(session)
        if session.turn is None or session.turn.about != about:
            assert claim.idempotency_key not in self.keys
            self.keys.add(claim.idempotency_key)
            session.turn = Turn(about, 0, claim.idempotency_key)
        elif session.held is not None:
            session.turn.failed += 1
        assert (claim.attempt, claim.idempotency_key) == (session.turn.failed + 1, session.turn.key)
        assert claim.timed_out is (not unheld)
        assert [reply.id for reply in claim.replies] == [letter.id for letter in unheld[:1]]
        assert (claim.key, claim.data, claim.is_new) == (session.key, session.data, session.is_new)
        if session.held is not None:
            self.old_claims.append((session.held.claim, session.key))
        session.held = Held(claim, self.now + lease)
        for letter in unheld[:1]:
            letter.held = session.held
        self.lengthen(session, self.now + lease)

    def verdict(self, session: Session, held: Held) -> None:
        """Settle what a claim holds, and end its turn."""
        self.settle(held)
        session.turn, session.is_new = None, False

    def owner_of(self, caller: TenantCtx, user: str) -> Owner:
        """Return whose wait is meant."""
        return whose(caller, user)
