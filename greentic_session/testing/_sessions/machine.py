"""A hypothesis state machine that holds a store against the model of the contract."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greentic_session.errors import ClaimedError, ConflictError, InvalidInputError, NotFoundError, TenantMismatchError
from greentic_session.expiry import NEVER, Ttl
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.testing._calls import CallsAStore

from .model import Held, Model, Session, place, whose
from .samples import MakeStore, ctx, data

__all__ = ["SessionStoreMachine", "session_store_machine"]

# Few names, so that operations meet: two tenants, a team and none, two users and nobody.
CALLERS = [
    ctx("alice"),
    ctx("bob"),
    ctx(None),
    ctx("alice", team=None),
    ctx("alice", tenant="globex"),
    ctx("alice", env="prod"),
]
TEAMS = [ctx(None), ctx(None, team=None), ctx(None, tenant="globex"), ctx(None, env="prod")]
USERS = ["alice", "bob"]
KEYS = ["k1", "k2", "k3"]
SCOPES = [
    ReplyScope("c1"),
    ReplyScope("c1", "", "", ""),
    ReplyScope("c1", None, None, "x"),
    ReplyScope("c1", "t"),
    ReplyScope("c2"),
]
TTLS: list[Ttl] = [None, NEVER, 1, 2, 5]
LEASES = [1, 3]

callers = st.sampled_from(CALLERS)
users = st.sampled_from(USERS)
keys = st.sampled_from(KEYS)
scopes = st.sampled_from(SCOPES)
ttls = st.sampled_from(TTLS)
leases = st.sampled_from(LEASES)
nodes = st.sampled_from(["n1", "n2", "n3"])


class SessionStoreMachine(CallsAStore, Model, RuleBasedStateMachine):
    """Operations on a store and on the model, side by side."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (ConflictError, InvalidInputError, NotFoundError)

    make_store: Callable[..., Any]
    advance: Callable[[float], Awaitable[None] | None]
    unit: float
    now: float

    def __init__(self) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.store: Any = self.make_store()

    def teardown(self) -> None:
        """Close the store."""
        self.run(self.store.aclose())
        self.loop.close()

    def real(self, ttl: Ttl) -> Ttl:
        """Return a lifetime for the store; the model's are in units."""
        return ttl * self.unit if isinstance(ttl, int) else ttl

    # -- the operations

    @rule(caller=callers, key=keys, node=nodes, ttl=ttls, own_user=st.booleans())
    def create(self, caller: TenantCtx, key: str, node: str, ttl: Ttl, own_user: bool) -> None:  # noqa: FBT001
        """create_session, of the caller's data or of nobody's."""
        stored = data(caller if own_user else caller.with_user(None), node)
        result = self.outcome(self.store.create_session(caller, stored, key=key, ttl=self.real(ttl)))
        if self.live(key) is not None:
            assert result is ConflictError
            return
        assert result == key
        self.sweep(key)
        session = self.sessions[key] = Session(key, stored, self.ends(ttl))
        if caller.user_id is not None:
            self.latest[whose(caller, caller.user_id)] = session

    @rule(caller=callers, scope=scopes, key=keys, node=nodes, ttl=ttls, fail=st.booleans())
    def register(self, caller: TenantCtx, scope: ReplyScope, key: str, node: str, ttl: Ttl, fail: bool) -> None:  # noqa: FBT001
        """register_wait, for the caller's own user."""
        stored = data(caller, node)
        conflict = "fail" if fail else "replace"
        user = caller.user_id or "alice"
        result = self.outcome(
            self.store.register_wait(caller, user, scope, key, stored, self.real(ttl), on_conflict=conflict)
        )
        session = self.live(key)
        if caller.user_id is None:
            assert result is InvalidInputError
        elif session is not None and session.whose() != whose(caller, user):
            assert result is TenantMismatchError
        elif fail and (found := self.match(caller, user, scope, fallback=False)) and found[0].key != key:
            assert result is ConflictError
        else:
            assert result == self.park(caller, scope, key, stored, ttl)

    @rule(caller=callers, key=keys, node=nodes, with_ctx=st.booleans(), version=st.sampled_from([None, "right", "wrong"]))
    def update(self, caller: TenantCtx, key: str, node: str, with_ctx: bool, version: str | None) -> None:  # noqa: FBT001
        """update_session, with and without a caller, with and without a version."""
        stored = data(caller, node)
        found = self.run(self.store.get_versioned(key))
        if_version = found.version if version == "right" and found else None if version is None else "wrong"
        asking = caller if with_ctx else None
        result = self.outcome(self.store.update_session(key, stored, ctx=asking, if_version=if_version))
        session = self.seen(key, asking)
        if session is None:
            assert result is NotFoundError
        elif session.whose() != whose(caller, caller.user_id):
            assert result is TenantMismatchError
        elif if_version == "wrong":
            assert result is ConflictError
        else:
            session.data = stored
            assert result == self.run(self.store.get_versioned(key)).version

    @rule(key=keys, caller=st.none() | callers)
    def remove(self, key: str, caller: TenantCtx | None) -> None:
        """remove_session."""
        session = self.seen(key, caller)
        result = self.outcome(self.store.remove_session(key, ctx=caller))
        if session is None:
            assert result is NotFoundError
        else:
            assert result is None
            self.forget(session)

    @rule(key=keys, ttl=ttls, caller=st.none() | callers)
    def touch(self, key: str, ttl: Ttl, caller: TenantCtx | None) -> None:
        """Touch."""
        session = self.seen(key, caller)
        assert self.run(self.store.touch(key, self.real(ttl), ctx=caller)) is (session is not None)
        if session is not None:
            self.set_lifetime(session, ttl)

    @rule(key=keys, caller=st.none() | callers)
    def remaining(self, key: str, caller: TenantCtx | None) -> None:
        """remaining_ttl: never more than the model says, since time goes on meanwhile."""
        session = self.seen(key, caller)
        left = self.run(self.store.remaining_ttl(key, ctx=caller))
        if session is None or self.lifetime_end(session) == math.inf:
            assert left is (None if session is None else NEVER)
        else:
            assert isinstance(left, float)
            assert 0 < left <= (self.lifetime_end(session) - self.now) * self.unit + 0.001  # rounded to the millisecond

    @rule(caller=callers, user=users, scope=scopes)
    def clear(self, caller: TenantCtx, user: str, scope: ReplyScope) -> None:
        """clear_wait."""
        self.run(self.store.clear_wait(caller, user, scope))
        if found := self.match(caller, user, scope, fallback=False):
            self.forget(found[0])

    @rule(caller=callers, user=users, scope=scopes, lease=leases, fallback=st.booleans())
    def claim(self, caller: TenantCtx, user: str, scope: ReplyScope, lease: int, fallback: bool) -> None:  # noqa: FBT001
        """claim_wait."""
        result = self.outcome(self.store.claim_wait(caller, user, scope, lease=lease * self.unit, fallback=fallback))
        found = self.match(caller, user, scope, fallback=fallback)
        if found is None:
            assert result is None
            return
        session, matched = found
        if self.held(session.key) is not None:
            assert result is ClaimedError
            return
        assert (result.key, result.data, result.scope) == (session.key, session.data, matched)
        self.began(session, result)
        if session.held is not None:
            self.old_claims.append((session.held.claim, session.key))
        session.held = Held(result, self.now + lease)
        self.lengthen(session, self.now + lease)

    @precondition(lambda self: self.parked())
    @rule(choose=st.data(), lease=leases)
    def claim_what_waits(self, choose: st.DataObject, lease: int) -> None:
        """claim_wait, of something that is there: the rule above seldom meets one."""
        session = choose.draw(st.sampled_from(self.parked()))
        owner = session.data.tenant_ctx
        scope = next(scope for scope in SCOPES if place(scope) == session.scope)
        self.claim(owner, owner.user_id or "", scope, lease, False)  # noqa: FBT003

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), scope=scopes, node=nodes, ttl=ttls)
    def park_claimed(self, choose: st.DataObject, scope: ReplyScope, node: str, ttl: Ttl) -> None:
        """Claim.park."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        owner = held.claim.data.tenant_ctx
        stored = data(owner, node)
        result = self.run(held.claim.park(scope, stored, self.real(ttl)))
        assert result == self.park(owner, scope, session.key, stored, ttl)
        self.end_claim(session)

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), complete=st.booleans())
    def end_claimed(self, choose: st.DataObject, complete: bool) -> None:  # noqa: FBT001
        """Claim.complete and Claim.release."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        self.run(held.claim.complete() if complete else held.claim.release())
        self.end_turn(session, held, complete=complete)
        self.end_claim(session)
        if complete:
            self.forget(session)

    def end_turn(self, session: Session, held: Held, *, complete: bool) -> None:
        """Take note of what else ends with a claim; for machines whose claims hold replies."""

    @precondition(lambda self: self.claimed())
    @rule(choose=st.data(), lease=leases)
    def renew_claimed(self, choose: st.DataObject, lease: int) -> None:
        """Claim.renew."""
        session, held = choose.draw(st.sampled_from(self.claimed()))
        self.run(held.claim.renew(lease * self.unit))
        held.ends = self.now + lease
        self.lengthen(session, held.ends)

    @precondition(lambda self: self.old_claims)
    @rule(choose=st.data(), what=st.sampled_from(["complete", "release", "renew", "park"]))
    def try_old_claim(self, choose: st.DataObject, what: str) -> None:
        """A claim that is over can do nothing, whatever has become of its key."""
        claim, _ = choose.draw(st.sampled_from(self.old_claims))
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "complete": claim.complete,
            "release": claim.release,
            "renew": lambda: claim.renew(self.unit),
            "park": lambda: claim.park(SCOPES[0], claim.data),
        }
        assert self.outcome(calls[what]()) is ConflictError

    @rule(caller=callers, user=st.none() | users)
    def purge(self, caller: TenantCtx, user: str | None) -> None:
        """Purge."""
        gone = [session for session in self.reached(caller) if user in (None, session.whose()[3])]
        assert self.run(self.store.purge(caller, user=user)) == len(gone)
        for session in gone:
            self.forget(session)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        waiting = type(self).advance(seconds * self.unit)
        if waiting is not None:
            self.run(waiting)
        self.now += seconds

    # -- what holds at any time

    @invariant()
    def store_agrees(self) -> None:
        """What is read by key, by scope, by user and by walking is what the model holds."""
        self.run(self.check_everything())

    async def check_everything(self) -> None:
        for key in KEYS:
            session = self.live(key)
            assert await self.store.get_session(key) == (None if session is None else session.data)
        for team in TEAMS:
            assert await self.walk(team) == {session.key: session.data for session in self.reached(team)}
            for user in USERS:
                waiting = self.waiting(team, user)
                assert await self.store.list_waits_for_user(team, user) == [session.key for session in waiting]
                for scope in SCOPES:
                    await self.check_lookups(team, user, scope)

    @rule(caller=callers, user=users, scope=scopes, key=keys)
    def look(self, caller: TenantCtx, user: str, scope: ReplyScope, key: str) -> None:
        """Every lookup, by a caller who may or may not be allowed to."""
        self.run(self.check_caller(caller, user, scope, key))

    async def check_caller(self, caller: TenantCtx, user: str, scope: ReplyScope, key: str) -> None:
        seen = self.seen(key, caller)
        assert await self.store.get_session(key, ctx=caller) == (None if seen is None else seen.data)
        waiting = self.waiting(caller, user)
        assert await self.store.list_waits_for_user(caller, user) == [session.key for session in waiting]
        assert await self.walk(caller) == {session.key: session.data for session in self.reached(caller)}
        await self.check_lookups(caller, user, scope)

    async def check_lookups(self, caller: TenantCtx, user: str, scope: ReplyScope) -> None:
        for fallback in (True, False):
            expected = self.match(caller, user, scope, fallback=fallback)
            found = await self.store.find_wait(caller, user, scope, fallback=fallback)
            if expected is None:
                assert found is None
            else:
                assert (found.key, found.data, found.scope) == (expected[0].key, expected[0].data, expected[1])
        exact = self.match(caller, user, scope, fallback=False)
        found_key = await self.store.find_wait_by_scope(caller, user, scope)
        assert found_key == (None if exact is None else exact[0].key)

    @rule(caller=callers, user=users)
    def find_by_user(self, caller: TenantCtx, user: str) -> None:
        """find_by_user."""
        result = self.outcome(self.store.find_by_user(caller, user))
        waiting = self.waiting(caller, user)
        latest = self.latest.get(whose(caller, user))
        if len(waiting) > 1:
            assert result is InvalidInputError
        elif waiting:
            assert result == (waiting[0].key, waiting[0].data)
        elif latest is not None and self.is_current(latest) and caller.user_id in (None, user):
            assert result == (latest.key, latest.data)
        else:
            assert result is None

    async def walk(self, caller: TenantCtx) -> dict[str, SessionData]:
        """iter_sessions."""
        return {wait.key: wait.data async for wait in self.store.iter_sessions(caller)}


def session_store_machine(
    make_store: MakeStore,
    advance: Callable[[float], Awaitable[None] | None],
    *,
    unit: float = 1.0,
    base: type[SessionStoreMachine] = SessionStoreMachine,
) -> type[SessionStoreMachine]:
    """Return a hypothesis state machine for one kind of store.

    Its ``TestCase`` is a unittest class.

    Args:
        make_store: Makes a fresh, empty store, once an example.
        advance: Makes so many seconds pass for the store: sets an injected clock forward, or
            sleeps. May be async.
        unit: How many seconds the smallest lifetime has; more of them for a store whose clock
            cannot be stopped.
        base: The machine to build on; one of your own may check more after every step.
    """
    bound = {"make_store": staticmethod(make_store), "advance": staticmethod(advance), "unit": unit}
    return type("BoundMachine", (base,), bound)
