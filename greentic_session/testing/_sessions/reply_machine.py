"""A hypothesis state machine that holds a store with replies against the model of the contract."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from greentic_session import Start
from greentic_session.errors import (
    ConflictError,
    InboxFullError,
    InvalidInputError,
    TenantMismatchError,
)
from greentic_session.expiry import Ttl
from greentic_session.models import ReplyScope, TenantCtx

from .machine import SCOPES, TEAMS, SessionStoreMachine, callers, keys, leases, nodes, scopes, ttls, users
from .model import Held, Owner, Session, Turn, place, whose
from .reply_model import GRACE, MAX_REPLIES, TIMEOUT_GRACE, WINDOW, Letter, ReplyModel
from .samples import data

__all__ = ["ReplyStoreMachine"]

delivery_ids = st.sampled_from([None, None, "d1", "d2"])
keeps = st.sampled_from([None, 2, 5])
choices = st.sampled_from(["forget", "resume"])


class ReplyStoreMachine(ReplyModel, SessionStoreMachine):
    """The operations of `SessionStoreMachine`, and those on replies and deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self.run(self.store.aclose())
        self.store: Any = self.make_store(
            reply_grace=GRACE * self.unit,
            timeout_grace=TIMEOUT_GRACE * self.unit,
            dedupe_window=WINDOW * self.unit,
            max_replies=MAX_REPLIES,
        )
        self.count: int = 0

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        """Pass time, and end in the model what ends in each half of a unit."""
        waiting = type(self).advance(seconds * self.unit)
        if waiting is not None:
            self.run(waiting)
        for _ in range(int(seconds * 2)):
            self.now: float = self.now + 0.5
            self.expire()

    # -- deliveries

    @rule(
        caller=callers,
        user=users,
        scope=scopes,
        delivery_id=delivery_ids,
        keep=keeps,
        claims=st.booleans(),
        lease=leases,
        fallback=st.booleans(),
        start=st.none() | keys,
        on_timeout=choices,
        ttl=ttls,
    )
    def deliver(
        self,
        caller: TenantCtx,
        user: str,
        scope: ReplyScope,
        delivery_id: str | None,
        keep: int | None,
        claims: bool,  # noqa: FBT001
        lease: int,
        fallback: bool,  # noqa: FBT001
        start: str | None,
        on_timeout: Any,
        ttl: Ttl,
    ) -> None:
        """Deliver to any place."""
        stored = data(caller.with_user(user), "started")
        self.count += 1
        body = f"answer {self.count}"
        result = self.reply_outcome(
            self.store.deliver(
                caller,
                user,
                scope,
                body,
                delivery_id=delivery_id,
                keep_for=None if keep is None else keep * self.unit,
                claim=claims,
                lease=lease * self.unit,
                fallback=fallback,
                start=None if start is None else Start(stored, start, self.real(ttl), on_timeout),
            )
        )
        if caller.user_id not in (None, user):
            assert result is TenantMismatchError
            return
        owner = whose(caller, user)
        known = self.known(owner, scope.conversation, delivery_id)
        if known is not None and known.letter is None:
            assert result.outcome == "duplicate"
            assert (result.reply, result.claim, result.accepted) == (None, None, True)
            return
        if known is not None and known.letter is not None:
            self.deliver_again(owner, known.letter, result, lease, claims=claims)
            return
        at = place(scope)
        if fallback and scope.correlation and self.waits_at(owner, at) is None:
            plain = place(ReplyScope(scope.conversation, scope.thread, scope.reply_to))
            at = plain if self.waits_at(owner, plain) is not None else at
        session, lying = self.waits_at(owner, at), self.lying(owner, at)
        full = len(lying) >= MAX_REPLIES
        if session is None and start is None:
            if keep is None:
                assert result.outcome == "unmatched"
                assert (result.reply, result.claim, result.accepted) == (None, None, False)
            elif full:
                assert result is InboxFullError
            else:
                assert (result.outcome, result.claim) == ("kept", None)
                self.take_in(owner, at, scope, delivery_id, body, result.reply, self.now + keep)
            return
        busy = any(self.is_live(letter.held) for letter in lying)
        free = not busy if session is None else self.is_free(session)
        if full and not (claims and free):
            assert result is InboxFullError
            return
        if session is None:
            assert start is not None
            if self.live(start) is not None:
                assert result is ConflictError
                return
            self.park(caller.with_user(user), scope, start, stored, ttl, resume=on_timeout == "resume")
            session = self.sessions[start]
            session.is_new = True
        self.take_in(owner, at, scope, delivery_id, body, result.reply, 0.0)
        if claims and free:
            assert result.outcome == "claimed"
            self.begins(session, result.claim, lease)
        else:
            assert (result.outcome, result.claim) == ("queued", None)

    def deliver_again(self, owner: Owner, letter: Letter, result: Any, lease: int, *, claims: bool) -> None:
        """Check a second try of a delivery that is not settled."""
        assert result.reply.id == letter.id
        session = self.waits_at(owner, letter.scope)
        if session is None:
            assert (result.outcome, result.claim) == ("kept", None)
        elif claims and self.is_free(session):
            assert result.outcome == "claimed"
            self.begins(session, result.claim, lease)
        else:
            assert (result.outcome, result.claim) == ("queued", None)

    def take_in(
        self, owner: Owner, at: str, scope: ReplyScope, delivery_id: str | None, body: str, reply: Any, keep: float
    ) -> None:
        """Note what was accepted."""
        assert (reply.body, reply.scope, reply.delivery_id) == (body, scope, delivery_id)
        self.accept(Letter(reply.id, body, owner, at, scope.conversation, delivery_id, self.now, keep))

    def reply_outcome(self, call: Awaitable[Any]) -> Any:
        """Return what a call returns, or the class of what it raises."""
        try:
            return self.outcome(call)
        except InboxFullError as error:
            return type(error)

    @precondition(lambda self: self.parked())
    @rule(choose=st.data(), claims=st.booleans(), lease=leases, delivery_id=delivery_ids)
    def deliver_to_what_waits(
        self,
        choose: st.DataObject,
        claims: bool,  # noqa: FBT001
        lease: int,
        delivery_id: str | None,
    ) -> None:
        """Deliver to something that is there: the rule above seldom meets one."""
        session = choose.draw(st.sampled_from(self.parked()))
        owner = session.data.tenant_ctx
        scope = next(scope for scope in SCOPES if place(scope) == session.scope)
        self.deliver(owner, owner.user_id or "", scope, delivery_id, None, claims, lease, False, None, "forget", None)  # noqa: FBT003

    # -- waits and claims

    @rule(caller=callers, scope=scopes, key=keys, node=nodes, ttl=ttls)
    def register_to_resume(self, caller: TenantCtx, scope: ReplyScope, key: str, node: str, ttl: Ttl) -> None:
        """register_wait, to be resumed."""
        stored, user = data(caller, node), caller.user_id or "alice"
        result = self.outcome(
            self.store.register_wait(caller, user, scope, key, stored, self.real(ttl), on_timeout="resume")
        )
        session = self.live(key)
        if caller.user_id is None:
            assert result is InvalidInputError
        elif session is not None and session.whose() != whose(caller, user):
            assert result is TenantMismatchError
        else:
            assert result == self.park(caller, scope, key, stored, ttl, resume=True)

    @precondition(lambda self: self.letters)
    @rule(choose=st.data(), key=keys, node=nodes, ttl=ttls, on_timeout=choices)
    def register_where_something_lies(self, choose: st.DataObject, key: str, node: str, ttl: Ttl, on_timeout: Any) -> None:
        """register_wait, at a place that has an inbox: the rules above seldom meet one."""
        letter = choose.draw(st.sampled_from(self.letters))
        env, tenant, team, user = letter.owner
        caller = TenantCtx.new(env, tenant, team=team, user=user)
        scope = next(scope for scope in SCOPES if place(scope) == letter.scope)
        stored = data(caller, node)
        result = self.outcome(
            self.store.register_wait(caller, user or "", scope, key, stored, self.real(ttl), on_timeout=on_timeout)
        )
        session = self.live(key)
        if session is not None and session.whose() != letter.owner:
            assert result is TenantMismatchError
        else:
            assert result == self.park(caller, scope, key, stored, ttl, resume=on_timeout == "resume")

    @precondition(lambda self: self.letters)
    @rule(choose=st.data(), lease=leases)
    def deliver_the_same_again(self, choose: st.DataObject, lease: int) -> None:
        """Deliver what lies there, if it has an id."""
        letter = choose.draw(st.sampled_from(self.letters))
        if letter.delivery_id is not None:
            env, tenant, team, user = letter.owner
            caller = TenantCtx.new(env, tenant, team=team, user=user)
            scope = next(scope for scope in SCOPES if scope.conversation == letter.conversation)
            self.deliver(
                caller,
                user or "",
                scope,
                letter.delivery_id,
                None,
                claims=True,
                lease=lease,
                fallback=False,
                start=None,
                on_timeout="forget",
                ttl=None,
            )

    @rule(team=st.none() | st.sampled_from(TEAMS), lease=leases)
    def claim_ready(self, team: TenantCtx | None, lease: int) -> None:
        """claim_ready, of all tenants or of one."""
        claims = self.run(self.store.claim_ready(team, lease=lease * self.unit))
        reached = list(self.sessions.values()) if team is None else self.reached(team)
        expected = [session for session in reached if self.is_there(session) and self.is_ready(session)]
        assert len(claims) == min(len(expected), 1)
        for claim in claims:
            [session] = [session for session in expected if session.key == claim.key]
            assert place(claim.scope) == session.scope
            self.begins(session, claim, lease)

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), scope=scopes, node=nodes, ttl=ttls, on_timeout=st.none() | choices)
    def park_claimed(self, choose: st.DataObject, scope: ReplyScope, node: str, ttl: Ttl, on_timeout: Any) -> None:
        """Claim.park."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        owner = held.claim.data.tenant_ctx
        stored = data(owner, node)
        result = self.run(held.claim.park(scope, stored, self.real(ttl), on_timeout=on_timeout))
        self.verdict(session, held)
        left = []
        if session.scope not in (None, place(scope)):
            left = self.leave(session, verdict=True)
        resume = session.resume if on_timeout is None else on_timeout == "resume"
        assert result == self.park(owner, scope, session.key, stored, ttl, resume=resume)
        assert [reply.body for reply in held.claim.leftovers] == left
        self.end_claim(session)

    def end_turn(self, session: Session, held: Held, *, complete: bool) -> None:
        """Take note of the verdict on the replies that a claim holds, or give them back."""
        if complete:
            self.verdict(session, held)
            left = [] if session.scope is None else self.leave(session, verdict=True)
            assert [reply.body for reply in held.claim.leftovers] == left
        else:
            self.give_back(held)

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), node=st.none() | nodes)
    def stay_claimed(self, choose: st.DataObject, node: str | None) -> None:
        """Claim.stay."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        stored = None if node is None else data(held.claim.data.tenant_ctx, node)
        self.run(held.claim.stay(stored))
        heard = session.turn is not None and session.turn.about == ("deadline", session.deadline)
        self.verdict(session, held)
        session.put_off = 0.0
        if stored is not None:
            session.data = stored
        if heard and session.scope is not None:
            session.deadline, session.ends = float("inf"), self.now + TIMEOUT_GRACE
        self.end_claim(session)
        self.expire()

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), limit=st.sampled_from([1, 2, 100]))
    def take_claimed(self, choose: st.DataObject, limit: int) -> None:
        """Claim.take."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        taken = self.run(held.claim.take(limit))
        expected = self.unheld(session)[:limit]
        assert [reply.id for reply in taken] == [letter.id for letter in expected]
        for letter in expected:
            letter.held = held
        key = held.claim.idempotency_key
        if expected and (session.turn is None or session.turn.key != key):
            session.turn = Turn(expected[0].id, 0, key)

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), delay=st.sampled_from([1, 3, 9]))
    def put_off_claimed(self, choose: st.DataObject, delay: int) -> None:
        """Claim.release with a delay."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        self.run(held.claim.release(delay * self.unit))
        if session.turn is not None:
            session.turn.failed += 1
        self.give_back(held)
        session.put_off = self.now + delay
        self.lengthen(session, session.put_off)
        self.end_claim(session)

    @rule(caller=callers, user=st.none() | users)
    def purge(self, caller: TenantCtx, user: str | None) -> None:
        """Purge: replies and ids go, too."""
        super().purge(caller, user)
        for letter in list(self.letters):
            if self.owns(caller, user, letter.owner):
                self.drop(letter, None)
        for name in [name for name in self.deliveries if self.owns(caller, user, name[0])]:
            del self.deliveries[name]

    def owns(self, caller: TenantCtx, user: str | None, owner: Owner) -> bool:
        """Say whether a purge reaches an owner."""
        return (
            owner[:2] == (caller.env, caller.tenant_id)
            and caller.team_id in (None, owner[2])
            and caller.user_id in (None, owner[3])
            and user in (None, owner[3])
        )

    async def check_lookups(self, caller: TenantCtx, user: str, scope: ReplyScope) -> None:
        """Check the inbox of a place, too."""
        await super().check_lookups(caller, user, scope)
        found = [reply.body for reply in await self.store.inbox(caller, user, scope)]
        seen = caller.user_id in (None, user)
        assert found == ([letter.body for letter in self.lying(whose(caller, user), place(scope))] if seen else [])
