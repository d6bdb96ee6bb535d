"""Model of a session store, as plain as it can be.

Sessions are kept in one dict, and everything else is computed by looking at all of them: slow, and
too simple to be wrong in the same way as a store with indices.
"""

import math
from dataclasses import dataclass

from greentic_session.claim import Claim
from greentic_session.expiry import NEVER, Ttl
from greentic_session.models import ReplyScope, SessionData, TenantCtx

__all__ = ["Held", "Model", "Owner", "Session", "Turn", "place", "whose"]

Owner = tuple[str, str, str | None, str | None]
"""env, tenant, team, user."""


@dataclass
class Held:
    """A claim as the model sees it."""

    claim: Claim
    ends: float


@dataclass
class Turn:
    """Turn of a session."""

    about: object
    failed: int = 0
    key: str | None = None


@dataclass
class Session:
    """A session as the model sees it."""

    key: str
    data: SessionData
    ends: float
    scope: str | None = None
    held: Held | None = None
    deadline: float = math.inf
    resume: bool = False
    put_off: float = 0.0
    turn: "Turn | None" = None
    is_new: bool = False

    def whose(self) -> tuple[str, str, str | None, str | None]:
        """Return env, tenant, team, user."""
        owner = self.data.tenant_ctx
        return (owner.env, owner.tenant_id, owner.team_id, owner.user_id)


def place(scope: ReplyScope) -> str:
    """Return what names a scope, an empty part and none being alike."""
    return scope.scope_hash()


def whose(caller: TenantCtx, user: str | None) -> tuple[str, str, str | None, str | None]:
    """Return the identity of a user in the caller's team."""
    return (caller.env, caller.tenant_id, caller.team_id, user)


def reaches(caller: TenantCtx, stored: SessionData) -> bool:
    """Say whether an operation by key reaches a session for a caller."""
    owner = stored.tenant_ctx
    same_user = None in (owner.user_id, caller.user_id) or owner.user_id == caller.user_id
    return same_user and whose(caller, None) == whose(owner, None)


class Model:
    """A store, as the contract describes it, under a clock that only `now` moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now: float = 0.0
        self.sessions: dict[str, Session] = {}
        self.latest: dict[tuple[str, str, str | None, str | None], Session] = {}
        self.old_claims: list[tuple[Claim, str]] = []

    def is_there(self, session: Session) -> bool:
        """Say whether a session has not expired."""
        return session.ends > self.now

    def lifetime_end(self, session: Session) -> float:
        """Return the end of the lifetime that was asked for."""
        return session.ends

    def set_lifetime(self, session: Session, ttl: Ttl) -> None:
        """Set the lifetime of a session, from now."""
        session.ends = self.ends(ttl)

    def lengthen(self, session: Session, until: float) -> None:
        """Lengthen the life of a session to a moment."""
        session.ends = max(session.ends, until)

    def live(self, key: str) -> Session | None:
        """Return the session under a key, if it has not expired."""
        session = self.sessions.get(key)
        return session if session is not None and self.is_there(session) else None

    def seen(self, key: str, caller: TenantCtx | None) -> Session | None:
        """Return the session under a key, if it is there for this caller."""
        session = self.live(key)
        return session if session is not None and (caller is None or reaches(caller, session.data)) else None

    def waiting(self, caller: TenantCtx, user: str) -> list[Session]:
        """Return the live waits of a user that a caller may see, by key."""
        if caller.user_id not in (None, user):
            return []
        owner = whose(caller, user)
        return sorted(
            (s for s in self.sessions.values() if s.scope is not None and self.is_there(s) and s.whose() == owner),
            key=lambda session: session.key,
        )

    def match(self, caller: TenantCtx, user: str, scope: ReplyScope, *, fallback: bool) -> tuple[Session, ReplyScope] | None:
        """Return the wait that a lookup should find, and the scope that should match."""
        candidates = [scope]
        if fallback and scope.correlation:
            candidates.append(ReplyScope(scope.conversation, scope.thread, scope.reply_to))
        for candidate in candidates:
            for session in self.waiting(caller, user):
                if session.scope == place(candidate):
                    return session, candidate
        return None

    def ends(self, ttl: Ttl) -> float:
        """Return when a lifetime that begins now ends."""
        return float("inf") if ttl is None or ttl is NEVER else self.now + float(ttl)  # type: ignore[arg-type]  # a number

    def forget(self, session: Session) -> None:
        """Remove a session."""
        if session.held is not None:
            self.old_claims.append((session.held.claim, session.key))
        del self.sessions[session.key]

    def sweep(self, key: str) -> None:
        """Remove an expired session, so that another may have its key."""
        session = self.sessions.get(key)
        if session is not None and not self.is_there(session):
            self.forget(session)

    def park(self, owner: TenantCtx, scope: ReplyScope, key: str, stored: SessionData, ttl: Ttl) -> str | None:
        """Register a wait in the model; return the displaced key."""
        self.sweep(key)
        displaced = None
        for session in self.waiting(owner, stored.tenant_ctx.user_id or ""):
            if session.scope == place(scope) and session.key != key:
                session.scope = None
                displaced = session.key
        session = self.sessions.setdefault(key, Session(key, stored, 0))
        session.data, session.scope = stored, place(scope)
        self.set_lifetime(session, ttl)
        return displaced

    def is_current(self, session: Session) -> bool:
        """Say whether a session is still the one under its key, and live."""
        return self.live(session.key) is session

    def held(self, key: str) -> Held | None:
        """Return the live claim on a session."""
        session = self.live(key)
        return session.held if session is not None and session.held is not None and session.held.ends > self.now else None

    def began(self, session: Session, claim: Claim) -> None:
        """Begin a plain claim on a session."""

    def parked(self) -> list[Session]:
        """Return every live wait."""
        return [session for session in self.sessions.values() if session.scope is not None and self.is_there(session)]

    def claimed(self) -> list[tuple[Session, Held]]:
        """Return every session with a live claim."""
        return [(session, held) for session in self.sessions.values() if (held := self.held(session.key)) is not None]

    def end_claim(self, session: Session) -> None:
        """Let a claim be over."""
        if session.held is not None:
            self.old_claims.append((session.held.claim, session.key))
            session.held = None

    def reached(self, caller: TenantCtx) -> list[Session]:
        """Return the sessions that a caller administers."""
        return [
            session
            for session in self.sessions.values()
            if self.is_there(session)
            and session.whose()[:2] == (caller.env, caller.tenant_id)
            and caller.team_id in (None, session.whose()[2])
            and caller.user_id in (None, session.whose()[3])
        ]
